"""Quorum arithmetic against what it means, over all small clusters."""

from __future__ import annotations

import math
from itertools import combinations, product

import pytest

from raft_actors.raft.quorum import VoteResult, committed_index, is_quorum, majority, quorum_value, vote_result


@pytest.mark.parametrize("size", range(1, 8))
def test_any_two_majorities_share_a_voter_and_no_smaller_groups_do(size: int) -> None:
    voters = range(size)
    for first, second in product(combinations(voters, majority(size)), repeat=2):
        assert set(first) & set(second)
    if size > 1:
        smaller = [set(group) for group in combinations(voters, majority(size) - 1)]
        assert any(not first & second for first, second in product(smaller, repeat=2))


@pytest.mark.parametrize("size", range(1, 6))
def test_is_quorum_counts_voters_only(size: int) -> None:
    voters = [f"n{number}" for number in range(size)]
    for count in range(size + 1):
        for agreeing in combinations(voters, count):
            assert is_quorum({*agreeing, "stranger", "another"}, voters) == (2 * count > size)


@pytest.mark.parametrize("size", range(1, 6))
def test_quorum_value_is_the_largest_that_a_majority_has_reached(size: int) -> None:
    voters = [f"n{number}" for number in range(size)]
    for values in product(range(4), repeat=size):
        reached = dict(zip(voters, values, strict=True))
        largest = max(level for level in range(4) if 2 * sum(value >= level for value in values) > size)
        assert quorum_value({**reached, "stranger": 9}, voters) == largest


def test_a_voter_without_a_value_counts_as_the_default() -> None:
    assert quorum_value({"n1": 5}, ["n1", "n2", "n3"]) == 0
    assert quorum_value({"n1": 5}, ["n1", "n2", "n3"], default=2) == 2


HALVES = [("a", "b", "c"), ("c", "d", "e"), ("a", "b", "c", "d"), ("e",), ("a", "b"), ()]


@pytest.mark.parametrize(("old", "new"), list(product(HALVES, repeat=2)))
def test_a_joint_decision_needs_a_majority_of_each_half(old: tuple[str, ...], new: tuple[str, ...]) -> None:
    everybody = sorted({*old, *new})
    for count in range(len(everybody) + 1):
        for agreeing in map(frozenset, combinations(everybody, count)):
            both = all(2 * len(agreeing & set(half)) > len(half) for half in (old, new) if half)
            assert is_quorum(agreeing, old, new) == both


@pytest.mark.parametrize(("old", "new"), list(product(HALVES, repeat=2)))
def test_a_vote_is_won_lost_or_pending_by_what_the_rest_could_still_do(
    old: tuple[str, ...], new: tuple[str, ...]
) -> None:
    everybody = sorted({*old, *new})
    for answers in product((True, False, None), repeat=len(everybody)):
        votes = {voter: answer for voter, answer in zip(everybody, answers, strict=True) if answer is not None}
        granted = {voter for voter, answer in votes.items() if answer}
        still_possible = {voter for voter in everybody if votes.get(voter, True)}
        if is_quorum(granted, old, new):
            expected = VoteResult.WON
        elif is_quorum(still_possible, old, new):
            expected = VoteResult.PENDING
        else:
            expected = VoteResult.LOST
        assert vote_result({**votes, "stranger": True}, old, new) is expected


@pytest.mark.parametrize(
    ("acknowledged", "halves", "expected"),
    [
        ({"a": 100, "b": 101, "c": 99}, [("a", "b", "c")], 100),
        ({"a": 12, "b": 5}, [("a", "b")], 5),
        ({"a": 12}, [("a", "b")], 0),
        ({"a": 5, "b": 10, "c": 15, "d": 20, "e": 25}, [("a", "b", "c"), ("c", "d", "e")], 10),
        ({"a": 50, "b": 50, "c": 99, "d": 1, "e": 1}, [("a", "b", "c"), ("c", "d", "e")], 1),
        ({"a": 7, "b": 7, "c": 7}, [("a", "b", "c"), ()], 7),
        ({}, [("a",)], 0),
        ({}, [(), ()], math.inf),
        ({}, [], math.inf),
    ],
)
def test_what_is_committed_is_on_a_majority_of_each_half(
    acknowledged: dict[str, int], halves: list[tuple[str, ...]], expected: float
) -> None:
    assert committed_index(acknowledged, *halves) == expected
