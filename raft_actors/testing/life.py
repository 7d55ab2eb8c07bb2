"""One node of a simulated cluster from one start to its end: where it stands, and where it stood at the last look."""

from __future__ import annotations

from contextvars import ContextVar

import attrs

from raft_actors.node.supervisor import Supervisor
from raft_actors.persistence.memory_disk import MemoryDisk
from raft_actors.raft.log import Log
from raft_actors.raft.membership import Configuration
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.raft.roles import Role
from raft_actors.raft.state import RaftState

LIFE: ContextVar[Life | None] = ContextVar("raft_actors simulated life", default=None)
"""The life that a task belongs to. Tasks inherit it from those that start them, in whatever nursery."""


@attrs.define(eq=False)
class Life:
    """A node's start, all that follows from it, and its end.

    Attributes:
        node_id: whose.
        number: counts the node's starts, from 1.
        disk: the node's disk; it outlives the life.
        role: the node's role now. There from `Hooks.started` on, as is all that hangs on it.
        over: whether its power was cut. What it still does in the rest of its last step never happened.
        supervisor: the node's inside (None where a test feeds an invariant by hand).
        applied_count: how many commands its state machine has taken in, by itself or within a snapshot.
        applied_index: log index of the last of them (or of the snapshot).
        restored_index: index of the latest snapshot that it restored; None: of none.
        seen_…: what was true at the last look, before the decision that is being looked at now.
    """

    node_id: str
    number: int
    disk: MemoryDisk
    role: Role | None = attrs.field(default=None, repr=False)
    supervisor: Supervisor | None = attrs.field(default=None, repr=False)
    over: bool = False
    applied_count: int = 0
    applied_index: int = 0
    restored_index: int | None = None
    seen_role: Role | None = attrs.field(default=None, repr=False)
    seen_term: int = 0
    seen_voted_for: str | None = None
    seen_commit: int = 0
    seen_last: int = 0
    seen_durable: int = 0
    seen_epoch: int = 0
    seen_snapshot: SnapshotMetadata | None = None
    seen_configuration: Configuration | None = attrs.field(default=None, repr=False)
    seen_synced_writes: int = 0

    @property
    def state(self) -> RaftState:
        """Term, vote and commit index now. Only from `Hooks.started` on."""
        if self.role is None:
            raise AttributeError(f"{self} has not decided anything yet")
        return self.role.state

    @property
    def log(self) -> Log:
        """The log now. Only from `Hooks.started` on."""
        return self.state.log

    def is_as_seen(self) -> bool:
        """Whether nothing has changed since the last look."""
        role = self.role
        if role is None or role is not self.seen_role:
            return False
        state = role.state
        log = state.log
        return (
            state.commit_index == self.seen_commit
            and log.last_index == self.seen_last
            and log.durable_index == self.seen_durable
            and state.term == self.seen_term
            and state.voted_for == self.seen_voted_for
            and log.epoch == self.seen_epoch
            and log.snapshot is self.seen_snapshot
        )

    def see(self) -> None:
        """Remember how things stand."""
        state = self.state
        log = state.log
        self.seen_role = self.role
        self.seen_term = state.term
        self.seen_voted_for = state.voted_for
        self.seen_commit = state.commit_index
        self.seen_last = log.last_index
        self.seen_durable = log.durable_index
        self.seen_epoch = log.epoch
        self.seen_snapshot = log.snapshot
        self.seen_configuration = state.configuration

    @property
    def origin(self) -> str:
        """Where its state comes from, in words."""
        if self.restored_index is None:
            return "had restored no snapshot"
        return f"had restored the snapshot at entry {self.restored_index}"

    def __str__(self) -> str:
        return f"node {self.node_id!r} (start {self.number})"
