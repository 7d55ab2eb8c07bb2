"""Invariants of what nodes say and what their disks hold, shown legal and illegal courses of things."""

from __future__ import annotations

from typing import Any

import pytest

from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    AppendEntriesRejected,
    InstallSnapshotReply,
    Message,
    RequestVote,
    RequestVoteReply,
)
from raft_actors.raft.persistent_state import CommitSnapshot, HardState, LogWrite, SnapshotMetadata, TermRun
from raft_actors.testing.invariants import DurableBeforeSent, MemoryAndDisk, PromisesKept
from tests.invariants.support import Stage
from tests.unit.builders import batch, make_follower

# --- durable before sent ---------------------------------------------------------------------------------------------

SAID: list[tuple[Message, str]] = [
    (AppendEntries(3, 0, 0, 0), "speaks of term 3"),
    (RequestVoteReply(3, granted=False), "speaks of term 3"),
    (RequestVoteReply(2, granted=True), "votes for 'n2' in term 2"),
    (RequestVote(2, 0, 0), "votes for 'n1' in term 2"),
    (AppendEntriesAccepted(2, 3), "acknowledges entry 3"),
    (AppendEntriesAccepted(2, 4), "acknowledges entry 4"),
    (InstallSnapshotReply(2, SnapshotMetadata(5, 2), 1, installed=True), "acknowledges a Snapshot"),
]


@pytest.mark.parametrize(("message", "text"), SAID, ids=repr)
def test_said_before_it_is_durable(message: Message, text: str) -> None:
    """The disk holds entries 1 to 3, the third of which is about to be overwritten by one of term 2."""
    stage = Stage(DurableBeforeSent())
    stage.store("n1", [1, 1, 1], term=2, voted_for="n3")
    life = stage.life("n1", make_follower([1, 1, 2, 2]))
    stage.wrong.clear()  # the role that was made by hand takes all of its log for durable
    stage.send(life, "n2", message)
    stage.expect(text)


@pytest.mark.parametrize("message", [RequestVote(2, 4, 1), RequestVote(2, 3, 2)], ids=repr)
def test_a_candidate_with_more_than_its_disk_holds(message: Message) -> None:
    stage = Stage(DurableBeforeSent())
    stage.store("n1", [1, 1, 1], term=2, voted_for="n1")
    life = stage.life("n1", make_follower([1, 1, 1], term=2, voted_for="n1"))
    stage.send(life, "n2", RequestVote(2, 3, 1))
    stage.expect_nothing()
    stage.send(life, "n2", message)
    stage.expect("stands for election with a log that its disk does not hold")


def test_a_candidate_whose_log_a_later_snapshot_has_replaced() -> None:
    stage = Stage(DurableBeforeSent())
    stage.store("n1", [1, 1, 1], term=3, voted_for="n1")
    life = stage.life("n1", make_follower([1, 1, 1], term=3, voted_for="n1"))
    stage.reset_disk("n1", snapshot=SnapshotMetadata(2, 2), first_index=3, last_index=2, term_runs=())
    stage.send(life, "n2", RequestVote(3, 3, 1))
    stage.expect_nothing()
    stage.send(life, "n2", RequestVote(3, 3, 2))
    stage.expect("stands for election with a log that its disk does not hold")


def test_an_entry_before_a_snapshot_that_the_disk_does_not_have_yet() -> None:
    """n2 has committed three entries of terms 1, 2, 2; n1 has a snapshot of them, and an older log on its disk."""
    stage = Stage(DurableBeforeSent())
    other = make_follower([1, 2, 2], term=2)
    stage.store("n2", [1, 2, 2])
    other.state.commit(3)
    stage.decide(stage.life("n2", other), other)
    stage.store("n1", [1, 1, 1], term=2)
    follower = make_follower([1, 1, 1], term=2)
    life = stage.life("n1", follower)
    follower.state.log.reset(SnapshotMetadata(3, 2))
    stage.decide(life, follower)
    stage.expect_nothing()
    follower.state.log.durable_index = 2
    stage.decide(life, follower)
    stage.expect("takes entry 2 for durable, and its disk does not hold it")


# --- memory agrees with disk ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"hard_state": HardState(2, "n3")}, "remembers term 2 and a vote for None"),
        ({"snapshot": SnapshotMetadata(1, 1)}, "remembers None"),
        ({"last_index": 4}, "remembers entries 1 to 3, where its disk has 1 to 4"),
        ({"term_runs": (TermRun(1, 1), TermRun(2, 2))}, "remembers terms"),
    ],
    ids=["vote", "snapshot", "entries", "terms"],
)
def test_a_disk_that_says_something_else(changes: dict[str, Any], text: str) -> None:
    stage = Stage(MemoryAndDisk())
    follower = make_follower([1, 1, 2])
    stage.store("n1", [1, 1, 2])
    life = stage.life("n1", follower)
    stage.expect_nothing()
    stage.reset_disk("n1", **changes)
    follower.state.unsynced_writes = 1
    follower.state.commit(1)
    stage.decide(life, follower)
    stage.expect_nothing()
    follower.state.unsynced_writes = 0
    follower.state.commit(2)
    stage.decide(life, follower)
    stage.expect(text)


