"""What survives crashes, as the MIT 6.5840 Raft lab examines it, at its thresholds (in simulated time)."""

from __future__ import annotations

import attrs
import pytest
import trio

from raft_actors import NodeConfig, RoleChanged, RoleName
from raft_actors.persistence import HardState
from raft_actors.testing.disk import SimulatedDisk
from raft_actors.transports import Faults
from tests.cluster.support import Commands, LogCluster, open_log, seeds


@seeds(10)
async def test_restarts_one_by_one_and_all_at_once(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        commands = Commands()
        await cluster.one(commands(), 3)
        await cluster.restart()
        await cluster.one(commands(), 3)
        leader = await cluster.wait_for_one_leader()
        await cluster.restart(leader)
        await cluster.one(commands(), 3)
        leader = await cluster.wait_for_one_leader()
        cluster.crash(leader)
        index = await cluster.one(commands(), 2)
        await cluster.start(leader)
        await cluster.wait_applied(index, 3)
        leader = await cluster.wait_for_one_leader()
        follower = next(name for name in cluster.node_ids if name != leader)
        cluster.crash(follower)
        await cluster.one(commands(), 2)
        await cluster.start(follower)
        await cluster.one(commands(), 3)


@seeds(3)
async def test_a_node_applies_alone_what_it_knows_to_be_committed(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedDisk, "recall_commit", lambda disk: disk.state.commit_index)
    async with open_log(3, seed) as cluster:
        commands = Commands()
        await cluster.one(commands(), 3)
        index = await cluster.one(commands(), 3)
        await trio.sleep(1)  # the last commit is noted with a heartbeat
        for name in cluster.node_ids:
            cluster.crash(name)
        node = await cluster.start("n1")
        await node.wait_applied(index)
        assert node.status().leader is None
        assert node.status().commit_index >= index


@seeds(5)
async def test_quorums_that_overlap_in_one_node(seed: int) -> None:
    """Each quorum knows what the one before it committed, though only one node was in both."""
    async with open_log(5, seed) as cluster:
        commands = Commands()
        for _ in range(5):
            await cluster.one(commands(), 5)
            leader = await cluster.wait_for_one_leader()
            position = cluster.node_ids.index(leader)
            a, b, c, d = (cluster.node_ids[(position + step) % 5] for step in range(1, 5))
            cluster.crash(a)
            cluster.crash(b)
            await cluster.one(commands(), 3)
            for name in (leader, c, d):
                cluster.crash(name)
            await cluster.start(a)
            await cluster.start(b)
            await trio.sleep(1)
            await cluster.start(d)
            await cluster.one(commands(), 3)
            await cluster.start(c)
            await cluster.start(leader)
        await cluster.one(commands(), 5)


@seeds(10)
async def test_a_partitioned_leader_crashes(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        commands = Commands()
        await cluster.one(commands(), 3)
        leader = await cluster.wait_for_one_leader()
        third, second = (name for name in cluster.node_ids if name != leader)
        cluster.disconnect(third)
        await cluster.one(commands(), 2)
        cluster.crash(leader)
        cluster.crash(second)
        cluster.connect(third)
        await cluster.start(leader)
        await cluster.one(commands(), 2)
        await cluster.start(second)
        await cluster.one(commands(), 3)


@pytest.mark.parametrize("restart", [False, True])
@seeds(3)
async def test_a_vote_is_given_once_also_over_a_restart(seed: int, restart: bool) -> None:
    """Two candidates of one term that don't hear each other, and a voter that may crash between their requests."""

    def patience(seconds: float) -> NodeConfig:
        # Without pre-votes, which n3 would refuse n2 already: it is the vote that must be refused here.
        return NodeConfig(election_timeout_s=(seconds, seconds + 0.01), pre_vote=False)

    async with open_log(3, seed, config=patience(50)) as cluster:
        cluster.crash("n1")
        cluster.crash("n2")
        cluster.partition({"n1"}, {"n2"})
        begin = trio.current_time()
        cluster.config = patience(0.4)
        first = await cluster.start("n1")
        cluster.config = patience(0.6)
        await cluster.start("n2")
        async with first.events() as events:
            while await events.receive() != RoleChanged(1, RoleName.LEADER):
                pass
        # Before it can make n3's log longer than n2's, which would be reason enough to refuse n2.
        cluster.disconnect("n1")
        await trio.sleep_until(begin + 0.5)
        assert cluster.disk("n3").state.hard_state == HardState(1, "n1")
        assert cluster.disk("n3").state.last_index == 0
        cluster.config = patience(50)
        if restart:
            await cluster.restart("n3")
        await trio.sleep_until(begin + 0.7)
        assert cluster.node("n2").status().term == 1
        assert cluster.node("n2").status().role is RoleName.CANDIDATE, "n3 has voted twice"


async def figure_8(cluster: LogCluster, rounds: int) -> None:
    """Leaders that crash right after they have appended something, mostly; never less than a quorum for long."""
    rng, commands = cluster.rng, Commands()
    await cluster.one(commands(), 1)
    up = len(cluster.node_ids)
    for _ in range(rounds):
        leader = None
        for name in cluster.node_ids:
            if await cluster.start_command(name, commands()) is not None:
                leader = name
        await trio.sleep(rng.uniform(0, 0.5) if rng.randrange(1000) < 100 else rng.uniform(0, 0.013))
        if leader is not None:
            cluster.crash(leader)
            up -= 1
        if up < cluster.majority:
            name = rng.choice(cluster.node_ids)
            if name not in cluster.nodes:
                await cluster.start(name)
                up += 1
    for name in cluster.node_ids:
        if name not in cluster.nodes:
            await cluster.start(name)
    await cluster.one(commands(), 5)


async def lead(cluster: LogCluster, name: str, *voters: str) -> None:
    """Have this one elected by these, whatever runs now: it alone is impatient. Nobody else is left up."""
    for running in list(cluster.nodes):
        cluster.crash(running)
    cluster.connect()
    cluster.config = attrs.evolve(cluster.config, election_timeout_s=(50, 100))
    for voter in voters:
        await cluster.start(voter)
    cluster.config = attrs.evolve(cluster.config, election_timeout_s=(0.4, 0.5))
    node = await cluster.start(name)
    async with node.events() as events:
        async for event in events:
            if isinstance(event, RoleChanged) and event.role is RoleName.LEADER:
                return


@seeds(5)
async def test_figure_8_step_by_step(seed: int) -> None:
    """An entry of an old term that a majority holds is not committed by that: another leader may overwrite it."""
    # One batch a message, and one message at a time: else an old entry and the no-op after it always go together.
    async with open_log(5, seed, config=NodeConfig(max_append_bytes=1, max_inflight_appends=1)) as cluster:
        network = cluster.network
        await lead(cluster, "n1", "n2", "n3", "n4", "n5")
        await cluster.one(b"everywhere", 5)
        # (a) n1 leads, and replicates an entry to n2 only.
        cluster.disconnect("n3", "n4", "n5")
        old = await cluster.start_command("n1", b"old")
        assert old is not None
        await trio.sleep(0.1)
        assert cluster.disk("n2").state.last_index == old.index
        # (b) n5 leads with the votes of n3 and n4, and has an entry at that index which nobody else gets.
        await lead(cluster, "n5", "n3", "n4")
        cluster.disconnect("n5")
        await trio.sleep(0.1)
        assert cluster.disk("n5").state.last_index == old.index
        # (c) n1 leads again, and brings the old entry to n3, slowly; now three of five hold it.
        network.set_link_faults("n1", "n3", Faults(delay_s=(0.1, 0.1)))
        await lead(cluster, "n1", "n2", "n3")
        while cluster.disk("n3").state.last_index < old.index:  # noqa: ASYNC110 - a disk has no events
            await trio.sleep(0.001)
        await trio.sleep(0.02)
        assert cluster.disk("n3").state.last_index == old.index
        assert cluster.n_committed(old.index)[0] == 0, "committed by counting replicas of an old term"
        # (d) n5 leads with the votes of n3 and n4, and overwrites it.
        network.set_link_faults("n1", "n3", None)
        await lead(cluster, "n5", "n3", "n4")
        await cluster.one(b"new", 3)
        await cluster.start("n1")
        await cluster.start("n2")
        await cluster.one(b"at last", 5)
        assert [entry.command for entry in cluster.facts.history] == [b"everywhere", b"new", b"at last"]


@seeds(3)
async def test_figure_8(seed: int) -> None:
    async with open_log(5, seed) as cluster:
        await figure_8(cluster, 1_000)


@seeds(3)
async def test_agreement_on_an_unreliable_network(seed: int) -> None:
    async with open_log(5, seed) as cluster:
        cluster.unreliable()
        commands = Commands()
        async with trio.open_nursery() as nursery:
            for _ in range(1, 50):
                for _ in range(4):
                    nursery.start_soon(cluster.one, commands(), 1)
                await cluster.one(commands(), 1)
        cluster.reliable()
        await cluster.one(commands(), 5)


@seeds(3)
async def test_figure_8_on_an_unreliable_network(seed: int) -> None:
    async with open_log(5, seed) as cluster:
        cluster.unreliable()
        rng, commands = cluster.rng, Commands()
        await cluster.one(commands(), 1)
        for round_number in range(1_000):
            if round_number == 200:
                cluster.unreliable(late_replies=True)
            leader = None
            for name in cluster.node_ids:
                started = await cluster.start_command(name, commands())
                if started is not None and name in cluster.connected:
                    leader = name
            await trio.sleep(rng.uniform(0, 0.5) if rng.randrange(1000) < 100 else rng.uniform(0, 0.013))
            if leader is not None and rng.randrange(1000) < 500:
                cluster.disconnect(leader)
            if len(cluster.connected) < cluster.majority:
                cluster.connect(rng.choice(cluster.node_ids))
        cluster.connect()
        await cluster.one(commands(), 5)


async def churn(cluster: LogCluster) -> None:
    """Three clients propose while nodes are disconnected, crashed and brought back at random."""
    rng = cluster.rng
    done = trio.Event()
    acknowledged: list[bytes] = []

    async def client(number: int) -> None:
        commands = Commands(f"client {number}, command ")
        while not done.is_set():
            command = commands()
            index = None
            for name in cluster.node_ids:
                started = await cluster.start_command(name, command)
                if started is not None:
                    index = started.index
            if index is None:
                await trio.sleep(0.079 + number * 0.017)
                continue
            for wait_s in (0.01, 0.02, 0.05, 0.1, 0.2):
                _, applied = cluster.n_committed(index)
                if applied is not None:
                    if applied == command:
                        acknowledged.append(command)
                    break
                await trio.sleep(wait_s)
            await trio.sleep(rng.uniform(0, 0.05))

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(client, number)
        for _ in range(20):
            if rng.random() < 0.2:
                cluster.disconnect(rng.choice(cluster.node_ids))
            if rng.random() < 0.5:
                name = rng.choice(cluster.node_ids)
                if name not in cluster.nodes:
                    await cluster.start(name)
                cluster.connect(name)
            if rng.random() < 0.2:
                name = rng.choice(cluster.node_ids)
                if name in cluster.nodes:
                    cluster.crash(name)
            await trio.sleep(0.7)
        await trio.sleep(1)
        cluster.reliable()
        cluster.connect()
        for name in cluster.node_ids:
            if name not in cluster.nodes:
                await cluster.start(name)
        done.set()
    await cluster.one(b"the last", 5)
    history = [entry.command for entry in cluster.facts.history]
    assert acknowledged
    assert set(acknowledged) <= set(history)


@seeds(5)
async def test_churn(seed: int) -> None:
    async with open_log(5, seed) as cluster:
        await churn(cluster)


@seeds(5)
async def test_churn_on_an_unreliable_network(seed: int) -> None:
    async with open_log(5, seed) as cluster:
        cluster.unreliable()
        await churn(cluster)
