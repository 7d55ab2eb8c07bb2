"""Many seeds: whatever befalls a cluster, invariants hold, it recovers, and clients were told the truth."""

from __future__ import annotations

import pytest

from raft_actors.testing import Options, SeedReport, run_seed
from tests.thorough import rounds

#: Each test runs a run of seeds, so that they spread over the processes that run tests.
SEEDS, STRIDE = rounds(200), 10
SECONDS = 8.0


def words(report: SeedReport) -> str:
    replay = f"raft-actors simulate --seeds {report.seed} --nodes {report.nodes} --seconds {SECONDS:.0f}"
    return f"{report.text}\nreplay: {replay} --trace seed-{report.seed}.html"


@pytest.mark.parametrize("first", range(0, SEEDS, STRIDE))
def test_seeds(first: int) -> None:
    for seed in range(first, first + STRIDE):
        report = run_seed(seed, Options(seconds=SECONDS))
        assert report.ok, words(report)


def test_seeds_in_which_nodes_change_their_version() -> None:
    """They are drawn for no seed that does not ask for them."""
    changes = 0
    for seed in range(STRIDE):
        report = run_seed(seed, Options(seconds=SECONDS, profile="versions"))
        assert report.ok, f"{words(report)} --profile versions"
        changes += report.actions.get("change_version", 0)
    assert changes >= 5


def test_seven_members_come_and_go() -> None:
    """All that there are may vote, so that a majority is four, of each half."""
    changes = 0
    for seed in (1, 2, 4):
        report = run_seed(seed, Options(seconds=SECONDS, nodes=7, profile="members"))
        assert report.ok, f"{words(report)} --profile members"
        changes += report.actions.get("change_members", 0) + report.actions.get("swap_member", 0)
    assert changes >= 5


def test_who_speaks_in_the_name_of_a_member_is_not_heard() -> None:
    """Members come and go meanwhile; the invariant that only members are heard looks at each message."""
    poses = 0
    for seed in (1, 5):
        report = run_seed(seed, Options(seconds=SECONDS, profile="impostors"))
        assert report.ok, f"{words(report)} --profile impostors"
        poses += report.actions.get("pose", 0)
    assert poses >= 5


def test_without_faults_clients_are_served_all_the_time() -> None:
    report = run_seed(1, Options(nodes=5, seconds=10.0, faults=False))
    assert report.ok, words(report)
    assert not report.actions
    assert not report.lost_nodes
    assert report.calls >= 50
