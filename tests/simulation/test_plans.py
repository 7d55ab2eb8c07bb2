"""Plans differ from seed to seed, leave a majority of disks whole, and end healed; what breaks the engine is found."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
import trio

from raft_actors.raft.state import RaftState
from raft_actors.testing import Options, Plan, Simulation, run_seed, simulate
from raft_actors.testing.actions import ACTIONS
from raft_actors.testing.fault_injector import FaultInjector
from raft_actors.testing.invariants import EqualResults
from raft_actors.transports.faults import Faults
from tests.cluster.support import CommandLog

PLANS = [Plan.draw(Random(f"{seed} plan")) for seed in range(200)]


def test_every_action_is_in_many_plans_and_missing_in_many() -> None:
    for name in ACTIONS:
        count = sum(name in plan.actions for plan in PLANS)
        assert 40 < count < 160, name
    assert any(not plan.actions for plan in PLANS)


def test_messages_meet_something_in_most_plans_and_nothing_in_some() -> None:
    for name in ("drop", "duplicate", "reorder", "replay"):
        count = sum(getattr(plan.requests, name) > 0 for plan in PLANS)
        assert 40 < count < 160, name
    assert any(plan.requests == Faults(delay_s=plan.requests.delay_s) for plan in PLANS)


def test_the_same_seed_draws_the_same_plan() -> None:
    assert Plan.draw(Random("7 plan")) == PLANS[7]
    assert PLANS[7] != PLANS[8]


@pytest.mark.parametrize("nodes", [3, 4, 5, 7])
async def test_a_majority_of_disks_stays_whole(nodes: int) -> None:
    destructive: dict[str, float] = dict.fromkeys(("damage_disk", "put_older_copy", "wipe_disk"), 1.0)
    plan = Plan(config=PLANS[0].config, actions=destructive, gap_s=0.1)
    async with simulate(CommandLog, nodes=nodes, seed=nodes) as cluster:
        await cluster.one(b"x", nodes)
        injector = FaultInjector(cluster, plan)
        await injector.run(10.0)
        assert injector.taken.total() > 50
        assert 0 < len(cluster.lost) <= (nodes - 1) // 2
        await cluster.check_liveness()
        await cluster.one(b"y", cluster.majority)


@pytest.mark.parametrize("name", ACTIONS)
async def test_each_action_alone(name: str) -> None:
    plan = Plan(config=PLANS[0].config, actions={name: 1.0}, gap_s=0.5, down_s=0.5)
    async with simulate(CommandLog, seed=len(name)) as cluster:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(propose_for_ever, cluster)
            injector = FaultInjector(cluster, plan)
            await injector.run(5.0)
            nursery.cancel_scope.cancel()
        assert injector.taken[name] > 2
        assert len(cluster.nodes) + len(cluster.lost) == 3
        await cluster.check_liveness()


async def propose_for_ever(cluster: Simulation[bytes, int]) -> None:
    while True:
        for name in cluster.node_ids:
            await cluster.start_command(name, b"x")
        await trio.sleep(0.05)


def test_a_node_that_forgets_whom_it_voted_for_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RaftState, "vote_for", lambda _state, _candidate: None)
    reports = [run_seed(seed, Options(seconds=5.0)) for seed in range(3)]
    broken = [report for report in reports if not report.ok]
    assert broken
    for report in broken:
        assert report.verdict == "broken"
        assert report.broken
        assert f"seed {report.seed}, at " in report.text
        assert report.events[-1]["n"] > len(report.events) / 2
        assert any(event["kind"] == "broken" for event in report.events)


@pytest.mark.parametrize(("equal_results", "compared"), [(EqualResults, True), (EqualResults.without_snapshots, False)])
async def test_nodes_compare_their_states_where_equal_ones_have_equal_snapshots(
    equal_results: Callable[[], EqualResults], compared: bool
) -> None:
    async with simulate(CommandLog, seed=1, invariants=[equal_results]) as cluster:
        assert (cluster.config.state_check_entries is not None) is compared
