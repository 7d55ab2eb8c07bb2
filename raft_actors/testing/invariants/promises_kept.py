"""Term, vote and acknowledged entries survive every crash: they are on stable storage before a server answers (Raft
paper, Figure 2 "persistent state", §5.1 and §5.2; §5.6 of the paper's extended version)."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from typing_extensions import override

from raft_actors.raft.messages import (
    AppendEntriesAccepted,
    InstallSnapshotReply,
    Message,
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
)
from raft_actors.raft.persistent_state import CommitSnapshot, LogWrite, Write
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


@attrs.define
class _Promise:
    """What one node has said to others, in all its lives."""

    term: int = 0
    vote: str | None = None
    last_index: int = 0


class PromisesKept(Invariant):
    """A node never forgets its term and vote, nor entries that it acknowledged and did not overwrite since.

    What counts is what its messages said: on the next start it must still be there, whatever crash was in between. And
    in no term does a node vote twice, be it before and after a crash.
    """

    name = "vote and term never forgotten"
    source = "Raft paper, Figure 2 and §5.2"

    def __init__(self) -> None:
        super().__init__()
        self._promises: dict[str, _Promise] = {}

    def _promise(self, node_id: str) -> _Promise:
        promise = self._promises.get(node_id)
        if promise is None:
            promise = self._promises[node_id] = _Promise()
        return promise

    @override
    def sent(self, life: Life, to: str, message: Message) -> None:
        """Note what a message promises."""
        if isinstance(message, RequestPreVote) or (isinstance(message, RequestPreVoteReply) and message.granted):
            return  # of a term that nobody is in yet: it promises nothing
        promise = self._promise(life.node_id)
        if message.term > promise.term:
            promise.term, promise.vote = message.term, None
        kind = type(message)
        if kind is AppendEntriesAccepted:
            promise.last_index = max(promise.last_index, message.match_index)  # type: ignore[union-attr]
        elif isinstance(message, RequestVoteReply) and message.granted:
            self._note_vote(life, promise, message.term, to)
        elif isinstance(message, RequestVote):
            self._note_vote(life, promise, message.term, life.node_id)
        elif isinstance(message, InstallSnapshotReply) and message.installed:
            promise.last_index = max(promise.last_index, message.snapshot.index)

    def _note_vote(self, life: Life, promise: _Promise, term: int, candidate: str) -> None:
        if term < promise.term:
            self.fail(f"{life} votes for {candidate!r} in term {term}, after it spoke of term {promise.term}")
        elif promise.vote not in (None, candidate):
            self.fail(f"{life} votes twice in term {term}: for {promise.vote!r}, and for {candidate!r}")
        else:
            promise.vote = candidate

    @override
    def written(self, node_id: str, writes: Sequence[Write]) -> None:
        """What a newer leader overwrites is promised no longer."""
        promise = self._promise(node_id)
        for write in writes:
            if type(write) is LogWrite:
                if write.truncate_from is not None and write.truncate_from <= promise.last_index:
                    promise.last_index = write.truncate_from - 1
            elif type(write) is CommitSnapshot:
                promise.last_index = min(promise.last_index, self.facts.disks[node_id].state.last_index)

    @override
    def started(self, life: Life) -> None:
        """Compare what is left of a node with what it promised."""
        promise, state = self._promise(life.node_id), life.state
        if state.term < promise.term:
            self.fail(f"{life} is back in term {state.term}, after it spoke of term {promise.term}")
        elif state.term == promise.term and promise.vote not in (None, state.voted_for):
            self.fail(
                f"{life} remembers a vote for {state.voted_for!r} in term {state.term}, where it voted for "
                f"{promise.vote!r}"
            )
        if state.log.last_index < promise.last_index:
            self.fail(
                f"{life} has a log that ends at {state.log.last_index}, after it acknowledged entry "
                f"{promise.last_index}"
            )

    @override
    def disk_replaced(self, node_id: str) -> None:
        """Expect nothing of another disk."""
        self._promises.pop(node_id, None)
