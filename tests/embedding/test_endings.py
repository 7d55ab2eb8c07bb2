"""What a node says of itself from its making to its end, and of what ended it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import pytest
import trio
import trio.testing

from raft_actors import (
    CommitAdvanced,
    ConfigurationError,
    LeaderChanged,
    NodeState,
    NodeStopped,
    RoleChanged,
    StateMachineError,
    StorageError,
    StorageFailed,
    UsageError,
    open_node,
    run_node,
)
from raft_actors.persistence import MemoryStorage
from raft_actors.raft.persistent_state import Write
from tests.actors.machines import Machine
from tests.embedding.support import arguments, make_node


class Broken(Machine):
    """Can't take snapshots: at once, or while they are written."""

    late = False

    def snapshot(self) -> Iterable[bytes]:
        if not self.late:
            raise RuntimeError("broken")

        def chunks() -> Iterable[bytes]:
            yield b"x"
            raise RuntimeError("broken late")

        return chunks()


class BrokenLate(Broken):
    late = True


class NeverCloses(MemoryStorage):
    """A storage that finds at closing that something went wrong."""

    async def aclose(self) -> None:
        await super().aclose()
        raise StorageFailed("noticed at closing")


async def test_a_nodes_life_has_states() -> None:
    gate = trio.Event()
    gate.set()

    class Gated(MemoryStorage):
        async def write(self, writes: Sequence[Write]) -> None:
            await gate.wait()
            await super().write(writes)

    node = make_node(storage=Gated())
    states = [node.state]
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        await node.wait_leader()
        states += [node.state, node.status().state]
        gate = trio.Event()
        pending = node.propose_nowait(b"x")
        nursery.start_soon(node.aclose)
        await trio.testing.wait_all_tasks_blocked()
        states.append(node.state)
        gate.set()
    states += [node.state, node.status().state]
    new, running, closing, closed = NodeState.NEW, NodeState.RUNNING, NodeState.CLOSING, NodeState.CLOSED
    assert states == [new, running, running, closing, closed, closed]
    assert await pending.wait() == "result of x"


async def test_an_ended_node_neither_leads_nor_knows_a_leader_and_says_so_in_its_last_events() -> None:
    async with open_node("n1", **arguments()) as node:
        await node.wait_leader()
        await node.propose(b"x")
        subscription = node.events()
        events = await subscription.__aenter__()
    status = node.status()
    assert (status.state, status.role, status.leader, status.applied_index) == (NodeState.CLOSED, None, None, 2)
    assert await trio.to_thread.run_sync(node.status) == status  # nothing changes any more
    seen = [event async for event in events if not isinstance(event, CommitAdvanced)]
    assert seen == [RoleChanged(1, None), LeaderChanged(1, None)]
    await subscription.__aexit__(None, None, None)
    for call in (node.wait_leader, partial(node.propose, b"x"), node.take_snapshot, partial(node.wait_applied, 9)):
        with pytest.raises(NodeStopped, match="node 'n1' has stopped"):
            await call()


async def test_nobody_is_told_of_a_leader_while_the_storage_of_an_ended_node_closes() -> None:
    closing, go_on = trio.Event(), trio.Event()

    class Slow(MemoryStorage):
        async def aclose(self) -> None:
            closing.set()
            await go_on.wait()
            await super().aclose()

    async with trio.open_nursery() as nursery:
        node = make_node(storage=Slow())
        await nursery.start(node.run)
        await node.wait_leader()
        nursery.start_soon(node.aclose)
        await closing.wait()
        assert (node.state, node.status().role, node.status().leader) == (NodeState.CLOSED, None, None)
        with pytest.raises(NodeStopped):
            await node.wait_leader()
        go_on.set()


async def test_a_node_closed_before_it_was_run_has_ended() -> None:
    node = make_node()
    await node.aclose()
    assert node.state is NodeState.CLOSED
    with pytest.raises(NodeStopped):
        await node.propose(b"x")
    with pytest.raises(ConfigurationError, match="was run before"):
        await node.run()


async def test_a_node_that_recovers_can_not_be_looked_at_yet() -> None:
    opening, go_on = trio.Event(), trio.Event()

    class Slow(MemoryStorage):
        async def open(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
            opening.set()
            await go_on.wait()
            return await super().open(*args, **kwargs)  # type: ignore[arg-type]

    node = make_node(storage=Slow())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.run)
        await opening.wait()
        assert node.state is NodeState.RECOVERING
        with pytest.raises(UsageError, match="has not recovered yet"):
            node.status()
        go_on.set()
        await node.wait_leader()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("machine", "text"), [(Broken, "broken"), (BrokenLate, "broken late")])
async def test_a_snapshot_that_fails_tells_its_taker_why(machine: type[Broken], text: str) -> None:
    async def live(task_status: trio.TaskStatus[object]) -> None:  # noqa: ASYNC128 - the node calls it
        with pytest.raises(StateMachineError) as crash:
            await run_node("n1", **arguments(machine), task_status=task_status)
        assert str(crash.value.__cause__) == text

    async with trio.open_nursery() as nursery:
        node = await nursery.start(live)
        await node.wait_leader()
        await node.propose(b"x")
        with pytest.raises(NodeStopped) as stopped, trio.fail_after(5):
            await node.take_snapshot()
        assert isinstance(stopped.value.__cause__, StateMachineError)
        assert str(stopped.value.__cause__.__cause__) == text
    assert (node.state, node.status().role) == (NodeState.CRASHED, None)
    assert node.crash is stopped.value.__cause__


@pytest.mark.parametrize("form", ["open_node", "run_node"])
async def test_both_forms_of_opening_end_with_one_error(form: str) -> None:
    async def live() -> None:
        if form == "open_node":
            async with open_node("n1", **arguments(Broken)) as node:
                await node.wait_leader()
                await node.propose(b"x")
                await node.take_snapshot()
        else:
            async with trio.open_nursery() as nursery:
                node = await nursery.start(partial(run_node, "n1", **arguments(Broken)))
                await node.wait_leader()

                @nursery.start_soon
                async def _() -> None:
                    await node.propose(b"x")
                    with pytest.raises(NodeStopped):
                        await node.take_snapshot()

    if form == "open_node":
        with pytest.raises(StateMachineError, match="can't take a snapshot"):
            await live()
    else:
        with pytest.RaisesGroup(pytest.RaisesExc(StateMachineError, match="can't take a snapshot")):
            await live()


async def test_an_error_at_closing_ends_the_node_and_lets_those_who_wait_for_its_end_go() -> None:
    node = make_node(storage=NeverCloses())
    with pytest.RaisesGroup(pytest.RaisesExc(StorageFailed, match="noticed at closing")):
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run)
            with trio.CancelScope(shield=True), trio.fail_after(5):
                await node.aclose()
    assert isinstance(node.crash, StorageError)
    assert node.state is NodeState.CRASHED
    with pytest.raises(StorageFailed, match="noticed at closing"):
        async with open_node("n1", **arguments(storage=NeverCloses())):
            pass
