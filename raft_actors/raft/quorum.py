"""Quorum arithmetic: pure functions over plain sets and mappings (Raft paper §5.2, §5.3; joint consensus §6).

Each takes one or more sets of voters. With several, as while a configuration is joint, a decision needs a majority of
each of them on its own. A set without voters agrees to everything: it is the neutral element of that rule, so half of
a joint configuration may be empty. (A whole configuration may not: see `membership`.)
"""

from __future__ import annotations

import enum
import math
from collections.abc import Collection, Mapping, Set


class VoteResult(enum.Enum):
    """What the votes so far come to."""

    WON = "won"
    """A majority of each set has agreed."""
    LOST = "lost"
    """In one set so many have refused that those who are left make no majority any more."""
    PENDING = "pending"
    """Neither yet."""


def majority(members: int) -> int:
    """The smallest number of `members` voters that any other such group shares a voter with."""
    return members // 2 + 1


def is_quorum(agreeing: Set[str], *voter_sets: Collection[str]) -> bool:
    """Whether the agreeing nodes hold a majority of each set of voters. Nodes that are no voters don't count."""
    for voters in voter_sets:
        if voters and sum(1 for voter in voters if voter in agreeing) < majority(len(voters)):
            return False
    return True


def vote_result(votes: Mapping[str, bool], *voter_sets: Collection[str]) -> VoteResult:
    """What an election has come to, by the votes so far: node → whether it was granted (§5.2)."""
    if is_quorum({voter for voter, granted in votes.items() if granted}, *voter_sets):
        return VoteResult.WON
    open_or_granted = {voter for voters in voter_sets for voter in voters if votes.get(voter, True)}
    return VoteResult.PENDING if is_quorum(open_or_granted, *voter_sets) else VoteResult.LOST


def quorum_value(values: Mapping[str, float], *voter_sets: Collection[str], default: float = 0) -> float:
    """The largest value that a majority of each set of voters has reached; infinity where no set has any voter.

    With match indexes as values it is the index that a majority of the logs hold; with times of last contact, the
    moment since when a majority has been heard from. A voter without a value counts as `default`.
    """
    smallest = math.inf
    for voters in voter_sets:
        if voters:
            reached = sorted([values.get(voter, default) for voter in voters], reverse=True)
            smallest = min(smallest, reached[majority(len(reached)) - 1])
    return smallest


def committed_index(match_index: Mapping[str, int], *voter_sets: Collection[str]) -> float:
    """The last index that is on the disks of a majority of each set of voters: node → last index acknowledged (§5.3).

    Whether it may be committed also depends on the term of its entry (§5.4.2). Infinity where no set has any voter.
    """
    return quorum_value(match_index, *voter_sets)
