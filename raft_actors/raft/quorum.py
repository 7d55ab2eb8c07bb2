"""Quorum arithmetic: pure functions over plain sets and mappings (Raft paper §5.2, §5.3)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set


def majority(members: int) -> int:
    """The smallest number of `members` voters that any other such group shares a voter with."""
    return members // 2 + 1


def is_quorum(agreeing: Set[str], voters: Collection[str]) -> bool:
    """Whether the agreeing nodes hold a majority of the voters. Nodes that are no voters don't count."""
    return sum(1 for voter in voters if voter in agreeing) >= majority(len(voters))


def quorum_value(values: Mapping[str, float], voters: Collection[str], default: float = 0) -> float:
    """The largest value that a majority of the voters have reached.

    With match indexes as values it is the index that a majority of the logs hold; with times of last contact, the
    moment since when a majority has been heard from. A voter without a value counts as `default`.
    """
    reached = sorted((values.get(voter, default) for voter in voters), reverse=True)
    return reached[majority(len(reached)) - 1]
