"""Invariants of elections and leaders, shown one legal and one illegal course of things each."""

from __future__ import annotations

import attrs
import pytest

from raft_actors.node.handoff import PendingTransfer
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.inputs import TransferRequested
from raft_actors.raft.membership import Configuration
from raft_actors.raft.membership_codec import encode_configuration
from raft_actors.raft.messages import AppendEntries, AppendEntriesAccepted, RequestVoteReply, TimeoutNow
from raft_actors.raft.persistent_state import LogWrite, SnapshotMetadata
from raft_actors.raft.transitions import RoleName
from raft_actors.testing.invariants import (
    ElectionSafety,
    LeaderAppendOnly,
    LeaderCompleteness,
    LeaderInTouch,
    LeadersCommit,
    MatchIndex,
    TermBeginsWithEntry,
    TransferLosesNothing,
)
from tests.invariants.support import Stage
from tests.unit.builders import batch, make_candidate, make_follower, make_leader, receive

# --- election safety -------------------------------------------------------------------------------------------------


def vote(stage: Stage, voter: str, candidate: str, term: int) -> None:
    stage.send(stage.life(voter), candidate, RequestVoteReply(term, granted=True))


def test_a_leader_of_each_term() -> None:
    stage = Stage(ElectionSafety())
    vote(stage, "n2", "n1", 2)
    stage.life("n1", make_leader(term=2))
    vote(stage, "n3", "n2", 3)
    stage.life("n2", make_leader(term=3))
    stage.life("n3", make_follower(term=3))
    stage.expect_nothing()


def test_two_leaders_of_one_term() -> None:
    stage = Stage(ElectionSafety())
    for leader in ("n1", "n2"):
        vote(stage, "n3", leader, 2)
        stage.life(leader, make_leader(term=2))
    stage.expect("term 2 has two leaders: 'n1' and 'n2'")


def test_a_leader_without_a_majority() -> None:
    stage = Stage(ElectionSafety())
    vote(stage, "n2", "n1", 1)
    vote(stage, "n2", "n3", 2)
    stage.life("n1", make_leader(term=2))
    stage.expect("with the votes of ['n1'] only")


# --- leader append-only ----------------------------------------------------------------------------------------------


def test_a_leader_appends_and_compacts() -> None:
    stage = Stage(LeaderAppendOnly())
    leader = make_leader([1, 1, 1], term=2)
    life = stage.life("n1", leader)
    leader.state.log.append(batch(5, 2))
    stage.decide(life, leader)
    leader.state.commit(4)
    leader.state.log.compact(SnapshotMetadata(3, 1), 4)
    stage.decide(life, leader)
    stage.expect_nothing()


@pytest.mark.parametrize("replacement", [0, 1, 3])
def test_a_leader_truncates(replacement: int) -> None:
    """Found also where as many entries, or more, took the place of those that went."""
    stage = Stage(LeaderAppendOnly())
    leader = make_leader([1, 1, 1], term=2)
    life = stage.life("n1", leader)
    leader.state.log.truncate(4)
    if replacement:
        leader.state.log.append(batch(4, 2, replacement))
    stage.decide(life, leader)
    stage.expect("has removed entries from its log")


def test_a_follower_may_truncate() -> None:
    stage = Stage(LeaderAppendOnly())
    follower = make_follower([1, 1, 1])
    life = stage.life("n1", follower)
    follower.state.log.truncate(2)
    stage.decide(life, follower)
    stage.expect_nothing()


# --- leader completeness ---------------------------------------------------------------------------------------------


def stage_with_committed_entries() -> Stage:
    """Entries 1 and 2 of term 1, and 3 of term 2, are committed in term 2."""
    stage = Stage(LeaderCompleteness())
    life = stage.life("n1", make_follower([1, 1, 2], term=2))
    life.state.commit(3)
    assert life.role is not None
    stage.decide(life, life.role)
    return stage


