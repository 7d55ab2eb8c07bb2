"""Changes of members, over every change among four nodes: each step is safe, and each way ends well."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any

import pytest

from raft_actors.errors import ChangeRefused, ConfigurationError
from raft_actors.raft.membership import (
    Configuration,
    Goal,
    Member,
    begin_change,
    cancel_change,
    next_configuration,
)
from raft_actors.raft.membership_codec import decode_configuration, encode_configuration
from raft_actors.raft.quorum import is_quorum

IDS = ("a", "b", "c", "d", "e")
THREE = Configuration({"a", "b", "c"})
EVERYBODY = {member_id: Member(f"{member_id}:1") for member_id in IDS}


def subsets(ids: tuple[str, ...], least: int = 0) -> Iterator[frozenset[str]]:
    for size in range(least, len(ids) + 1):
        yield from map(frozenset, combinations(ids, size))


ALL = tuple(
    Configuration(voters, learners)
    for voters in subsets(IDS[:4], 1)
    for learners in subsets(tuple(sorted(set(IDS[:4]) - voters)))
)


def newcomers(current: Configuration, voters: frozenset[str], learners: frozenset[str]) -> dict[str, Member]:
    return {member_id: EVERYBODY[member_id] for member_id in (voters | learners) - current.ids}


def way(current: Configuration, voters: frozenset[str], learners: frozenset[str]) -> list[Configuration]:
    """Every configuration on the way, the first one included."""
    steps = [current]
    following = begin_change(current, voters=voters, learners=learners, members=newcomers(current, voters, learners))
    while following is not None:
        steps.append(following)
        assert len(steps) < 8
        following = next_configuration(following, IDS)
    return steps


def share_every_quorum(one: Configuration, other: Configuration) -> bool:
    """Whether any quorum of the one meets any quorum of the other."""
    ids = tuple(sorted(one.all_voters | other.all_voters))
    quorums = [group for group in subsets(ids) if is_quorum(group, *one.voter_sets)]
    return all(not is_quorum(frozenset(ids) - group, *other.voter_sets) for group in quorums)


def test_every_change_arrives_through_steps_that_share_every_quorum() -> None:
    safe: dict[tuple[tuple[frozenset[str], ...], tuple[frozenset[str], ...]], bool] = {}
    for current in ALL:
        for goal in ALL:
            steps = way(current, goal.voters, goal.learners)
            assert (steps[-1].voters, steps[-1].learners) == (goal.voters, goal.learners)
            assert steps[-1].goal is None
            assert not steps[-1].is_joint
            assert steps[-1].ids == goal.ids
            for before, after in pairwise(steps):
                pair = before.voter_sets, after.voter_sets
                if pair not in safe:
                    safe[pair] = share_every_quorum(before, after)
                assert safe[pair]


def test_every_change_can_be_given_up_until_the_new_voters_decide_alone() -> None:
    for current in ALL:
        for goal in ALL:
            for step in way(current, goal.voters, goal.learners)[1:]:
                back = cancel_change(step)
                too_late = step.goal is None or (step.voters == goal.voters and not step.is_joint)
                assert (back is None) == too_late
                if back is not None:
                    assert (back.voters, back.learners, back.goal) == (current.voters, current.learners, None)
                    assert share_every_quorum(step, back)


def test_nobody_votes_before_having_been_a_learner() -> None:
    for current in ALL:
        for goal in ALL:
            steps = way(current, goal.voters, goal.learners)
            for before, after in pairwise(steps):
                assert after.voters - before.all_voters <= before.learners


def test_who_votes_no_more_is_a_learner_before_it_goes() -> None:
    steps = way(THREE, frozenset("ab"), frozenset())
    assert [(sorted(step.voters), sorted(step.outgoing), sorted(step.learners)) for step in steps] == [
        (["a", "b", "c"], [], []),
        (["a", "b"], ["a", "b", "c"], []),
        (["a", "b"], [], ["c"]),
        (["a", "b"], [], []),
    ]


def test_newcomers_vote_only_once_they_have_caught_up() -> None:
    first = begin_change(THREE, voters={"a", "b", "d"}, members={"d": Member("d:1")})
    assert first is not None
    assert (first.learners, first.newcomers, first.members["d"].address) == (frozenset("d"), frozenset("d"), "d:1")
    assert next_configuration(first, {"a", "b", "c"}) is None
    joint = next_configuration(first, {"d"})
    assert joint is not None
    assert joint.voter_sets == (frozenset("abd"), frozenset("abc"))


def test_a_learner_is_promoted_only_once_it_has_caught_up() -> None:
    current = Configuration({"a"}, {"b"})
    waiting = begin_change(current, voters={"a", "b"})
    assert waiting is not None
    assert (waiting.voters, waiting.learners) == (frozenset("a"), frozenset("b"))
    assert waiting.goal == Goal({"a", "b"}, learners_before={"b"})
    joint = begin_change(current, voters={"a", "b"}, caught_up={"b"})
    assert joint is not None
    assert joint.voter_sets == (frozenset("ab"), frozenset("a"))


def test_a_change_that_is_made_already_is_none() -> None:
    assert begin_change(THREE, voters={"a", "b", "c"}) is None
    assert begin_change(THREE) is None
    assert begin_change(THREE, members={"a": Member()}) is None


def test_an_address_changes_in_one_step() -> None:
    changed = begin_change(THREE, members={"b": Member("b:2", {"zone": "west"})})
    assert changed is not None
    assert changed.goal is None
    assert changed.members["b"] == Member("b:2", {"zone": "west"})
    assert changed.members["a"] == THREE.members["a"]
    assert next_configuration(changed, IDS) is None


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"voters": frozenset()}, "nobody would vote"),
        ({"voters": {"a"}, "learners": {"a"}}, "'a' can't be voter and learner at once"),
        ({"voters": {"a", "d"}}, "'d' is new: give its address"),
        ({"members": {"d": Member("d:1")}}, "'d' would be neither voter nor learner"),
    ],
)
def test_what_makes_no_sense_is_refused(asked: Any, why: str) -> None:
    with pytest.raises(ChangeRefused, match=why):
        begin_change(THREE, **asked)


def test_one_change_at_a_time() -> None:
    for step in way(THREE, frozenset("ad"), frozenset("b"))[1:-1]:
        with pytest.raises(ChangeRefused, match="another change of members is under way"):
            begin_change(step, voters={"a"})


@pytest.mark.parametrize(
    ("voters", "learners", "why"),
    [
        ((), (), "at least one voter"),
        (("a",), ("a",), "voter and learner at once"),
        (("",), (), "1 to 255 characters"),
        (("x" * 256,), (), "1 to 255 characters"),
        ("ab", (), "a set of ids, not one id"),
    ],
)
def test_a_configuration_makes_sense(voters: Any, learners: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Configuration(voters, learners)


def test_configurations_travel() -> None:
    for voters, learners in (("ad", "b"), ("e", ""), ("abcde", "")):
        for step in way(THREE, frozenset(voters), frozenset(learners)):
            data = encode_configuration(step)
            assert decode_configuration(data) == step
            assert encode_configuration(decode_configuration(data)) == data


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80", b"\xc1", b"\x81\xa6voters\x90", b"\x81\xa6voters\xa1a", b"\x81\xa6voters\x91\x07"],
    ids=repr,
)
def test_noise_is_no_configuration(data: bytes) -> None:
    with pytest.raises(ValueError, match="are no configuration"):
        decode_configuration(data)


def test_a_field_of_a_later_version_is_ignored() -> None:
    data = encode_configuration(Configuration({"a"}))
    assert data.startswith(b"\x82")
    assert decode_configuration(b"\x83" + data[1:] + b"\xa5later\x07") == Configuration({"a"})


def test_what_is_kept_of_a_member_is_bounded() -> None:
    Member("a:1", {"key": "x" * 4000})
    with pytest.raises(ConfigurationError, match="keep its metadata small"):
        Member("a:1", {"key": "x" * 5000})


def test_bytes_that_would_take_much_memory_are_no_configuration() -> None:
    # An empty array takes one byte to send, and many to hold.
    bomb = b"\x81\xa6voters\xdd" + (20_000_000).to_bytes(4, "big") + b"\x90" * 20_000_000
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="1048576 are allowed"):
            decode_configuration(bomb)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
