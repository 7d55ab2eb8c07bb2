"""What can be seen of a simulated cluster while it runs: the hooks that invariants and recorders are written as."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from raft_actors.raft.messages import Message
from raft_actors.raft.persistent_state import Write
from raft_actors.testing.life import Life


class Hooks:
    """Called for everything that happens, at the moment when it happens. Override what is of interest: the rest is
    not even called.

    Every method runs inside the cluster: it must be quick, must not change anything, and must neither raise nor wait.
    """

    def started(self, life: Life) -> None:
        """A node has recovered: `life.state` and `life.log` are what it found on its disk."""

    def changed(self, life: Life) -> None:
        """A decision has changed role, term, vote, log or commit index; `life.seen_…` tell what they were before."""

    def became(self, life: Life) -> None:
        """A node has taken on `life.role`, the first one included. Follows `changed`."""

    def sent(self, life: Life, to: str, message: Message) -> None:
        """A node hands a message to its transport (which may lose it)."""

    def heard(self, life: Life, sender: str, message: Message) -> None:
        """A transport hands a node what a peer has sent, before anything is decided on it."""

    def written(self, node_id: str, writes: Sequence[Write]) -> None:
        """These writes have just become durable on a node's disk; the disk's state has changed already."""

    def applied(self, life: Life, index: int, command: bytes, result: Hashable) -> None:
        """A state machine has applied a command; `life.applied_index` and `applied_count` are those before it.

        `result` stands for what it returned or raised, such that equal results are equal (see `comparable`).
        """

    def restored(self, life: Life, index: int, count: int) -> None:
        """A state machine was restored from a snapshot that covers `index` entries, `count` of them commands."""

    def digested(self, life: Life, index: int, digest: int) -> None:
        """A state machine that has applied all up to `index` wrote a snapshot whose bytes have this digest."""

    def not_committed(self, index: int, term: int) -> None:
        """A client was told that the entry of `term` that had its place at `index` never will be committed."""

    def disk_replaced(self, node_id: str) -> None:
        """A node that is down was given another disk, or an older copy of its own: what it promised is void."""

    def ended(self, life: Life) -> None:
        """A node has ended, however: all its tasks should be gone. Called from the last of them."""

    def finished(self) -> None:
        """The run is over."""
