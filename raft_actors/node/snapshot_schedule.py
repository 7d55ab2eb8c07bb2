"""When the applier takes a snapshot: so many entries or bytes after the last one, or where somebody asks for one."""

from __future__ import annotations

from raft_actors.actors.pending import Pending
from raft_actors.config import NodeConfig
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.records import frozen


@frozen
class RequestSnapshot:
    """Somebody wants a snapshot of what is applied now; the answer is its metadata, once it is durable."""

    reply: Pending[SnapshotMetadata]


class SnapshotSchedule:
    """That of one node. One snapshot is taken at a time.

    Attributes:
        requests: who asked for a snapshot that has not begun.
        applied_bytes: bytes of the entries applied since the last one.
    """

    def __init__(self, config: NodeConfig) -> None:
        self.requests: list[Pending[SnapshotMetadata]] = []
        self.applied_bytes: int = 0
        self._config = config
        self._index: int = 0
        self._under_way = False
        self._waiters: list[Pending[SnapshotMetadata]] = []

    def is_due(self, applied_index: int) -> bool:
        """Whether one is to be taken now."""
        config = self._config
        if self._under_way:
            return False
        if self.requests:
            return True
        entries = applied_index - self._index
        return (config.snapshot_entries is not None and entries >= config.snapshot_entries) or (
            config.snapshot_bytes is not None and self.applied_bytes >= config.snapshot_bytes
        )

    def begin(self, metadata: SnapshotMetadata) -> bool:
        """One of this state is due. False: there is one already, and who asked has it."""
        self._waiters, self.requests = self.requests, []
        if metadata.index == self._index:
            self._answer(metadata)
            return False
        self._under_way, self._index, self.applied_bytes = True, metadata.index, 0
        return True

    def ended(self, current: SnapshotMetadata | None) -> bool:
        """The one under way is durable, or was given up because a newer one, `current`, is. True: another is due."""
        self._under_way = False
        if current is not None:
            self._answer(current)
        return bool(self.requests)

    def restored(self, index: int) -> None:
        """The state is that of a snapshot."""
        self._index, self.applied_bytes = index, 0

    def _answer(self, snapshot: SnapshotMetadata) -> None:
        for waiter in self._waiters:
            waiter.resolve(snapshot)
        self._waiters = []
