"""A store and a transport of each kind, for the contracts that all of them keep."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from raft_actors.observe.trace import Trace
from raft_actors.persistence import Storage
from raft_actors.testing.event_queue import EventQueue
from raft_actors.testing.network import SimulatedNetwork
from raft_actors.transports import MemoryNetwork
from tests.conformance.worlds import QUEUE, World
from tests.persistence.support import Place
from tests.transports.support import free_port


@pytest.fixture(params=["sqlite", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(tmp_path / "n1.db" if request.param == "sqlite" else None)


@pytest.fixture
async def storage(place: Place) -> AsyncIterator[Storage]:
    storage = place.storage()
    yield storage
    await storage.aclose()


@pytest.fixture(params=["memory", "encoded", "simulated", "tcp"])
async def world(request: pytest.FixtureRequest, nursery: trio.Nursery) -> AsyncIterator[World]:
    with ExitStack() as stack:
        addresses = {node_id: f"127.0.0.1:{stack.enter_context(free_port())}" for node_id in "abc"}
        network: MemoryNetwork | None = MemoryNetwork(max_in_flight=QUEUE, encode=request.param == "encoded")
        if request.param == "simulated":
            event_queue = EventQueue()
            network = SimulatedNetwork(max_in_flight=QUEUE, event_queue=event_queue, trace=Trace(), gates={})
            nursery.start_soon(event_queue.run)
        yield World(addresses, None if request.param == "tcp" else network)
