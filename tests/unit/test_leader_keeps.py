"""What a leader keeps of its log for followers that catch up, though a snapshot covers it."""

from __future__ import annotations

from typing import Any

from raft_actors.raft.effects import LeaveBehind, Persist
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.inputs import SnapshotWritten
from raft_actors.raft.messages import (
    AppendEntriesAccepted,
    AppendEntriesRejected,
    InstallSnapshotReply,
)
from raft_actors.raft.persistent_state import CommitSnapshot, SnapshotMetadata
from raft_actors.raft.roles import Leader
from tests.unit.builders import make_leader, of, receive


def leading(size: int = 10, **settings: Any) -> Leader:
    """A leader of entries 1 to 100, all of them committed, of which n2 has all."""
    leader = make_leader([1], trailing_entries=0, **settings)
    log = leader.state.log
    while log.last_index < 100:
        log.append(EntryBatch.encode(log.last_index + 1, 2, EntryKind.COMMAND, [bytes(size)]))
    log.mark_durable(100, log.epoch)
    receive(leader, "n2", AppendEntriesAccepted(2, 100), now=1.0)
    return leader


def take_snapshot(leader: Leader, index: int, *, now: float = 1.0) -> list[LeaveBehind]:
    """Of its own state; returns word of those whom it leaves behind."""
    effects = leader.handle(SnapshotWritten(SnapshotMetadata(index, 2), index), now)
    (persist,) = of(Persist, effects)
    assert isinstance(persist.write, CommitSnapshot)
    assert persist.write.first_index == leader.state.log.first_index
    return of(LeaveBehind, effects)


def wants(leader: Leader, snapshot_index: int, *, now: float = 1.0) -> None:
    """The other follower has stored a first chunk."""
    snapshot = SnapshotMetadata(snapshot_index, 2)
    receive(leader, "n3", InstallSnapshotReply(2, snapshot, 1, installed=False), now=now)


def test_keeps_nothing_for_one_that_it_has_never_heard_of() -> None:
    leader = leading()
    assert take_snapshot(leader, 50) == []
    assert leader.state.log.first_index == 51


def test_keeps_what_a_follower_lacks_that_is_there() -> None:
    leader = leading()
    receive(leader, "n3", AppendEntriesAccepted(2, 20), now=1.0)
    assert take_snapshot(leader, 50) == []
    assert leader.state.log.first_index == 21


def test_keeps_what_follows_the_snapshot_that_a_follower_is_being_sent() -> None:
    leader = leading()
    take_snapshot(leader, 50)
    wants(leader, 50)
    for index in (70, 80, 90):
        assert take_snapshot(leader, index) == []
        assert leader.state.log.first_index == 51


def test_keeps_it_from_the_moment_on_when_the_follower_is_known_to_need_a_snapshot() -> None:
    """The first chunk is under way, or about to be."""
    leader = leading()
    take_snapshot(leader, 50)
    receive(leader, "n3", AppendEntriesRejected(2, 100, None, 1), now=1.0)
    take_snapshot(leader, 70)
    assert leader.state.log.first_index == 51


def test_keeps_it_until_the_follower_has_caught_up() -> None:
    leader = leading()
    take_snapshot(leader, 50)
    wants(leader, 50)
    receive(leader, "n3", InstallSnapshotReply(2, SnapshotMetadata(50, 2), 9, installed=True), now=1.0)
    take_snapshot(leader, 70)
    assert leader.state.log.first_index == 51
    receive(leader, "n3", AppendEntriesAccepted(2, 75), now=1.0)
    take_snapshot(leader, 80)
    assert leader.state.log.first_index == 76
    receive(leader, "n3", AppendEntriesAccepted(2, 100), now=1.0)
    take_snapshot(leader, 90)
    assert leader.state.log.first_index == 91


def test_keeps_nothing_for_one_that_has_gone() -> None:
    leader = leading()
    receive(leader, "n3", AppendEntriesAccepted(2, 20), now=1.0)
    take_snapshot(leader, 30, now=8.5)
    assert leader.state.log.first_index == 21
    assert take_snapshot(leader, 50, now=9.5) == []
    assert leader.state.log.first_index == 51


def test_keeps_only_so_many_bytes_and_says_whom_it_leaves_behind() -> None:
    leader = leading(size=1024 * 1024, max_catch_up_bytes=30 * 1024 * 1024)
    receive(leader, "n3", AppendEntriesAccepted(2, 20), now=1.0)
    (behind,) = take_snapshot(leader, 95)
    first_index = leader.state.log.first_index
    assert (behind.peer, behind.needed, behind.first_index) == ("n3", 21, first_index)
    assert 68 <= first_index <= 72
    assert take_snapshot(leader, 96) == []  # once


def test_keeps_nothing_where_no_bytes_are_allowed() -> None:
    leader = leading(max_catch_up_bytes=0)
    receive(leader, "n3", AppendEntriesAccepted(2, 20), now=1.0)
    assert take_snapshot(leader, 50) == [LeaveBehind("n3", 21, 51)]
    assert leader.state.log.first_index == 51
