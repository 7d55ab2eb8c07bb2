"""Invariants of logs and what is committed, shown legal and illegal courses of things."""

from __future__ import annotations

import pytest

from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.messages import InstallSnapshot
from raft_actors.raft.persistent_state import LogWrite, SnapshotMetadata
from raft_actors.testing.invariants import (
    CommittedStaysCommitted,
    IndexOrder,
    LogFollowsSnapshot,
    LogMatching,
    Monotonic,
)
from raft_actors.testing.invariants.base import Invariant
from tests.invariants.support import Stage
from tests.unit.builders import batch, make_follower, make_leader


def entries(first: int, term: int, *commands: bytes) -> EntryBatch:
    return EntryBatch.encode(first, term, EntryKind.COMMAND, commands)


# --- log matching ----------------------------------------------------------------------------------------------------

ONE = (entries(1, 1, b"a", b"b"), entries(3, 2, b"c"))


def test_logs_that_match() -> None:
    stage = Stage(LogMatching())
    stage.write("n1", LogWrite(entries=ONE))
    stage.write("n2", LogWrite(entries=(entries(1, 1, b"a"), entries(2, 1, b"b"))), LogWrite(entries=ONE[1:]))
    stage.write("n3", LogWrite(entries=(entries(1, 1, b"a"), entries(2, 3, b"x", b"y"))))
    stage.write("n3", LogWrite(truncate_from=2, entries=(entries(2, 1, b"b"),)), LogWrite(entries=ONE[1:]))
    stage.expect_nothing()


def test_two_entries_of_one_index_and_term() -> None:
    stage = Stage(LogMatching())
    stage.write("n1", LogWrite(entries=ONE))
    stage.write("n2", LogWrite(entries=(entries(1, 1, b"a", b"x"),)))
    stage.expect("node 'n2' holds b'x' as entry 2 of term 1, where another holds b'b'")


def test_two_entries_before_equal_ones() -> None:
    stage = Stage(LogMatching())
    stage.write("n1", LogWrite(entries=ONE))
    stage.write("n2", LogWrite(entries=(entries(1, 1, b"a"), entries(2, 2, b"b"))))
    stage.write("n2", LogWrite(entries=ONE[1:]))
    stage.expect("node 'n2' holds entry 3 of term 2 behind one of term 2, where another holds it behind one of term 1")


def test_what_was_overwritten_within_one_transaction_can_not_be_told() -> None:
    stage = Stage(LogMatching())
    stage.write("n1", LogWrite(entries=ONE))
    stage.write(
        "n2",
        LogWrite(entries=(entries(1, 1, b"a"),)),
        LogWrite(entries=(entries(2, 2, b"lost"),)),
        LogWrite(truncate_from=2, entries=(entries(2, 3, b"x"),)),
    )
    stage.write("n2", LogWrite(entries=(entries(3, 4, b"y"),)), LogWrite(truncate_from=3))
    stage.expect_nothing()
    stage.write("n3", LogWrite(entries=(entries(1, 1, b"a"), entries(2, 2, b"found"))))
    stage.expect("node 'n3' holds b'found' as entry 2 of term 2, where another holds b'lost'")


# --- a log follows its snapshot --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ([1, 2, 3], ""),
        ([1, 2], ""),
        ([1, 1, 3], "holds entry 2 of term 1"),
        ([1, 3, 3], "holds entry 2 of term 3"),
    ],
    ids=str,
)
def test_what_is_kept_beside_a_snapshot(terms: list[int], text: str) -> None:
    stage = Stage(LogFollowsSnapshot())
    follower = make_follower(terms, term=3)
    life = stage.life("n1", follower)
    follower.state.log.compact(SnapshotMetadata(2, 2), 1)
    stage.decide(life, follower)
    stage.expect(text) if text else stage.expect_nothing()


def test_older_entries_behind_a_snapshot() -> None:
    stage = Stage(LogFollowsSnapshot())
    follower = make_follower([1, 1, 1], term=3)
    life = stage.life("n1", follower)
    follower.state.log.compact(SnapshotMetadata(2, 2), 3)
    stage.decide(life, follower)
    stage.expect("goes on with entry 3 of term 1")