def test_a_leader_with_all_that_was_committed() -> None:
    for terms in ([1, 1, 2], [1, 1, 2, 2], [1, 1, 2, 3]):
        stage = stage_with_committed_entries()
        stage.life("n2", make_leader(terms, term=4))
        stage.expect_nothing()


def test_a_leader_whose_snapshot_covers_what_was_committed() -> None:
    stage = stage_with_committed_entries()
    stage.life("n2", make_leader([], term=4, after=SnapshotMetadata(3, 2)))
    stage.expect_nothing()


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ([1, 1], "without entry 3 of term 2"),
        ([1, 1, 3], "without entry 3 of term 2"),
        ([1, 2, 2], "without entry 2 of term 1"),
        ([], "without entry 1 of term 1"),
    ],
)
def test_a_leader_without(terms: list[int], text: str) -> None:
    stage = stage_with_committed_entries()
    stage.life("n2", make_leader(terms, term=4))
    stage.expect(text)


def test_a_leader_of_an_older_term_need_not_have_it() -> None:
    """It was elected before, and learns of its election late."""
    stage = stage_with_committed_entries()
    stage.life("n2", make_leader([1, 1], term=2))
    stage.expect_nothing()


def test_candidates_may_lack_anything() -> None:
    stage = stage_with_committed_entries()
    candidate, _ = make_candidate([], term=3)
    assert candidate.name is RoleName.CANDIDATE
    stage.life("n2", candidate)
    stage.expect_nothing()


# --- a term begins with an entry -------------------------------------------------------------------------------------


def test_leaders_that_begin_their_term() -> None:
    stage = Stage(TermBeginsWithEntry())
    stage.life("n1", make_leader([1, 1], term=2))
    stage.life("n2", make_follower([1, 1], term=2))
    stage.expect_nothing()


def test_a_leader_that_begins_without_an_entry() -> None:
    stage = Stage(TermBeginsWithEntry())
    leader = make_leader([1, 1], term=2)
    leader.state.log.truncate(3)
    stage.life("n1", leader)
    stage.expect("leads term 2 with a log that ends at 2")


# --- a leader is in touch with a majority ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("silence_s", "check_quorum", "wrong"), [(0.3, True, False), (0.301, True, True), (0.301, False, False)]
)
def test_a_leader_that_nobody_answers(silence_s: float, check_quorum: bool, wrong: bool) -> None:
    stage = Stage(LeaderInTouch())
    leader = make_leader([], term=1)
    config = attrs.evolve(leader.state.config, check_quorum=check_quorum)
    leader.state.config = attrs.evolve(config, election_timeout_s=(0.15, 0.3), heartbeat_interval_s=0.05)
    life = stage.life("n1", leader)
    leader.contact.quorum_checked_at = 7.0
    leader.contact.last_contact = {"n2": 7.0 - silence_s, "n3": 1.0}
    stage.send(life, "n3", AppendEntries(1, 1, 1, 0, (batch(2, 1),)))
    stage.expect_nothing()
    stage.send(life, "n3", AppendEntries(1, 1, 1, 0))
    if wrong:
        stage.expect("where 0 others have answered within 0.3 s before 7.000 s")
    stage.expect_nothing()


@pytest.mark.parametrize(("committed", "wrong"), [(0, False), (1, True)])
def test_members_that_come_while_it_is_in_touch_with_those_before(committed: int, wrong: bool) -> None:
    stage = Stage(LeaderInTouch())
    leader = make_leader([], term=1)
    config = attrs.evolve(leader.state.config, check_quorum=True)
    leader.state.config = attrs.evolve(config, election_timeout_s=(0.15, 0.3), heartbeat_interval_s=0.05)
    change = encode_configuration(Configuration(frozenset({"n2", "n3"})))
    leader.state.configurations.append(EntryBatch.encode(1, 1, EntryKind.CONFIGURATION, [change]))
    leader.state.configuration = leader.state.configurations.latest.configuration
    leader.state.commit_index = committed
    life = stage.life("n1", leader)
    leader.contact.quorum_checked_at = 7.0
    leader.contact.last_contact = {"n2": 6.9, "n3": 1.0}
    stage.send(life, "n2", AppendEntries(1, 1, 1, 0))
    if wrong:
        stage.expect("where 1 others have answered within 0.3 s before 7.000 s")
    stage.expect_nothing()


