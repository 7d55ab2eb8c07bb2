"""Quorum arithmetic against what it means, over all small clusters."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from raft_actors.raft.quorum import is_quorum, majority, quorum_value


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