# --- committed stays committed ---------------------------------------------------------------------------------------


def committing(stage: Stage, *holders: str) -> None:
    """n1 leads term 2, and commits its first two entries, which are on these disks."""
    for holder in holders:
        stage.store(holder, [1, 2])
    stage.commit("n1", make_leader([1], term=2), 2)


def test_a_majority_holds_what_is_committed() -> None:
    stage = Stage(CommittedStaysCommitted())
    committing(stage, "n1", "n3")
    stage.commit("n3", make_follower([1, 2, 2], term=2), 2)
    stage.write("n3", LogWrite(entries=(batch(3, 2),)))
    stage.write("n3", LogWrite(truncate_from=3))
    stage.life("n3", make_follower([1, 2], term=2))
    stage.expect_nothing()


def test_a_minority_holds_what_is_committed() -> None:
    stage = Stage(CommittedStaysCommitted())
    committing(stage, "n3")
    stage.expect("which only ['n3'] hold: no majority")


def test_another_entry_is_committed() -> None:
    stage = Stage(CommittedStaysCommitted())
    committing(stage, "n1", "n2")
    stage.commit("n3", make_follower([1, 1, 3]), 2)
    stage.expect("takes entry 2 of term 1 for committed, where an entry of term 2 is")


def test_an_entry_of_an_older_term_is_committed_by_counting() -> None:
    """Figure 8."""
    stage = Stage(CommittedStaysCommitted())
    for name in ("n1", "n2"):
        stage.store(name, [1])
    stage.commit("n1", make_leader([1], term=2), 1)
    stage.expect("commits entry 1 of term 1 (§5.4.2, Figure 8)")


def test_a_disk_loses_a_committed_entry() -> None:
    stage = Stage(CommittedStaysCommitted())
    committing(stage, "n1", "n2")
    stage.write("n2", LogWrite(entries=(batch(3, 2),)))
    stage.expect_nothing()
    stage.write("n2", LogWrite(truncate_from=2, entries=(batch(2, 3),)))
    stage.expect("the disk of node 'n2' has lost entry 2, which is committed")


def test_a_disk_has_lost_a_committed_entry_when_the_node_starts() -> None:
    for replaced in (False, True):
        stage = Stage(CommittedStaysCommitted())
        committing(stage, "n1", "n2")
        stage.write("n2", LogWrite(entries=(batch(3, 2),)))
        stage.store("n2", [1])
        if replaced:
            stage.watch.disk_replaced("n2", stage.disks["n2"])
        stage.life("n2", make_follower([1]))
        if replaced:
            stage.expect_nothing()
        else:
            stage.expect("has lost entry 2")


def test_a_snapshot_of_what_was_not_committed() -> None:
    stage = Stage(CommittedStaysCommitted())
    committing(stage, "n1", "n2")
    stage.life("n3", make_follower([], after=SnapshotMetadata(2, 2), term=2))
    stage.expect_nothing()
    stage.life("n3", make_follower([], after=SnapshotMetadata(7, 2), term=2))
    assert any("of what was not committed" in text for text in stage.wrong)


def test_a_commit_index_that_a_node_remembers() -> None:
    stage = Stage(CommittedStaysCommitted())
    committing(stage, "n1", "n2")
    stage.life("n2", make_follower([1, 2, 2], commit_index=2))
    stage.expect_nothing()
    stage.life("n3", make_follower([1, 3], commit_index=2))
    stage.expect("(start 1) remembers entry 2 of term 3 as committed, where an entry of term 2 is")
    stage.life("n2", make_follower([1, 2, 2], commit_index=3))
    stage.expect("(start 2) remembers entry 3 as committed, and 2 is the last")


def test_commitment_of_what_nobody_knows() -> None:
    stage = Stage(CommittedStaysCommitted())
    committing(stage, "n1", "n2")
    role = make_follower([1, 2])
    life = stage.life("n3", role)
    role.state.log.reset(SnapshotMetadata(7, 2))
    role.state.commit(7)
    stage.decide(life, role)
    stage.expect("takes entry 7 for committed, and does not hold all before it")


# --- order and growth of indexes -------------------------------------------------------------------------------------


