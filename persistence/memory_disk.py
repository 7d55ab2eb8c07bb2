"""What is left in memory of a node's files while it is down: see `memory`."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import attrs

from raft_actors.persistence.abc import StoreIdentity
from raft_actors.persistence.log_state import LogState
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.persistent_state import Write
from raft_actors.raft.starts import Met, Renewed, Starts
from raft_actors.records import define


def new_incarnation() -> str:
    """Draw what tells a store from every other one, or one start of it from every other one."""
    return secrets.token_hex(8)


class Holder(Protocol):
    """Who has a disk open."""

    def lose_power(self) -> None:
        """Forget what is not durable."""


@define(eq=False)
class MemoryDisk:
    """What is left of a node while it is down.

    Attributes:
        write_delay_s: how long each write takes, in seconds of Trio's clock; `math.inf` for a disk that hangs. Writes
            take their turns.
        before_write: called with what is about to be written; raise `StorageFailed` (or any `StorageError`) in it, and
            that write fails and the storage takes no more.
        after_write: called with what has just become durable, once `state` says so. Must not raise.
        draw_incarnation: gives the incarnation of a store that is made on it, and the nonce of each of its starts: for
            simulations, which draw it by seed.
        incarnation: of the store on it; "" while there is none.
        starts, met, renewed: see `Recovered`.
    """

    write_delay_s: float = 0.0
    before_write: Callable[[Sequence[Write]], None] | None = None
    after_write: Callable[[Sequence[Write]], None] | None = None
    draw_incarnation: Callable[[], str] = new_incarnation
    incarnation: str = attrs.field(default="", init=False)
    starts: Starts = attrs.field(factory=Starts, init=False, repr=False)
    met: Mapping[str, Met] = attrs.field(factory=dict[str, Met], init=False, repr=False)
    renewed: Renewed = attrs.field(default=Renewed.NO, init=False)
    identity: StoreIdentity | None = attrs.field(default=None, init=False)
    state: LogState = attrs.field(factory=LogState, init=False, repr=False)
    batches: list[EntryBatch] = attrs.field(factory=list[EntryBatch], init=False, repr=False)
    snapshot_chunks: tuple[bytes, ...] = attrs.field(default=(), init=False, repr=False)
    next_snapshot_id: int = attrs.field(default=1, init=False, repr=False)
    holder: Holder | None = attrs.field(default=None, init=False, repr=False)

    def cut_power(self) -> None:
        """Crash whoever has the disk open: what is not durable yet is lost, and the disk can be opened again."""
        holder, self.holder = self.holder, None
        if holder is not None:
            holder.lose_power()
