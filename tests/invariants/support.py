"""A stage on which an invariant is shown what no cluster needs to do: lives, decisions, messages and writes by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import attrs
import trio
from trio.testing import MockClock

from raft_actors.persistence.log_state import LogState
from raft_actors.persistence.memory_disk import MemoryDisk
from raft_actors.raft.messages import Message
from raft_actors.raft.persistent_state import HardState, LogWrite, TermRun, Write
from raft_actors.raft.roles import Role
from raft_actors.testing import Invariant, Life
from raft_actors.testing.watch import Watch


class Stage:
    """Three nodes and one invariant that watches them."""

    def __init__(self, invariant: Invariant) -> None:
        self.wrong: list[str] = []
        self.disks = {name: MemoryDisk() for name in ("n1", "n2", "n3")}
        self.watch = Watch(self.disks, [invariant], self.wrong.append)
        self._starts: dict[str, int] = {}

    def life(self, node_id: str = "n1", role: Role | None = None, *, applied_index: int = 0) -> Life:
        """A new start of a node, which has recovered as this role has it."""
        self._starts[node_id] = self._starts.get(node_id, 0) + 1
        life = Life(node_id, self._starts[node_id], self.disks[node_id])
        if role is not None:
            self.decide(life, role, applied_index=applied_index)
        return life

    def decide(self, life: Life, role: Role, *, applied_index: int = 0) -> None:
        """A decision has left a node as this role has it."""
        inside: Any = SimpleNamespace(
            applier=SimpleNamespace(applied_index=applied_index),
            admission=SimpleNamespace(count=0, bytes=0),
            role_actor=None,
        )
        if life.supervisor is not None:
            life.supervisor.applier = inside.applier
        self.watch.observer(life)(inside, role)

    def commit(self, node_id: str, role: Role, index: int, *, applied_index: int = 0) -> Life:
        """A new start of a node, which has recovered as this role has it; now it takes `index` for committed."""
        life = self.life(node_id, role)
        role.state.commit(index)
        self.decide(life, role, applied_index=applied_index)
        return life

    def send(self, life: Life, to: str, message: Message) -> None:
        """A node says something, which nobody will ever hear."""
        nowhere: Any = SimpleNamespace(send_nowait=lambda _to, _message: False)
        self.watch.transport(life, nowhere).send_nowait(to, message)

    def hear(self, life: Life, sender: str, message: Message) -> None:
        """A node's transport brings something, of which nothing will come."""
        for tell in self.watch._heard:
            tell(life, sender, message)

    def store(
        self, node_id: str, terms: Sequence[int], *, term: int | None = None, voted_for: str | None = None
    ) -> None:
        """A disk now holds an entry of each of these terms, from index 1 on, and this term and vote."""
        runs: list[TermRun] = []
        for index, entry_term in enumerate(terms, 1):
            if not runs or runs[-1].term != entry_term:
                runs.append(TermRun(entry_term, index))
        hard_state = HardState(max(terms, default=0) if term is None else term, voted_for)
        self.disks[node_id].state = LogState(hard_state, None, 1, len(terms), tuple(runs))

    def write(self, node_id: str, *writes: Write) -> None:
        """Something becomes durable, in fact and in word."""
        disk = self.disks[node_id]
        for write in writes:
            if isinstance(write, LogWrite):
                disk.state = disk.state.after_log_write(write)
        self.watch.written(node_id, writes)

    def reset_disk(self, node_id: str, **changes: Any) -> None:
        """A disk says something else from now on."""
        disk = self.disks[node_id]
        disk.state = attrs.evolve(disk.state, **changes)

    def expect_nothing(self) -> None:
        """All was legal so far."""
        assert self.wrong == []

    def expect(self, text: str) -> None:
        """One thing was not, and was said so."""
        assert len(self.wrong) == 1, self.wrong
        assert text in self.wrong[0]
        self.wrong.clear()


def run_simulated(scenario: Callable[[], Awaitable[Any]], seconds: float = 120) -> None:
    """Run a scenario in simulated time; it fails if it takes longer than so many simulated seconds."""

    async def limited() -> None:
        with trio.fail_after(seconds):
            await scenario()

    trio.run(limited, clock=MockClock(autojump_threshold=0))
