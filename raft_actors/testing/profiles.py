"""Profiles of plans: what a seed is about.

Most seeds mix whatever there is. The others lean towards one kind of situation: its faults come often, among the others
that the seed has drawn, and the settings are such that they matter.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

import attrs

from raft_actors.config import KIB, MIB, NodeConfig
from raft_actors.errors import ConfigurationError
from raft_actors.testing.plan import ANYTHING, PlannedFaults

P = TypeVar("P", bound=PlannedFaults)

#: How much likelier than other actions those of a profile are.
_OFTEN = 3.0

#: The share of what comes now and then; and of what comes as seldom because there is hardly ever occasion for it.
_SELDOM = 0.1
_NOW_AND_THEN = 0.5

#: In how many seeds a node that has lost its store may become a member again by itself.
_REJOINS = 0.6

#: Actions that destroy disks: how many a cluster can do without depends on its members.
_DESTROYING = frozenset({"damage_disk", "put_older_copy", "wipe_disk"})


def _anything(plan: P, _rng: Random) -> P:
    return plan


def _lost_tails(plan: P, rng: Random) -> P:
    """Leaders get entries that nobody else has, lose them, lead again, and meet their past."""
    config = attrs.evolve(
        plan.config,
        max_pending_proposals=16_384,
        snapshot_entries=rng.choice((None, 1, 3, 10)),
        trailing_entries=rng.choice((0, 0, 1, 10)),
        snapshot_chunk_bytes=rng.choice((64, 256 * KIB)),
    )
    return _with(_with_few_clients(plan, rng), config, rng, "strand")


def _left_behind(plan: P, rng: Random) -> P:
    """Nodes need snapshots, of many chunks, while their disks are slow and their logs are on the way there."""
    config = attrs.evolve(
        plan.config,
        max_pending_proposals=16_384,
        max_append_bytes=rng.choice((1, 100, 2_000)),
        max_inflight_appends=rng.choice((1, 1, 2, 8)),
        log_cache_bytes=rng.choice((1, 1, 500, 10_000)),
        snapshot_entries=rng.choice((None, 1, 3, 10)),
        trailing_entries=rng.choice((0, 0, 1)),
        snapshot_chunk_bytes=rng.choice((150, 600, 256 * KIB, 256 * KIB)),
    )
    return _with(_with_few_clients(plan, rng), config, rng, "leave_behind", "drown", "sleep_through")


def _late_answers(plan: P, rng: Random) -> P:
    """Leaders are deposed without noticing, and clients ask them."""
    config = attrs.evolve(
        plan.config,
        max_pending_proposals=16_384,
        max_inflight_appends=64,
        max_inflight_bytes=16 * MIB,
        check_quorum=rng.random() < 0.5,
    )
    plan = attrs.evolve(_with_few_clients(plan, rng), readers=rng.randint(1, 2))
    return _with(plan, config, rng, "answer_late")


def _small_rooms(plan: P, rng: Random) -> P:
    """Commands are as large as there is room for, and disks are slow."""
    config = attrs.evolve(
        plan.config,
        max_command_bytes=4 * KIB,
        max_uncommitted_bytes=4 * KIB,
        max_append_bytes=rng.choice((1, 100, 2_000)),
        max_pending_proposals=16_384,
        log_cache_bytes=rng.choice((1, 500, 10_000)),
    )
    plan = attrs.evolve(
        plan, huge_bytes=3_500, huge_share=0.8, clients=rng.randint(4, 6), think_s=rng.uniform(0.1, 0.2), patience_s=1.0
    )
    return _with(plan, config, rng, "hold_up_leader")


def _transfers(plan: P, rng: Random) -> P:
    """Leaders hand over again and again, to followers that lag behind or die meanwhile, while clients call."""
    config = attrs.evolve(
        plan.config, max_pending_proposals=16_384, max_append_bytes=rng.choice((1, 100, 2_000, 1 * MIB))
    )
    plan = attrs.evolve(plan, clients=rng.randint(3, 6), think_s=rng.uniform(0.05, 0.3))
    return _with(plan, config, rng, "hand_over")


def _members(plan: P, rng: Random) -> P:
    """The same, and now and then a member loses its store, and comes back on an empty one."""
    plan = _changing_members(plan, rng)
    config = attrs.evolve(plan.config, rejoin_if_wiped=rng.random() < _REJOINS)
    actions = {**plan.actions, "lose_store": _NOW_AND_THEN * sum(plan.actions.values())}
    return attrs.evolve(plan, config=config, actions=actions)


def _changing_members(plan: P, rng: Random) -> P:
    """Members come and go, one and all, while everything fails but the contents of disks."""
    config = attrs.evolve(plan.config, max_pending_proposals=16_384, snapshot_entries=rng.choice((None, 3, 10, 30)))
    kept = {name: weight for name, weight in plan.actions.items() if name not in _DESTROYING}
    plan = attrs.evolve(plan, actions=kept, down_s=min(plan.down_s, 1.0))
    plan = _with(plan, config, rng, "change_members", "swap_member", "leave")
    return attrs.evolve(plan, actions={**plan.actions, "move_member": _SELDOM * sum(plan.actions.values())})


def _versions(plan: P, rng: Random) -> P:
    """Nodes change their version while members and priorities change, so that some know priorities, and some do not."""
    plan = attrs.evolve(_changing_members(plan, rng), older=0)
    rest = sum(plan.actions.values())
    return attrs.evolve(plan, actions={**plan.actions, "change_version": 0.3 * rest, "change_priority": 0.6 * rest})


def _impostors(plan: P, rng: Random) -> P:
    """Members come and go, and somebody speaks in their names, of those that are there and of those that are not."""
    plan = _changing_members(plan, rng)
    return attrs.evolve(plan, actions={**plan.actions, "pose": 2 * sum(plan.actions.values())})


def _with_few_clients(plan: P, rng: Random) -> P:
    """A plan in which logs grow by what is done to the nodes, more than by calls."""
    return attrs.evolve(plan, clients=rng.randint(2, 3), think_s=rng.uniform(0.3, 0.6))


def _with(plan: P, config: NodeConfig, rng: Random, *actions: str) -> P:
    """A plan with these settings, in which these actions come often."""
    rest = sum(plan.actions.values())
    weights = {name: _OFTEN * max(1.0, rest) * rng.uniform(0.1, 1.0) / len(actions) for name in actions}
    return attrs.evolve(
        plan, config=config, actions={**plan.actions, **weights}, gap_s=min(plan.gap_s, rng.uniform(0.5, 1.5))
    )


_Focus = Callable[[Any, Random], Any]

PROFILES: dict[str, _Focus] = {
    ANYTHING: _anything,
    "lost tails": _lost_tails,
    "left behind": _left_behind,
    "late answers": _late_answers,
    "small rooms": _small_rooms,
    "transfers": _transfers,
    "members": _members,
    "versions": _versions,
    "impostors": _impostors,
}
"""Name → what makes a drawn plan one of that profile."""

#: “members” has a share of its own; “versions” and “impostors” come only where they are asked for.
_WEIGHTS = (4, 2, 3, 2, 1, 2, 0, 0, 0)

#: The share of seeds that are about members, whatever else they would have been about.
_MEMBERS_SHARE = 1 / 8

#: How far ahead of a plan's own draws it is drawn whether a seed is one of those.
_FAR_AHEAD_BYTES = 4096


def draw_profile(rng: Random) -> str:
    """Draw the profile of a seed.

    Whether it is about members is drawn without moving `rng`: seeds that are not, are what they were before there was
    such a profile, so that a seed noted somewhere goes on to mean the same.
    """
    profile = rng.choices(list(PROFILES), _WEIGHTS)[0]
    ahead = Random()
    ahead.setstate(rng.getstate())
    ahead.randbytes(_FAR_AHEAD_BYTES)
    return "members" if ahead.random() < _MEMBERS_SHARE else profile


def focus(plan: P, profile: str, rng: Random) -> P:
    """Make a plan one of this profile.

    Raises:
        ConfigurationError: there is no such profile.
    """
    if profile not in PROFILES:
        raise ConfigurationError(f"there is no profile {profile!r}, only {', '.join(PROFILES)}")
    focused: P = attrs.evolve(PROFILES[profile](plan, rng), profile=profile)
    return focused