def test_indexes_in_order() -> None:
    stage = Stage(IndexOrder())
    role = make_follower([1, 1, 1, 1])
    life = stage.commit("n1", role, 3, applied_index=2)
    role.state.log.compact(SnapshotMetadata(2, 1), 2)
    stage.decide(life, role, applied_index=2)
    stage.watch.applied(life, 3, b"x", None)
    stage.expect_nothing()


def test_applied_beyond_what_is_committed() -> None:
    stage = Stage(IndexOrder())
    life = stage.commit("n1", make_follower([1, 1, 1, 1]), 2, applied_index=3)
    stage.expect("has applied entry 3, and committed is 2")
    stage.watch.applied(life, 3, b"x", None)
    stage.expect("applied entry 3, and committed is 2")


def test_committed_beyond_the_end_of_the_log() -> None:
    stage = Stage(IndexOrder())
    role = make_follower([1, 1])
    life = stage.life("n1", role)
    role.state.commit_index = 3
    stage.decide(life, role)
    stage.expect("commit index 3 and a log that ends at 2")


def test_purged_beyond_the_snapshot() -> None:
    stage = Stage(IndexOrder())
    role = make_follower([1, 1])
    life = stage.life("n1", role)
    role.state.commit(2)
    role.state.log.first_index = 2
    stage.decide(life, role, applied_index=2)
    stage.expect("has purged up to 1, a snapshot at 0")


def test_a_snapshot_beyond_what_is_applied_comes_from_a_leader() -> None:
    snapshot = SnapshotMetadata(5, 1)
    for offered in (True, False):
        stage = Stage(IndexOrder())
        if offered:
            stage.send(stage.life("n2"), "n1", InstallSnapshot(1, snapshot, 0, b"", True))
        role = make_follower([1, 1])
        life = stage.life("n1", role)
        role.state.log.reset(snapshot)
        role.state.commit(5)
        stage.decide(life, role, applied_index=1)
        if offered:
            stage.expect_nothing()
        else:
            stage.expect("of its own, and has applied 1")


def test_what_only_grows() -> None:
    stage = Stage(Monotonic())
    role = make_follower([1, 1, 1])
    life = stage.life("n1", role)
    role.state.commit(2)
    role.state.adopt_term(4)
    stage.decide(life, role)
    role.state.vote_for("n2")
    stage.decide(life, role)
    stage.watch.applied(life, 1, b"", None)
    stage.watch.applied(life, 3, b"", None)
    stage.watch.restored(life, 3, 2)
    stage.expect_nothing()
    role.state.commit_index = 1
    stage.decide(life, role)
    stage.expect("the commit index of node 'n1' (start 1) fell from 2 to 1")
    role.state.voted_for = "n3"
    stage.decide(life, role)
    stage.expect("changed its vote of term 4 from 'n2' to 'n3'")
    role.state.term = 3
    stage.decide(life, role)
    stage.expect("fell from 4 to 3")
    stage.watch.applied(life, 3, b"", None)
    stage.expect("applied entry 3 after entry 3")
    stage.watch.restored(life, 2, 2)
    stage.expect("went back from entry 3 to a snapshot at 2")


def test_a_snapshot_goes_back() -> None:
    stage = Stage(Monotonic())
    role = make_follower([], after=SnapshotMetadata(4, 1))
    life = stage.life("n1", role)
    role.state.log.snapshot = SnapshotMetadata(3, 1)
    stage.decide(life, role)
    stage.expect("replaced its SnapshotMetadata(index=4, term=1)")


def test_a_new_life_may_know_less() -> None:
    stage = Stage(Monotonic())
    role = make_follower([1, 1], commit_index=2)
    stage.life("n1", role)
    stage.life("n1", make_follower([1, 1]))
    stage.expect_nothing()


def test_invariants_say_where_they_stand_written() -> None:
    class Mine(Invariant):
        name = "mine"
        source = "my specification, section 3"

    wrong: list[str] = []
    invariant = Mine()
    invariant.fail("nobody listens yet")
    invariant.attach(invariant.facts, wrong.append)
    invariant.fail("no")
    assert wrong == ["mine (my specification, section 3): no"]
