"""What a leader keeps of its log for followers that catch up, though a snapshot of its own covers it."""

from __future__ import annotations

from raft_actors.raft.effects import LeaveBehind
from raft_actors.raft.leading.commit import Commit
from raft_actors.raft.leading.contact import Contact
from raft_actors.raft.state import RaftState

#: For how many of the longest election timeouts a follower that is silent is taken to be busy (with a snapshot that it
#: restores, say) or about to come back, so that the log is kept for it.
_AWAY = 10


class Retention:
    """Knows which snapshot each follower is being sent, and from it what must not be forgotten yet.

    Attributes:
        transfers: follower → index of the snapshot that it has stored chunks of, the last that it told of.
    """

    def __init__(self, state: RaftState, commit: Commit, contact: Contact) -> None:
        self._state = state
        self._commit = commit
        self._contact = contact
        self.transfers: dict[str, int] = {}

    def first_index(self, unneeded_below: int, now: float) -> tuple[int, list[LeaveBehind]]:
        """From which entry on to keep the log, of which the leader itself needs none below `unneeded_below`; and word
        of followers that need more.

        Kept is what a follower needs that is there: what follows the snapshot that it is being sent, or the entry that
        it has. Else it would need another snapshot as soon as it has this one, for ever. But at most about
        `max_catch_up_bytes`, lest a slow one fill the disk.
        """
        state, log = self._state, self._state.log
        needed = {peer: self._needed_by(peer) for peer in state.peers if self._is_there(peer, now)}
        bound = log.first_index_within(state.config.max_catch_up_bytes)
        first_index = min(unneeded_below, max(bound, min(needed.values(), default=unneeded_below)))
        behind = [(peer, index) for peer, index in needed.items() if log.first_index <= index < first_index]
        return first_index, [LeaveBehind(peer, index, first_index) for peer, index in behind]

    def _needed_by(self, peer: str) -> int:
        log, match_index = self._state.log, self._commit.match_index[peer]
        if match_index + 1 >= log.first_index:
            return match_index + 1
        under_way = self.transfers.get(peer, 0)  # where it is too old, or none, the current one comes next
        return (under_way if under_way + 1 >= log.first_index else log.snapshot_index) + 1

    def _is_there(self, peer: str, now: float) -> bool:
        last_contact, longest_s = self._contact.last_contact[peer], self._state.config.election_timeout_s[1]
        return last_contact > self._contact.began_at and now - last_contact <= _AWAY * longest_s