# --- match index -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on_disk", "term", "wrong"),
    [
        ([1, 1, 2], 2, False),
        ([1, 1], 2, True),
        ([1, 1, 1], 2, True),
        ([1, 1, 1], 3, False),  # overwritten by another leader, perhaps
    ],
)
def test_what_a_leader_takes_for_replicated(on_disk: list[int], term: int, wrong: bool) -> None:
    stage = Stage(MatchIndex())
    stage.store("n2", on_disk, term=term)
    leader = make_leader([1, 1], term=2)
    leader.commit.match_index["n2"] = 3
    stage.life("n1", leader)
    if wrong:
        stage.expect("takes entry 3 of term 2 for replicated on 'n2'")
    stage.expect_nothing()


def test_a_disk_that_was_replaced_may_lack_it() -> None:
    stage = Stage(MatchIndex())
    leader = make_leader([1, 1], term=2)
    leader.commit.match_index["n2"] = 3
    stage.watch.disk_replaced("n2", stage.disks["n2"])
    stage.life("n1", leader)
    stage.expect_nothing()


# --- leaders commit --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("index", "wrong"), [(2, False), (3, True)])
def test_a_follower_commits_what_leaders_have(index: int, wrong: bool) -> None:
    stage = Stage(LeadersCommit())
    stage.life("n1", make_leader([1, 1, 1], term=2, commit_index=2))
    stage.life("n2", make_follower([1, 1, 1], term=2, commit_index=index))
    if wrong:
        stage.expect("takes entry 3 for committed, and leaders have come to 2")
    stage.expect_nothing()


# --- a transfer loses nothing -----------------------------------------------------------------------------------------


def hand_over(stage: Stage, *, on_disk: int, acknowledged: int) -> None:
    """Have a leader of two entries tell n2 to lead, whose disk holds and which has acknowledged so many."""
    leader = make_leader([1])
    leader.handle(TransferRequested(PendingTransfer("n2")), 0.0)
    if acknowledged:
        receive(leader, "n2", AppendEntriesAccepted(2, acknowledged))
    stage.write("n2", LogWrite(entries=(batch(1, 1), batch(2, 2))[:on_disk]))
    stage.send(stage.life("n1", leader), "n2", TimeoutNow(2))


def test_leadership_goes_to_whom_nothing_is_missing() -> None:
    stage = Stage(TransferLosesNothing())
    hand_over(stage, on_disk=2, acknowledged=2)
    stage.expect_nothing()


def test_leadership_goes_to_whom_something_is_missing() -> None:
    stage = Stage(TransferLosesNothing())
    hand_over(stage, on_disk=1, acknowledged=2)
    stage.expect("tells 'n2' to lead, whose disk holds 1 of 2 entries")


def test_leadership_goes_before_all_is_committed() -> None:
    stage = Stage(TransferLosesNothing())
    hand_over(stage, on_disk=2, acknowledged=0)
    stage.expect("tells 'n2' to lead, and has committed 0 of 2")


def test_leadership_goes_to_the_best_there_is_where_the_disk_hangs() -> None:
    stage = Stage(TransferLosesNothing())
    leader = make_leader([1])
    leader.handle(TransferRequested(PendingTransfer("n2")), 0.0)
    leader.state.leader = None  # it gives way amid the transfer
    stage.send(stage.life("n1", leader), "n2", TimeoutNow(2))
    stage.expect_nothing()
