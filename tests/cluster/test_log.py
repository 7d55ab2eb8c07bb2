"""Log replication, as the MIT 6.5840 Raft lab examines it, at its thresholds (in simulated time).

Indexes are this project's: each leadership begins with a no-op entry, so the first command comes right after it.
"""

from __future__ import annotations

import statistics

import trio

from raft_actors import NodeConfig
from raft_actors.testing import Started, open_cluster
from tests.cluster.support import CommandLog, Commands, LogCluster, open_log, seeds

ELECTION_S = 2.0


async def start_some(cluster: LogCluster, leader: str, commands: Commands, count: int) -> list[Started]:
    """Have a leader take some commands into its log, committed or not."""
    started = [await cluster.start_command(leader, commands()) for _ in range(count)]
    assert None not in started
    return [one for one in started if one is not None]


@seeds(10)
async def test_basic_agreement(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        command = Commands()
        leader = await cluster.wait_for_one_leader()
        no_op = cluster.node(leader).status().last_index
        for index in range(no_op + 1, no_op + 4):
            assert cluster.n_committed(index) == (0, None), "committed before it was proposed"
            assert await cluster.one(command(), 3, retry=False) == index


@seeds(5)
async def test_each_follower_gets_each_command_about_once(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        network, commands = cluster.network, Commands()
        network.count_bytes = True
        await cluster.one(commands(), 3, retry=False)
        before = network.statistics().sent_bytes
        sent = 0
        for _ in range(10):
            await cluster.one(commands(size=5_000), 3, retry=False)
            sent += 5_000
        assert network.statistics().sent_bytes - before <= 3 * sent + 50_000


@seeds(10)
async def test_followers_fail_one_after_the_other(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        commands = Commands()
        await cluster.one(commands(), 3, retry=False)
        leader = await cluster.wait_for_one_leader()
        first, second = (name for name in cluster.node_ids if name != leader)
        cluster.disconnect(first)
        await cluster.one(commands(), 2, retry=False)
        await trio.sleep(ELECTION_S)
        await cluster.one(commands(), 2, retry=False)
        assert await cluster.wait_for_one_leader() == leader
        cluster.disconnect(second)
        (started,) = await start_some(cluster, leader, commands, 1)
        await trio.sleep(ELECTION_S)
        assert cluster.n_committed(started.index)[0] == 0, "committed without a quorum"


@seeds(10)
async def test_leaders_fail_one_after_the_other(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        commands = Commands()
        await cluster.one(commands(), 3, retry=False)
        first = await cluster.wait_for_one_leader()
        cluster.disconnect(first)
        await cluster.one(commands(), 2)
        await trio.sleep(ELECTION_S)
        await cluster.one(commands(), 2)
        second = await cluster.wait_for_one_leader()
        cluster.disconnect(second)
        started = [await cluster.start_command(name, commands()) for name in cluster.node_ids]
        await trio.sleep(ELECTION_S)
        for one in started:
            assert one is None or cluster.n_committed(one.index)[1] != f"c{commands.count}".encode()
        assert len(cluster.facts.history) == 3


@seeds(10)
async def test_a_follower_that_was_away_agrees_again(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        commands = Commands()
        await cluster.one(commands(), 3, retry=False)
        leader = await cluster.wait_for_one_leader()
        away = next(name for name in cluster.node_ids if name != leader)
        cluster.disconnect(away)
        for pause_s in (0, 0, ELECTION_S, 0):
            await trio.sleep(pause_s)
            await cluster.one(commands(), 2, retry=False)
        cluster.connect(away)
        await cluster.one(commands(), 3)
        await trio.sleep(ELECTION_S)
        await cluster.one(commands(), 3)


@seeds(10)
async def test_no_agreement_without_a_quorum(seed: int) -> None:
    async with open_log(5, seed) as cluster:
        commands = Commands()
        await cluster.one(commands(), 5, retry=False)
        leader = await cluster.wait_for_one_leader()
        others = [name for name in cluster.node_ids if name != leader]
        cluster.disconnect(*others[:3])
        (started,) = await start_some(cluster, leader, commands, 1)
        assert started.index == cluster.node(leader).status().last_index
        await trio.sleep(ELECTION_S)
        assert cluster.n_committed(started.index)[0] == 0
        cluster.connect(*others[:3])
        # What the old leader held may have survived or not; either way the logs go on as one.
        second = await cluster.wait_for_one_leader()
        (again,) = await start_some(cluster, second, commands, 1)
        assert again.index > started.index - 1
        await cluster.one(commands(), 5)


@seeds(10)
async def test_commands_proposed_at_once_get_places_of_their_own(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        first = cluster.node(leader).status().last_index + 1
        started: list[Started] = []

        async def propose(number: int) -> None:
            one = await cluster.start_command(leader, b"%d" % number)
            assert one is not None
            started.append(one)

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(propose, number)
        assert {one.term for one in started} == {cluster.node(leader).status().term}
        assert sorted(one.index for one in started) == list(range(first, first + 5))
        await cluster.wait_applied(first + 4, 3)
        assert {cluster.n_committed(index)[1] for index in range(first, first + 5)} == {b"%d" % n for n in range(5)}
        assert sorted([await one.proposal.wait() for one in started]) == [1, 2, 3, 4, 5]


@seeds(10)
async def test_a_partitioned_leader_rejoins(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        commands = Commands()
        await cluster.one(commands(), 3)
        first = await cluster.wait_for_one_leader()
        cluster.disconnect(first)
        await start_some(cluster, first, Commands("lost"), 3)
        await cluster.one(commands(), 2)
        # The second leader goes, and the first one comes back with entries that nobody else has.
        second = await cluster.wait_for_one_leader()
        cluster.disconnect(second)
        cluster.connect(first)
        await cluster.one(commands(), 2)
        cluster.connect(second)
        await cluster.one(commands(), 3)
        assert all(entry.command.startswith(b"c") for entry in cluster.facts.history)


@seeds(3)
async def test_leaders_back_up_over_long_wrong_logs(seed: int) -> None:
    async with open_log(5, seed) as cluster:
        commands, doomed = Commands(), Commands("doomed")
        await cluster.one(commands(), 5)
        first = await cluster.wait_for_one_leader()
        one, *majority = (name for name in cluster.node_ids if name != first)
        # A leader and one follower, with 50 entries that can't commit; the others go on.
        cluster.disconnect(*majority)
        await start_some(cluster, first, doomed, 50)
        await trio.sleep(0.25)
        cluster.disconnect(first, one)
        cluster.connect(*majority)
        for _ in range(50):
            await cluster.one(commands(), 3)
        # The same again among those three, with one of them out.
        second = await cluster.wait_for_one_leader()
        out = next(name for name in majority if name != second)
        cluster.disconnect(out)
        await start_some(cluster, second, doomed, 50)
        await trio.sleep(0.25)
        # Now only the first pair and the one that was out: two kinds of wrong logs, and one right one.
        cluster.disconnect(*cluster.connected)
        cluster.connect(first, one, out)
        for _ in range(50):
            await cluster.one(commands(), 3)
        cluster.connect()
        await cluster.one(commands(), 5)
        # Without its quorum the second leader's fifty could not commit, nor the first one's.
        assert all(entry.command.startswith(b"c") for entry in cluster.facts.history)
        assert len(cluster.facts.history) == 102


@seeds(10)
async def test_not_too_many_messages(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        commands, network = Commands(), cluster.network
        leader = await cluster.wait_for_one_leader()
        assert 1 <= network.statistics().requests <= 30
        await trio.sleep(0.3)
        before = network.statistics().requests
        started = await start_some(cluster, leader, commands, 10)
        await cluster.wait_applied(started[-1].index, 3)
        assert [cluster.n_committed(one.index)[1] for one in started] == [b"c%d" % n for n in range(1, 11)]
        assert network.statistics().requests - before <= (10 + 1 + 3) * 3
        before = network.statistics().requests
        await trio.sleep(1)
        assert network.statistics().requests - before <= 3 * 20


@seeds(5)
async def test_a_slow_follower_disk_holds_up_nobody(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        commands = Commands()
        leader = await cluster.wait_for_one_leader()
        slow = next(name for name in cluster.node_ids if name != leader)
        cluster.disk(slow).write_delay_s = 5.0
        begin = trio.current_time()
        for _ in range(10):
            await cluster.one(commands(), 2, retry=False)
        # The other follower learns of each commit with the next heartbeat.
        assert trio.current_time() - begin < 10 * NodeConfig().heartbeat_interval_s + 0.5
        assert cluster.leader() == leader
        cluster.disk(slow).write_delay_s = 0.001
        await cluster.wait_applied(cluster.node(leader).status().commit_index, 3, timeout_s=20)


@seeds(3)
async def test_followers_of_a_quiet_leader_apply_soon(seed: int) -> None:
    """Not only with the next heartbeat: an append can't tell that it is committed itself."""

    class Noting(CommandLog):
        def __init__(self) -> None:
            super().__init__()
            self.when: list[float] = []

        def apply(self, command: bytes) -> int:
            self.when.append(trio.current_time())
            return super().apply(command)

    async with open_cluster(Noting, nodes=3, seed=seed, config=NodeConfig()) as cluster:
        leader = await cluster.wait_for_one_leader()
        lags: list[float] = []
        for _ in range(20):
            await cluster.node(leader).propose(b"x")
            await trio.sleep(1.037)
            times = [cluster.state_machine(node_id).when[-1] for node_id in cluster.node_ids]
            lags.append(max(times) - min(times))
        assert statistics.median(lags) <= 0.005
