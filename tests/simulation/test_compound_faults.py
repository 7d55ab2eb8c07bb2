"""Compound faults come to the situations that they are for, and profiles lean towards them."""

from __future__ import annotations

from random import Random

import pytest
import trio
from typing_extensions import override

from raft_actors import ConfigurationError, NodeConfig
from raft_actors.raft.roles import Leader
from raft_actors.testing import STANDARD_INVARIANTS, Life, Plan, simulate
from raft_actors.testing.actions import ACTIONS
from raft_actors.testing.fault_injector import FaultInjector
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.member_actions import MEMBER_ACTIONS
from raft_actors.testing.profiles import PROFILES, draw_profile
from tests.cluster.support import CommandLog

SETTINGS = NodeConfig(max_append_bytes=100, log_cache_bytes=1, trailing_entries=0, snapshot_entries=None)


# --- what compound faults are made of --------------------------------------------------------------------------------


async def test_a_leader_that_is_fed_appends_and_others_do_not() -> None:
    async with simulate(CommandLog, seed=1) as cluster:
        leader = await cluster.wait_for_one_leader()
        before = {name: node.status().last_index for name, node in cluster.nodes.items()}
        for name in cluster.node_ids:
            await cluster.feed(name, 20)
        await cluster.wait_applied(before[leader] + 20, 3)
        assert cluster.node(leader).status().last_index == before[leader] + 20
        assert not cluster.facts.history, "no command of the application"


async def test_what_is_held_back_arrives_late_and_nothing_else_does() -> None:
    async with simulate(CommandLog, seed=2) as cluster:
        leader = await cluster.wait_for_one_leader()
        one, other = (name for name in cluster.node_ids if name != leader)
        cluster.hold_back([leader], [one])
        index = await cluster.one(b"x", 2)
        assert cluster.applied_index(one) < index <= cluster.applied_index(other)
        assert cluster.network.link_statistics(leader, one).in_flight > 0
        cluster.let_through([leader], [one])
        await cluster.wait_applied(index, 3)


async def test_a_disk_that_reads_slowly_and_writes_at_once() -> None:
    async with simulate(CommandLog, seed=3, config=SETTINGS) as cluster:
        leader = await cluster.wait_for_one_leader()
        name = next(name for name in cluster.node_ids if name != leader)
        index = await cluster.one(b"x", 3)
        cluster.crash(name)
        cluster.disk(name).slow_down(0.0, read_s=1.0)
        await cluster.start(name)
        with trio.move_on_after(0.9):
            await cluster.wait_applied(index, 3)
        assert cluster.applied_index(name) < index
        assert cluster.node(name).status().commit_index >= index, "it knows, but has not read it"
        cluster.disk(name).mend()
        await cluster.wait_applied(index, 3)


async def test_a_deposed_leader_answers_nothing() -> None:
    async with simulate(CommandLog, seed=4) as cluster:
        old = await cluster.wait_for_one_leader()
        client = cluster.client("c")
        assert await client.read_once(old, "anything", lambda machine: machine.commands) == CommandLog().commands
        cluster.isolate(old)
        assert await client.read_once(old, "anything", lambda _machine: 1) is None
        other = next(name for name in cluster.node_ids if name != old)
        cluster.crash(other)
        assert await client.read_once(other, "anything", lambda _machine: 1) is None
        assert len(cluster.history.operations()) == 1


async def test_a_node_that_is_made_to_stand_leads_but_where_another_is_first() -> None:
    """What breaks the others' word with the leader has them ask, too."""
    led = 0
    for seed in range(10):
        async with simulate(CommandLog, seed=seed) as cluster:
            old = await cluster.wait_for_one_leader()
            await cluster.one(b"x", 3)
            name = next(name for name in cluster.node_ids if name != old)
            injector = FaultInjector(cluster, Plan(config=NodeConfig()))
            await injector.stand(name)
            led += await injector.wait_for(lambda: cluster.leader() == name, 3.0)  # noqa: B023 - called before the next
            assert cluster.clock(name).rate == 1.0
    assert led >= 8


# --- compound faults -------------------------------------------------------------------------------------------------


class Noted(Invariant):
    """Notes what befell the nodes of a cluster."""

    name = "noted"
    source = "nowhere"

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self._leading: set[str] = set()

    @override
    def changed(self, life: Life) -> None:
        log = life.log
        if log.epoch > life.seen_epoch:
            self.seen.add("replaced by a snapshot" if log.snapshot is not life.seen_snapshot else "overwritten")
        if isinstance(life.role, Leader):
            self._leading.add(life.node_id)
        else:
            self._leading.discard(life.node_id)
        if len(self._leading) > 1:
            self.seen.add("two leaders")


@pytest.mark.parametrize(
    ("fault", "situation"),
    [
        ("strand", "overwritten"),
        ("leave_behind", "replaced by a snapshot"),
        ("sleep_through", "replaced by a snapshot"),
        ("drown", "replaced by a snapshot"),
        ("answer_late", "two leaders"),
    ],
)
async def test_a_compound_fault_comes_to_its_situation(fault: str, situation: str) -> None:
    noted = Noted()
    plan = Plan(config=SETTINGS, actions={fault: 1.0}, gap_s=0.5)
    invariants = (*STANDARD_INVARIANTS, lambda: noted)
    async with simulate(CommandLog, nodes=5, seed=6, config=SETTINGS, invariants=invariants) as cluster:
        await cluster.one(b"x", 5)
        await FaultInjector(cluster, plan).run(20.0)
        await cluster.check_liveness()
    assert situation in noted.seen


async def test_a_disk_that_is_held_up_is_the_leaders() -> None:
    plan = Plan(config=SETTINGS, actions={"hold_up_leader": 1.0}, gap_s=0.5)
    async with simulate(CommandLog, seed=7, trace=True) as cluster:
        leader = await cluster.wait_for_one_leader()
        await FaultInjector(cluster, plan).run(5.0)
        slow = [event["nodes"] for event in cluster.trace.events() if event.get("what") == "slow disk"]
        assert slow
        assert all(nodes == [leader] for nodes in slow)


# --- profiles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
def test_a_plan_of_a_profile(profile: str) -> None:
    plans = [Plan.draw(Random(seed), profile) for seed in range(50)]
    assert {plan.profile for plan in plans} == {profile}
    assert len({tuple(plan.actions) for plan in plans}) > 10
    assert all(set(plan.actions) <= {*ACTIONS, *MEMBER_ACTIONS} for plan in plans)


def test_seeds_draw_all_profiles() -> None:
    drawn = [Plan.draw(Random(f"{seed} plan")).profile for seed in range(200)]
    only_asked_for = {"versions", "impostors"}
    assert min(map(drawn.count, set(PROFILES) - only_asked_for)) >= 8


def test_whether_a_seed_is_about_members_moves_no_other_draw() -> None:
    for seed in range(20):
        drawn, other = Random(seed), Random(seed)
        draw_profile(drawn)
        other.random()
        assert drawn.getstate() == other.getstate()


def test_an_unknown_profile() -> None:
    with pytest.raises(ConfigurationError, match="no profile 'nothing'"):
        Plan.draw(Random(1), "nothing")
