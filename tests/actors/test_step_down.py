"""After a leader has stepped down, no task of its leadership exists: read off Trio's own tree of tasks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

from raft_actors import ClusterConfig, Node, NodeConfig, NotCommitted, NotLeader, RoleName, open_node
from raft_actors.persistence import MemoryStorage
from raft_actors.raft.effects import Effect
from raft_actors.raft.roles import Candidate, Follower, Role
from raft_actors.transports import MemoryNetwork
from tests.actors.machines import Machine

IDS = ("n1", "n2", "n3")
Nodes = dict[str, Node[Machine]]


def tasks(task: trio.lowlevel.Task | None = None) -> Iterator[trio.lowlevel.Task]:
    """A task and all below it; by default all that there are."""
    task = task or trio.lowlevel.current_root_task()
    assert task is not None
    yield task
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield from tasks(child)


def replicators(node_id: str) -> set[str]:
    """The replicators of a node that exist now, by name."""
    return {task.name for task in tasks() if task.name.startswith(f"replicator {node_id} ")}


@asynccontextmanager
async def three_nodes(network: MemoryNetwork) -> AsyncGenerator[Nodes, None]:
    cluster = ClusterConfig("test", dict.fromkeys(IDS, "in memory"))
    nodes: Nodes = {}
    async with AsyncExitStack() as stack:
        for seed, node_id in enumerate(IDS):
            nodes[node_id] = await stack.enter_async_context(
                open_node(
                    node_id,
                    cluster=cluster,
                    state_machine=Machine(),
                    storage=MemoryStorage(),
                    transport=network.transport(node_id),
                    config=NodeConfig(seed=seed),
                )
            )
        yield nodes


async def wait_until(condition: Callable[[], bool]) -> None:
    """Let the cluster live on, on a clock that jumps, until something holds."""
    with trio.fail_after(60):  # noqa: ASYNC912 - a condition that holds at once is fine
        while not condition():  # noqa: ASYNC110 - the clock jumps
            await trio.sleep(0.01)


async def wait_leader(nodes: Nodes) -> Node[Machine]:
    def leaders() -> list[Node[Machine]]:
        return [node for node in nodes.values() if node.status().role is RoleName.LEADER]

    await wait_until(lambda: bool(leaders()))
    return leaders()[0]


@pytest.fixture
def left_over(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """What exists of earlier leaderships whenever a node begins to be a follower or candidate."""
    found: list[set[str]] = []

    def watch(role: type[Role]) -> None:
        start = role.start

        def watched(self: Role, now: float) -> list[Effect]:
            found.append(replicators(self.state.node_id))
            return start(self, now)

        monkeypatch.setattr(role, "start", watched)

    watch(Follower)
    watch(Candidate)
    return found


async def test_a_leader_has_one_replicator_for_each_follower(autojump_clock: trio.testing.MockClock) -> None:
    async with three_nodes(MemoryNetwork()) as nodes:
        leader = (await wait_leader(nodes)).node_id
        peers = [node_id for node_id in IDS if node_id != leader]
        assert replicators(leader) == {f"replicator {leader} → {peer}" for peer in peers}
        assert [replicators(peer) for peer in peers] == [set(), set()]


async def test_no_task_of_a_leadership_lives_when_the_next_role_begins(
    autojump_clock: trio.testing.MockClock, left_over: list[set[str]]
) -> None:
    network = MemoryNetwork()
    async with three_nodes(network) as nodes:
        for _ in range(3):
            leader = await wait_leader(nodes)
            network.disconnect(leader.node_id)
            await wait_until(lambda: leader.status().role is not RoleName.LEADER)  # noqa: B023 - waited for at once
            assert replicators(leader.node_id) == set()
            network.connect(leader.node_id)
    assert len(left_over) >= 9
    assert left_over == [set()] * len(left_over)


async def test_a_leader_that_hears_of_a_higher_term_leaves_nothing_behind(
    autojump_clock: trio.testing.MockClock, left_over: list[set[str]]
) -> None:
    network = MemoryNetwork()
    async with three_nodes(network) as nodes:
        old = await wait_leader(nodes)
        for peer in IDS:
            network.cut(old.node_id, peer)  # it hears them, and they don't hear it
        await wait_until(lambda: old.status().role is RoleName.FOLLOWER)
        assert replicators(old.node_id) == set()
    assert left_over == [set()] * len(left_over)


async def test_its_proposers_are_told_and_its_followers_commit_nothing_of_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network = MemoryNetwork()
    async with three_nodes(network) as nodes:
        old = await wait_leader(nodes)
        assert await old.propose(b"kept") == "result of kept"
        network.disconnect(old.node_id)
        lost, term = old.propose_nowait(b"lost"), old.status().term
        await wait_until(lambda: old.status().role is RoleName.PRE_CANDIDATE)
        with pytest.raises(NotLeader):
            await old.propose(b"refused", forward=False)
        new = await wait_leader({node_id: node for node_id, node in nodes.items() if node is not old})
        await new.propose(b"next")
        network.connect(old.node_id)
        await old.wait_applied(new.status().commit_index)
        machine: Machine = old._supervisor.state_machine  # type: ignore[assignment]
        assert machine.commands_applied == [b"kept", b"next"]
        with pytest.raises(NotCommitted) as never:
            await lost.wait()
        assert never.value.term == term


async def test_no_task_of_a_node_lives_when_it_was_closed(autojump_clock: trio.testing.MockClock) -> None:
    before = set(tasks())
    async with three_nodes(MemoryNetwork()) as nodes:
        await wait_leader(nodes)
    assert set(tasks()) == before


@pytest.mark.parametrize("turns", range(30))
async def test_ending_in_the_middle_of_work_is_no_error(turns: int) -> None:
    """Its actors end in any order, and what one of them still had in hand for another is just dropped."""

    async def work(node: Node[Machine]) -> None:
        while True:
            await node.propose(b"x")

    config = NodeConfig(election_timeout_s=(0.001, 0.002), heartbeat_interval_s=0.0005, snapshot_entries=1)
    node = Node(
        "n1",
        cluster=ClusterConfig("test", {"n1": ""}),
        state_machine=Machine(),
        storage=MemoryStorage(),
        transport=MemoryNetwork().transport("n1"),
        config=config,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        await node.wait_leader()
        for _ in range(20):
            nursery.start_soon(work, node)
        for _ in range(turns):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert node.crash is None
