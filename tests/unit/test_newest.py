"""Which of two nodes knows the newer configuration."""

from __future__ import annotations

import pytest

from raft_actors.raft.membership import Configuration, Member
from raft_actors.raft.newest import Newest
from raft_actors.raft.persistent_state import SnapshotMetadata
from tests.unit.builders import make_state, stored

MEMBERS = Configuration({"n1"}, members={"n1": Member("n1.test:1")})


@pytest.mark.parametrize(
    ("one", "other", "newer"),
    [
        ((11, 3), (204, 1), True),
        ((204, 1), (11, 3), False),
        ((12, 3), (11, 3), True),
        ((11, 3), (12, 3), False),
        ((11, 5), (11, 3), False),  # of a snapshot, perhaps, that holds this very one
        ((204, 0), (11, 3), True),  # an older version does not say it
        ((11, 3), (204, 0), False),
        ((1, 1), (0, 0), True),
        ((0, 0), (1, 1), False),
        ((0, 0), (0, 0), False),
    ],
)
def test_the_later_term_counts_first_where_both_are_known(
    one: tuple[int, int], other: tuple[int, int], newer: bool
) -> None:
    assert Newest(*one).is_newer_than(Newest(*other)) == newer


def test_a_node_without_any_but_the_first_says_none() -> None:
    state = make_state([1, 1])
    assert Newest.of(state.configurations, state.log) == Newest()


def test_the_term_is_that_of_the_entry_or_of_the_snapshot_that_covers_it() -> None:
    state = make_state([1, 1, 2, 2], stored_configurations=(stored(2, MEMBERS),), commit_index=4)
    assert Newest.of(state.configurations, state.log) == Newest(2, 1)
    state.compact(SnapshotMetadata(4, 2), 5)
    assert Newest.of(state.configurations, state.log) == Newest(2, 2)


def test_who_has_a_snapshot_is_told_of_what_was_committed_since_in_the_same_term() -> None:
    """Its own is said to be of the term of the snapshot, which no later one can be older than."""
    state = make_state([1, 1, 2, 2], stored_configurations=(stored(2, MEMBERS),), commit_index=4)
    state.compact(SnapshotMetadata(4, 2), 5)
    own = Newest.of(state.configurations, state.log)
    assert Newest(5, 2).is_newer_than(own)
    assert not Newest(204, 1).is_newer_than(own)
