"""Digests of the state machine's state, by which replicas are compared: when one is taken, and how.

By default what is hashed is the state as a snapshot would have it: bit by bit, while later commands are applied. Only
one is made at a time; where the next place comes before it is done, that place is left out.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import trio

from raft_actors.actors.actor import Actor, ActorStopped
from raft_actors.actors.clock import NodeClock
from raft_actors.config import NodeConfig
from raft_actors.errors import StateMachineError
from raft_actors.node.replicated_sessions import ReplicatedSessions
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.inputs import StateDigested
from raft_actors.raft.messages import DIGEST_BYTES
from raft_actors.records import frozen

_NEVER = sys.maxsize
_NOWHERE = range(0)


@frozen
class DigestJob:
    """A state to be hashed: of which index, and its bytes as they come."""

    index: int
    chunks: Iterator[bytes]


class Digester(Actor[DigestJob]):
    """Hashes states, and reports to the role."""

    def __init__(
        self,
        config: NodeConfig,
        report: Callable[[StateDigested], Awaitable[None]],
        clock: NodeClock | None = None,
    ) -> None:
        super().__init__(name="digester", capacity=1)
        self.every: int = config.state_check_entries or _NEVER
        self.at_work: bool = False
        self._slice_s = config.apply_slice_s
        self._report = report
        self._now = (clock or NodeClock()).now

    async def receive(self, messages: list[DigestJob]) -> None:
        """Hash each state, and report it."""
        for job in messages:
            await self._report(StateDigested(job.index, await self._digest(job)))
        self.at_work = False

    async def _digest(self, job: DigestJob) -> bytes:
        hashed = hashlib.blake2b(digest_size=DIGEST_BYTES)
        slice_ends = self._now() + self._slice_s
        for piece in self._pieces(job):
            hashed.update(piece)
            if self._now() >= slice_ends:
                await trio.lowlevel.checkpoint()
                slice_ends = self._now() + self._slice_s
        return hashed.digest()

    @staticmethod
    @trio.lowlevel.disable_ki_protection  # the application's code
    def _pieces(job: DigestJob) -> Iterator[bytes]:
        try:
            yield from job.chunks
        except Exception as error:
            raise _no_digest(job.index) from error

    # --- for the applier -----------------------------------------------------------------------------------------

    def within(self, batch: EntryBatch) -> range:
        """The indexes among a batch's where a digest is to be taken, in order."""
        if batch.last_index < self.every:  # most often: it is asked of every batch
            return _NOWHERE
        first = -(-batch.first_index // self.every) * self.every
        return range(first, batch.last_index + 1, self.every)

    @trio.lowlevel.disable_ki_protection
    def take(self, index: int, sessions: ReplicatedSessions) -> None:
        """Have the digest taken of the state as it is now, after the entry at `index`, unless one is being made.

        Raises:
            StateMachineError: the state machine can't tell it.
        """
        if self.at_work:
            return
        machine = sessions.state_machine
        try:
            own = machine.state_digest()
            chunks = sessions.snapshot(machine.snapshot() if own is None else (own,))
        except Exception as error:
            raise _no_digest(index) from error
        self.at_work = True
        with suppress(ActorStopped):  # the node is ending
            self.tell(DigestJob(index, chunks))


def _no_digest(index: int) -> StateMachineError:
    return StateMachineError(f"the state machine can't tell the digest of its state at index {index}")
