"""When a leader may let entries into the log that not every version can apply (see `raft.features`).

The word that they may come is in the log before them: a configuration that names the feature. It may be appended while
every follower is there and has greeted with the feature: learners, too, and those who are told that they are members
no more, for they still get the log. One that is down may come back as either version, so it is waited for.
"""

from __future__ import annotations

from raft_actors.errors import ChangeRefused
from raft_actors.raft.leading.contact import Contact
from raft_actors.raft.membership import Configuration, features_needed, turn_on
from raft_actors.raft.state import RaftState


class Gates:
    """A leader's. See the module's text."""

    def __init__(self, state: RaftState, contact: Contact) -> None:
        self._state = state
        self._contact = contact

    def opened_for(self, changed: Configuration, now: float) -> Configuration:
        """A configuration with what it needs turned on.

        Raises:
            ChangeRefused: a follower can't do that, or is not there to say so.
        """
        needed = features_needed(changed) - changed.features
        for feature in sorted(needed):
            for peer in sorted(self._contact.last_contact.keys() | (changed.ids - {self._state.node_id})):
                why_not = self._why_not(peer, feature, now)
                if why_not is not None:
                    raise ChangeRefused(f"“{feature}” can't be turned on: {why_not}")
        return turn_on(changed, needed) or changed

    @property
    def closed(self) -> frozenset[str]:
        """What is to be turned on unasked, and is not yet."""
        return self._state.turned_on - self._state.configuration.features

    def due(self, now: float) -> Configuration | None:
        """The configuration in force with all that can be turned on unasked; None where there is nothing (yet)."""
        passable = frozenset(
            feature
            for feature in self.closed
            if all(self._why_not(peer, feature, now) is None for peer in self._contact.last_contact)
        )
        return turn_on(self._state.configuration, passable)

    def _why_not(self, peer: str, feature: str, now: float) -> str | None:
        """Why a follower may not be sent entries that need a feature; None where it may.

        It must have answered in this leadership: then it has greeted since it runs.
        """
        contact = self._contact
        heard_at = contact.last_contact.get(peer, contact.began_at)
        silent = now - heard_at > self._state.config.election_timeout_s[1] or heard_at <= contact.began_at
        if silent or peer in contact.disconnected:
            return f"every member must be there to say that it can do it, and {peer!r} is not: see that it runs"
        if feature not in self._state.features_of(peer):
            return f"{peer!r} runs a version of raft_actors that can't do it: upgrade it"
        return None