@pytest.mark.parametrize(
    "message",
    [
        AppendEntries(2, 4, 2, 0),
        AppendEntriesRejected(2, 9, None, 5),
        RequestVoteReply(2, granted=True),
        RequestVoteReply(1, granted=False),
        AppendEntriesAccepted(2, 4),
        AppendEntriesAccepted(2, 2),
        InstallSnapshotReply(2, SnapshotMetadata(4, 2), 1, installed=True),
        InstallSnapshotReply(2, SnapshotMetadata(9, 2), 1, installed=False),
    ],
    ids=repr,
)
def test_said_once_it_is_durable(message: Message) -> None:
    stage = Stage(DurableBeforeSent())
    stage.store("n1", [1, 1, 2, 2], voted_for="n2")
    life = stage.life("n1", make_follower([1, 1, 2, 2], voted_for="n2"))
    stage.send(life, "n2", message)
    stage.expect_nothing()


def test_taken_for_durable() -> None:
    stage = Stage(DurableBeforeSent())
    role = make_follower([1, 1])
    stage.store("n1", [1, 1])
    life = stage.life("n1", role)
    role.state.log.append(batch(3, 1))
    stage.decide(life, role)
    stage.expect_nothing()
    role.state.log.durable_index = 3
    stage.decide(life, role)
    stage.expect("takes entry 3 for durable, and its disk does not hold it")
    role.state.adopt_term(2)
    role.state.durable = HardState(2, None)
    stage.decide(life, role)
    stage.expect("for durable, and its disk says HardState(term=1")


def test_a_vote_that_the_disk_knows_before_the_node_has_heard_of_it() -> None:
    stage = Stage(DurableBeforeSent())
    role = make_follower([1, 1], voted_for="n2")
    stage.store("n1", [1, 1], voted_for="n2")
    life = stage.life("n1", role)
    role.state.durable = HardState(1, None)
    role.state.log.append(batch(3, 1))
    stage.decide(life, role)
    stage.expect_nothing()
    role.state.durable = HardState(1, "n3")
    role.state.log.append(batch(4, 1))
    stage.decide(life, role)
    stage.expect("voted_for='n3') for durable, and its disk says")


# --- vote and term never forgotten -----------------------------------------------------------------------------------


def test_promises_that_are_kept() -> None:
    stage = Stage(PromisesKept())
    life = stage.life("n1", make_follower([1, 1, 1]))
    stage.send(life, "n2", RequestVoteReply(3, granted=True))
    stage.send(life, "n2", RequestVoteReply(3, granted=True))
    stage.send(life, "n2", AppendEntriesAccepted(3, 3))
    stage.store("n1", [1, 1, 1])
    stage.write("n1", LogWrite(truncate_from=2, entries=(batch(2, 3),)))
    stage.life("n1", make_follower([1, 3], term=3, voted_for="n2"))
    stage.life("n1", make_follower([1, 3], term=4))
    stage.expect_nothing()


@pytest.mark.parametrize(
    ("message", "recovered", "text"),
    [
        (RequestVoteReply(3, granted=False), {"term": 2}, "is back in term 2, after it spoke of term 3"),
        (RequestVoteReply(3, granted=True), {"term": 3}, "remembers a vote for None in term 3"),
        (RequestVoteReply(3, granted=True), {"term": 3, "voted_for": "n3"}, "remembers a vote for 'n3'"),
        (RequestVote(3, 0, 0), {"term": 3}, "where it voted for 'n1'"),
        (AppendEntriesAccepted(1, 4), {}, "ends at 3, after it acknowledged entry 4"),
        (
            InstallSnapshotReply(1, SnapshotMetadata(5, 1), 1, installed=True),
            {},
            "ends at 3, after it acknowledged entry 5",
        ),
    ],
)
def test_promises_that_are_forgotten(message: Message, recovered: dict[str, Any], text: str) -> None:
    for replaced in (False, True):
        stage = Stage(PromisesKept())
        stage.send(stage.life("n1", make_follower([1, 1, 1])), "n2", message)
        if replaced:
            stage.watch.disk_replaced("n1", stage.disks["n1"])
        stage.life("n1", make_follower([1, 1, 1], **recovered))
        if replaced:
            stage.expect_nothing()
        else:
            stage.expect(text)


def test_a_vote_for_two() -> None:
    stage = Stage(PromisesKept())
    life = stage.life("n1", make_follower())
    stage.send(life, "n2", RequestVoteReply(3, granted=True))
    stage.send(life, "n3", RequestVoteReply(3, granted=True))
    stage.expect("votes twice in term 3: for 'n2', and for 'n3'")
    stage.send(life, "n3", RequestVoteReply(2, granted=True))
    stage.expect("votes for 'n3' in term 2, after it spoke of term 3")


def test_a_leaders_snapshot_takes_the_place_of_what_was_acknowledged() -> None:
    stage = Stage(PromisesKept())
    stage.send(stage.life("n1", make_follower([1] * 9)), "n2", AppendEntriesAccepted(1, 9))
    stage.store("n1", [1] * 5)
    stage.write("n1", CommitSnapshot(1, 6, discard_log=True))
    stage.life("n1", make_follower([1] * 5))
    stage.expect_nothing()
