"""An applier with a log, a disk and a state machine around it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from raft_actors.config import NodeConfig
from raft_actors.node.applier import Applier
from raft_actors.node.digester import Digester
from raft_actors.node.snapshotter import SnapshotJob
from raft_actors.persistence.abc import Storage
from raft_actors.raft.effects import Apply
from raft_actors.raft.inputs import StateDigested
from raft_actors.raft.log import Log
from tests.actors.machines import Machine
from tests.actors.stores import open_store


class Stage:
    """An applier with everything around it."""

    def __init__(self, log: Log, storage: Storage, machine: Machine, config: NodeConfig) -> None:
        self.machine = machine
        self.jobs: list[SnapshotJob] = []
        self.digested: list[StateDigested] = []
        self.digester = Digester(config, self._report)
        self.applier = Applier(
            machine,
            log=log,
            storage=storage,
            config=config,
            begin_snapshot=self.jobs.append,
            digester=self.digester,
        )

    async def _report(self, digested: StateDigested) -> None:
        self.digested.append(digested)

    async def apply(self, commit_index: int, *outcomes: Any, keep_from: int | None = None) -> None:
        self.applier.commit_to(Apply(commit_index, outcomes, keep_from))
        self.applier.end_step()
        await wait_all_tasks_blocked()


def no_digests(config: NodeConfig) -> Digester:
    """A digester that nobody runs, for states that nobody compares."""

    async def report(_digested: StateDigested) -> None:
        raise NotImplementedError

    return Digester(config, report)


@asynccontextmanager
async def running(
    log: Log,
    *,
    machine: Machine | None = None,
    storage: Storage | None = None,
    **settings: Any,
) -> AsyncGenerator[Stage, None]:
    stage = Stage(log, storage or await open_store(), machine or Machine(), NodeConfig(**settings))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.applier.run)
        nursery.start_soon(stage.digester.run)
        yield stage
        nursery.cancel_scope.cancel()
