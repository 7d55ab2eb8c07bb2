"""Heartbeats ask for an answer only now and then; a healthy leader must not lose its place by that."""

from __future__ import annotations

import trio

from raft_actors import NodeConfig
from raft_actors.testing import simulate
from raft_actors.transports.faults import Faults
from tests.cluster.support import CommandLog, seeds


@seeds(5)
async def test_a_leader_keeps_its_place_where_answers_take_long_and_its_clock_drifts(seed: int) -> None:
    config = NodeConfig(election_timeout_s=(1.5, 2.0))
    async with simulate(CommandLog, seed=seed, config=config) as cluster:
        leader = await cluster.wait_for_one_leader()
        term = cluster.agreed_term()
        cluster.set_faults(Faults(delay_s=(0.25, 0.3)))
        for rate in (0.8, 1.2):
            cluster.clock(leader).set_rate(rate)
            await trio.sleep(30.0)
            assert cluster.agreed_term() == term


@seeds(5)
async def test_a_leader_that_stood_still_asks_before_it_steps_down(seed: int) -> None:
    """Its followers have not given up yet: it may have asked them nothing for long, but only because it could not."""
    config = NodeConfig(election_timeout_s=(2.0, 3.0), heartbeat_interval_s=0.2)
    async with simulate(CommandLog, seed=seed, config=config) as cluster:
        leader = await cluster.wait_for_one_leader()
        term = cluster.agreed_term()
        for _ in range(20):
            await trio.sleep(cluster.rng.uniform(0.5, 4.0))
            cluster.pause(leader)
            await trio.sleep(1.7)
            cluster.resume(leader)
        await trio.sleep(4.0)
        assert cluster.agreed_term() == term
