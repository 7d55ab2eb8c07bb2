"""Proposals and reads on their way through the leader, and the bound on how many there may be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import trio

from raft_actors.errors import CommandFailed, NodeStopped, Overloaded
from raft_actors.pending import Pending

R = TypeVar("R")


class Admission:
    """Bounds what a node has accepted and not yet answered, in bytes and in number."""

    def __init__(self, node_id: str, *, max_bytes: int, max_count: int) -> None:
        self.node_id = node_id
        self.max_bytes = max_bytes
        self.max_count = max_count
        self.bytes = 0
        self.closed = False
        self._admitted: set[PendingOutcome[Any]] = set()
        self._waiting = trio.lowlevel.ParkingLot()
        self._idle = trio.lowlevel.ParkingLot()

    @property
    def count(self) -> int:
        """How many were admitted and are not settled."""
        return len(self._admitted)

    def admit_nowait(self, outcome: PendingOutcome[Any]) -> None:
        """Let one in.

        Raises:
            Overloaded: there is no room for it now.
            NodeStopped: the node takes no more.
        """
        if self.closed:
            raise NodeStopped(self.node_id)
        if self._waiting or not self._has_room(outcome.size):
            raise Overloaded(
                f"{self.count:,} proposals with {self.bytes:,} bytes wait to be committed and applied "
                f"(max_pending_proposals {self.max_count:,}, max_uncommitted_bytes {self.max_bytes:,})"
            )
        self._add(outcome)

    async def admit(self, outcome: PendingOutcome[Any]) -> None:
        """Let one in, waiting for room in order of arrival. A checkpoint only where it has to wait.

        Raises:
            NodeStopped: the node takes no more.
        """
        must_wait = bool(self._waiting) or not self._has_room(outcome.size)
        while must_wait and not self.closed:
            await self._waiting.park()
            must_wait = not self._has_room(outcome.size)
        if self.closed:
            raise NodeStopped(self.node_id)
        self._add(outcome)
        self._wake_next()

    def release(self, outcome: PendingOutcome[Any]) -> None:
        """Forget one that was settled, and let the next in."""
        self._admitted.discard(outcome)
        self.bytes -= outcome.size
        if self._waiting:
            self._wake_next()
        if self._idle and not self._admitted:
            self._idle.unpark_all()

    def close(self) -> None:
        """Let nobody in any more, nor those who wait for room."""
        self.closed = True
        self._waiting.unpark_all()

    async def wait_idle(self) -> None:
        """Wait until all that were admitted are settled."""
        while self._admitted:
            await self._idle.park()

    def fail_all(self, error: Callable[[int | None], Exception]) -> None:
        """Settle all with the error made for each one's log index."""
        for outcome in list(self._admitted):
            outcome.fail(error(outcome.index))

    def _has_room(self, size: int) -> bool:
        # An idle node takes one of any size: else a propose_many larger than the bound could never go.
        return not self._admitted or (len(self._admitted) < self.max_count and self.bytes + size <= self.max_bytes)

    def _add(self, outcome: PendingOutcome[Any]) -> None:
        self._admitted.add(outcome)
        self.bytes += outcome.size

    def _wake_next(self) -> None:
        if self._waiting and len(self._admitted) < self.max_count and self.bytes < self.max_bytes:
            self._waiting.unpark()


class PendingOutcome(Pending[R]):
    """A proposal or read that a leader works on; settling it frees its place.

    Attributes:
        index: log index of its first command once the leader has appended it (for a read: of the entry that must be
            applied before it), else None.
        last_index: log index of its last command, likewise; 0 before.
        size: bytes it takes of the admission's bound.
    """

    __slots__ = ("_admission", "index", "last_index", "size")

    def __init__(self, admission: Admission, size: int) -> None:
        super().__init__()
        self._admission = admission
        self.size = size
        self.index: int | None = None
        self.last_index = 0

    def settle(self, result: Any) -> None:
        """Fill it, wake its waiter and free its place in the admission's bound; only the first time counts."""
        if not self.done:
            self._admission.release(self)
            super().settle(result)


class PendingProposals(PendingOutcome[Any]):
    """Commands that were proposed together: `wait` gives a list with one result for each, in order.

    A command whose `apply` raised has its `CommandFailed` as result, so that the others' results are not lost.

    `wait` raises:
        NotLeader, Overloaded: nothing was proposed.
        LeadershipLost, NodeStopped: the outcome of each is unknown.
    """

    __slots__ = ("commands",)

    def __init__(self, admission: Admission, commands: Sequence[bytes], size: int) -> None:
        super().__init__(admission, size)
        self.commands = commands

    def apply_results(self, results: list[Any], offset: int) -> None:
        """Fill it from a list of results, in which those of its commands begin at `offset`."""
        self.resolve(results[offset : offset + len(self.commands)])


class PendingProposal(PendingProposals):
    """One command that was proposed: `wait` gives its result, or raises the `CommandFailed` of an `apply` that raised.

    The other errors of `wait` are those of `PendingProposals`.
    """

    __slots__ = ()

    def apply_results(self, results: list[Any], offset: int) -> None:
        """Fill it from a list of results, in which that of its command is at `offset`."""
        result = results[offset]
        if type(result) is CommandFailed:
            self.fail(result)
        else:
            self.resolve(result)


class PendingRead(PendingOutcome[R]):
    """A query to run on the state machine once all that was committed before it has been applied."""

    __slots__ = ("query",)

    def __init__(self, admission: Admission, query: Callable[[Any], R]) -> None:
        super().__init__(admission, 0)
        self.query = query

    def run(self, state_machine: Any) -> None:
        """Run the query and fill the slot with what it returns or raises."""
        try:
            self.resolve(self.query(state_machine))
        except Exception as error:  # noqa: BLE001 - the query is the caller's code, and so is its error
            self.fail(error)
