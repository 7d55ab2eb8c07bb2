"""Which node is the one that is wrong, by the digests that are known of an index."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

from raft_actors.errors import StateDiverged
from raft_actors.raft.effects import Send, TellDifference
from raft_actors.raft.features import STATE_DIGESTS
from raft_actors.raft.inputs import Received, StateDigested
from raft_actors.raft.messages import StateDigest
from raft_actors.raft.state_checks import StateChecks
from tests.unit.builders import make_follower, make_leader

THREE = ("n1", "n2", "n3")


def judged(digests: Mapping[str, str], *voter_sets: Collection[str], index: int = 10) -> str:
    """What node n1 makes of these."""
    checks = StateChecks("n1")
    for node, digest in digests.items():
        checks.note(node, index, digest.encode())
    difference = checks.compare(index, *voter_sets)
    if difference is None:
        return "fine"
    assert difference.digests == {node: digest.encode() for node, digest in digests.items()}
    return "goes on" if difference.error is None else "ends"


@pytest.mark.parametrize(
    ("digests", "voter_sets", "expected"),
    [
        ({"n1": "a"}, [THREE], "fine"),
        ({"n1": "a", "n2": "a"}, [THREE], "fine"),
        ({"n2": "a", "n3": "b"}, [THREE], "fine"),  # it has no state of there
        ({"n1": "a", "n2": "b"}, [THREE], "goes on"),  # either may be right
        ({"n1": "a", "n2": "a", "n3": "b"}, [THREE], "goes on"),
        ({"n1": "b", "n2": "a", "n3": "a"}, [THREE], "ends"),
        ({"n1": "a", "n2": "b", "n3": "c"}, [THREE], "ends"),  # nobody knows which one is right
        ({"n1": "a", "n2": "b"}, [("n1", "n2")], "ends"),
        ({"n1": "b", "n2": "a", "n3": "a"}, [("n2", "n3", "n4")], "ends"),  # a learner
        ({"n1": "a", "n2": "a", "n5": "b"}, [THREE], "goes on"),  # a learner's says nothing of the voters'
        ({"n1": "a", "n2": "b", "n5": "b"}, [THREE], "goes on"),
        ({"n1": "b", "n2": "a", "n3": "a"}, [THREE, ("n1", "n4", "n5")], "goes on"),  # joint: not a majority of both
        ({"n1": "b", "n2": "a", "n3": "a", "n4": "a", "n5": "a"}, [THREE, ("n1", "n4", "n5")], "ends"),
        ({"n1": "a", "n2": "b"}, [()], "goes on"),  # it does not know who votes
    ],
)
def test_a_majority_decides(digests: dict[str, str], voter_sets: list[tuple[str, ...]], expected: str) -> None:
    assert judged(digests, *voter_sets) == expected
    assert judged(dict(reversed(digests.items())), *voter_sets) == expected


def test_the_latest_word_of_a_node_counts_and_old_ones_are_forgotten() -> None:
    checks = StateChecks("n1")
    for index in range(1, 1_000):
        checks.note("n1", index, b"a")
        checks.note("n2", index, b"b")
    checks.note("n2", 999, b"a")
    assert checks.compare(999, THREE) is None
    assert checks.compare(998, THREE) is not None
    assert checks.compare(990, THREE) is None


def test_the_error_names_index_nodes_and_remedy() -> None:
    error = StateDiverged("n2", 40, {"n1": "aa", "n2": "bb", "n3": "aa"})
    for part in ("node 'n2'", "index 40", "n1 has aa; n2 has bb; n3 has aa", "without their store and join anew"):
        assert part in str(error)


def test_every_role_tells_those_that_know_of_digests_and_compares() -> None:
    for role in (make_leader(), make_follower((1, 2), leader="n2")):
        state = role.state
        state.features_of = lambda peer: frozenset({STATE_DIGESTS} if peer == "n2" else ())
        told = role.handle(StateDigested(3, b"a"), 0.0)
        assert told == [Send("n2", StateDigest(state.term, 3, b"a"))]
        [one] = role.handle(Received("n2", StateDigest(state.term, 3, b"b")), 0.0)
        assert isinstance(one, TellDifference)
        assert one.difference.error is None
        assert role.handle(Received("stranger", StateDigest(state.term, 3, b"c")), 0.0) == []
        [two] = role.handle(Received("n3", StateDigest(state.term, 3, b"b")), 0.0)
        assert isinstance(two, TellDifference)
        assert isinstance(two.difference.error, StateDiverged)
        assert two.difference.error.node_id == state.node_id
