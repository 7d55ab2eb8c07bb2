"""What the members have said of themselves, and when a leader writes that into the configuration.

Nodes greet each other: each says which store speaks for it (its incarnation) and where it is reached. What only those
know who have met it is lost with them, so a leader appends it, as it appends any other change of the members:

- which store a member has, where no configuration says so yet: that of the voters that the cluster began with, and of
  learners that were added by their address. From then on nobody takes another store for it, whoever was restarted
  meanwhile (dissertation §11.2 has no such thing: it takes for granted that a disk is never lost);
- where a member is that has moved: only once this leader has reached it there, and has found its store to be the one
  that it is known by;
- where this leader itself is: it can't know where the others' settings have it, which may be where it was before.

Never beside a change of members; and where members are, seldom: one whose address changes to and fro must not fill the
log. Stores are named whenever there is one to name, for each is named once.
"""

from __future__ import annotations

from raft_actors.raft.leading.contact import Contact
from raft_actors.raft.membership import Configuration, Proven, introduce
from raft_actors.raft.membership_codec import MOST_BYTES, encode_configuration
from raft_actors.raft.state import RaftState

#: For how many of the longest election timeouts no address is written once something was.
_REST = 10

#: And for how many others are waited for that say something new, too: so that one entry is enough for all.
_COLLECTING = 2


class Introductions:
    """A leader's. See the module's text."""

    def __init__(self, state: RaftState, contact: Contact) -> None:
        self._state = state
        self._contact = contact
        self._since: dict[str, tuple[Proven, float]] = {}
        self._rests_until = 0.0

    def look(self, now: float) -> bool:
        """A heartbeat is due: see whom something new is known of. Returns whether it is to be written now."""
        news = self._news(now)
        before, self._since = self._since, {}
        for member_id, proven in news.items():
            known_as, since = before.get(member_id, (None, now))
            self._since[member_id] = (proven, since if known_as == proven else now)
        return bool(self._since) and self.due(now) is not None

    def due(self, now: float) -> Configuration | None:
        """The configuration in force with what is new; None where nothing is, or not for long enough.

        What a member says now may be taken back at once: a node that lost its files and knows that asks to be made a
        new member as soon as it runs, and is none by that store before.
        """
        longest_s = self._state.config.election_timeout_s[1]
        current, since = self._state.configuration, self._since
        if now < self._rests_until:
            since = {one: told for one, told in since.items() if not current.members[one].incarnation}
        ripe = {one: proven for one, (proven, began_at) in since.items() if now - began_at >= longest_s}
        if not ripe:
            return None
        oldest = min(began_at for _, began_at in since.values())
        if len(ripe) < len(since) and now - oldest < _COLLECTING * longest_s:
            return None
        changed = introduce(current, ripe)
        if changed is None or len(encode_configuration(changed)) > MOST_BYTES:
            return None
        return changed

    def appended(self, now: float) -> None:
        """A configuration was appended, whatever for. What is known of its members still is ripe when it was."""
        members = self._state.configuration.members
        self._since = {one: told for one, told in self._since.items() if one in members}
        self._rests_until = now + _REST * self._state.config.election_timeout_s[1]

    def _news(self, now: float) -> dict[str, Proven]:
        """What members have proven of themselves that the configuration does not say, of those that answer now."""
        state, news = self._state, dict[str, Proven]()
        for member_id, member in state.configuration.members.items():
            proven = state.proven(member_id)
            if not proven.incarnation or member.incarnation not in ("", proven.incarnation):
                continue
            known_at = member.address if member_id == state.node_id else state.address_of(member_id)
            if proven.address == known_at:
                proven = Proven(proven.incarnation)  # nothing new
            if (not member.incarnation or proven.address) and self._answers(member_id, now):
                news[member_id] = proven
        return news

    def _answers(self, member_id: str, now: float) -> bool:
        """It must have answered in this leadership: then it has greeted since it runs."""
        contact = self._contact
        if member_id == self._state.node_id:
            return True
        heard_at = contact.last_contact.get(member_id, contact.began_at)
        is_silent = now - heard_at > self._state.config.election_timeout_s[1] or heard_at <= contact.began_at
        return not is_silent and member_id not in contact.disconnected
