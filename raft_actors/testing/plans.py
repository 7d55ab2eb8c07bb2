"""What befalls a simulated cluster in a run, drawn from a seed.

Each seed draws which faults there are and how strong they are, and leaves many out (swarm testing): a fault that makes
the cluster stand still hides what another one would have shown, and some defects need a network without any.
"""

from __future__ import annotations

import math
from random import Random

import attrs

from raft_actors.config import KIB, MIB, Leases, NodeConfig
from raft_actors.testing.actions import ACTIONS
from raft_actors.testing.plan import PlannedFaults, draw_faults
from raft_actors.testing.profiles import draw_profile, focus

LEAST_NODES = 3
MOST_NODES = 7


@attrs.frozen(kw_only=True)
class Plan(PlannedFaults):
    """One run's faults. `draw` makes one."""

    @classmethod
    def draw(cls, rng: Random, profile: str | None = None) -> Plan:
        """Draw one, of a profile that is drawn too unless it is given.

        Raises:
            ConfigurationError: there is no such profile.
        """
        plan = cls._draw(rng)
        return focus(plan, draw_profile(rng) if profile is None else profile, rng)

    @classmethod
    def _draw(cls, rng: Random) -> Plan:
        requests = draw_faults(rng)
        replies = draw_faults(rng) if rng.random() < 0.3 else requests
        rates = rng.choice(((1.0, 1.0), (1.0, 1.0), (0.95, 1.05), (0.7, 1.4)))
        config = draw_config(rng)
        return cls(
            config=config,
            requests=requests,
            replies=replies,
            outlive=rng.random() < 0.3,
            disk_s=rng.choice(((0.0, 0.0), (0.0, 0.002), (0.001, 0.01), (0.0, 0.06))),
            clock_rates=rates,
            gap_s=_log_uniform(rng, 0.25, 5.0),
            down_s=_log_uniform(rng, 0.1, 3.0),
            actions=draw_actions(rng),
            clients=rng.randint(2, 6),
            think_s=_log_uniform(rng, 0.1, 0.6),
            in_step_s=rng.choice((0.0, 0.0, 0.2)),
            huge_bytes=rng.choice((0, 0, 3_000, 100_000)),
            client_crashes=rng.choice((0.0, 0.01, 0.05)),
            huge_share=rng.choice((0.05, 0.05, 0.5)),
            patience_s=rng.choice((0.2, 1.0)),
            stubborn=rng.choice((0.0, 0.8, 0.95)),
            readers=rng.choice((0, 0, 1)),
            older=rng.choice((0, 0, 0, 1, 2, MOST_NODES)),
            leases=draw_leases(rng, config),
        )


def _log_uniform(rng: Random, least: float, most: float) -> float:
    return math.exp(rng.uniform(math.log(least), math.log(most)))


def draw_actions(rng: Random) -> dict[str, float]:
    """Draw which actions there are and how often each is taken; sometimes none is."""
    share = rng.choice((0.0, 0.15, 0.3, 0.5, 0.5, 0.8, 1.0))
    return {name: rng.uniform(0.1, 1.0) for name in ACTIONS if rng.random() < share}


def draw_leases(rng: Random, config: NodeConfig) -> Leases | None:
    """Draw what leases leaders hold; most often none."""
    if rng.random() < 0.6:
        return None
    return Leases(config.election_timeout_s[0] * rng.choice((1.0, 1.5, 3.0)), rng.choice((0.01, 0.1)))


def draw_config(rng: Random) -> NodeConfig:
    """Draw settings, many of them far smaller than anybody would choose, so that their bounds are met."""
    shortest = rng.choice((0.15, 0.3, 0.4, 1.0))
    snapshot_entries = rng.choice((None, 3, 10, 10, 30, 100))
    small = rng.random() < 0.3
    return NodeConfig(
        election_timeout_s=(shortest, shortest * rng.choice((1.5, 2.0, 3.0))),
        heartbeat_interval_s=shortest / rng.uniform(2.2, 6.0),
        check_quorum=rng.random() < 0.8,
        pre_vote=rng.random() < 0.8,
        max_command_bytes=128 * KIB,
        max_append_bytes=rng.choice((1, 100, 2_000, 1 * MIB)),
        max_inflight_appends=rng.choice((1, 2, 8, 64)),
        max_inflight_bytes=rng.choice((1, 1_000, 16 * MIB)),
        max_uncommitted_bytes=rng.choice((128 * KIB, 64 * MIB)),
        max_pending_proposals=rng.choice((1, 3, 16_384)) if small else 16_384,
        inbox_capacity=rng.choice((4, 16)) if small else 8_192,
        log_cache_bytes=rng.choice((1, 500, 10_000, 32 * MIB)),
        snapshot_entries=snapshot_entries,
        snapshot_bytes=rng.choice((None, None, 2_000)),
        trailing_entries=rng.choice((0, 0, 1, 10, 100)),
        snapshot_chunk_bytes=rng.choice((32, 64, 500, 256 * KIB)),
        shutdown_timeout_s=rng.choice((0.0, 0.5, 5.0)),
        apply_slice_s=rng.choice((0.0, 0.005)),
    )
