from __future__ import annotations

import pytest

from raft_actors.errors import InternalError
from raft_actors.raft.configurations import Configurations
from raft_actors.raft.effects import Become, Persist
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.inputs import SnapshotReceived, SnapshotWritten, TimerFired
from raft_actors.raft.membership import Configuration, Member
from raft_actors.raft.membership_codec import encode_configuration
from raft_actors.raft.messages import AppendEntries, RequestPreVote, RequestVoteReply, TimeoutNow
from raft_actors.raft.persistent_state import CommitSnapshot, SnapshotMetadata, StoredConfiguration
from raft_actors.raft.roles import Candidate, PreCandidate
from raft_actors.raft.transitions import RoleName
from tests.unit.builders import (
    ME,
    batch,
    became,
    make_durable,
    make_follower,
    make_leader,
    make_state,
    of,
    receive,
    sent,
    stored,
)

FIRST = Configuration({"n1", "n2", "n3"})
JOINED = Configuration({"n1", "n2", "n3"}, {"n4"})
JOINT = Configuration({"n2", "n3", "n4"}, outgoing={"n1", "n2", "n3"})
WITHOUT_ME = Configuration({"n2", "n3", "n4"}, {"n1"})


def entry(index: int, configuration: Configuration, term: int = 1) -> EntryBatch:
    return EntryBatch.encode(index, term, EntryKind.CONFIGURATION, [encode_configuration(configuration)])


def known(configurations: Configurations) -> list[tuple[int, Configuration]]:
    return [(held.index, held.configuration) for held in (configurations.at(0), *configurations.since(0))]


# --- the history --------------------------------------------------------------------------------------------------


def test_the_latest_is_in_force_and_each_stays_known_where_it_was() -> None:
    history = Configurations(FIRST)
    history.append(entry(3, JOINED))
    history.append(entry(5, JOINT))
    assert known(history) == [(0, FIRST), (3, JOINED), (5, JOINT)]
    assert history.latest.configuration == JOINT
    assert [history.at(index).index for index in (1, 3, 4, 5, 9)] == [0, 3, 3, 5, 5]


@pytest.mark.parametrize(("cut_at", "left"), [(6, 5), (5, 3), (4, 3), (3, 0), (1, 0)])
def test_a_truncation_puts_the_one_that_survives_in_force_again(cut_at: int, left: int) -> None:
    history = Configurations(FIRST)
    history.append(entry(3, JOINED))
    history.append(entry(5, JOINT))
    history.truncate(cut_at)
    assert history.latest.index == left
    assert history.changes == 2 + (left != 5)


def test_what_others_replaced_is_forgotten_but_not_what_is_in_force_there() -> None:
    history = Configurations(FIRST)
    history.append(entry(3, JOINED))
    history.append(entry(5, JOINT))
    history.forget_before(4)
    assert history.at(4).index == 3
    with pytest.raises(InternalError, match="was forgotten"):
        history.at(2)
    history.forget_before(2)
    assert history.at(4).index == 3


def test_a_snapshot_takes_the_place_of_all() -> None:
    history = Configurations(FIRST)
    history.append(entry(8, JOINT))
    history.restart(stored(3, JOINED))
    assert (history.latest.index, history.latest.configuration) == (3, JOINED)
    history.restart(None)
    assert history.latest.configuration == FIRST
    with pytest.raises(InternalError, match="can't be truncated"):
        Configurations(FIRST, [stored(3, JOINED)], snapshot_index=3).truncate(2)


def test_what_a_store_has_follows_the_first_unless_a_snapshot_ends_with_it() -> None:
    history = Configurations(FIRST, [stored(3, JOINED), stored(5, JOINT)], snapshot_index=2)
    history.truncate(3)
    assert history.latest.configuration == FIRST


def test_what_a_newer_version_wrote_is_passed_on_as_it_is() -> None:
    data = encode_configuration(JOINED).replace(b"\x83", b"\x84", 1) + b"\xa5later\x01"
    history = Configurations(FIRST, [StoredConfiguration(3, data)])
    assert history.latest.configuration == JOINED
    assert history.latest.stored == StoredConfiguration(3, data)


def test_one_can_neither_come_out_of_turn_nor_be_unreadable() -> None:
    history = Configurations(FIRST, [stored(3, JOINED)])
    with pytest.raises(InternalError, match="can't follow"):
        history.append(entry(3, JOINT))
    with pytest.raises(InternalError, match="can't be read"):
        history.append(EntryBatch.encode(4, 1, EntryKind.CONFIGURATION, [b"none"]))


# --- in a node's state --------------------------------------------------------------------------------------------


def test_a_follower_uses_a_configuration_from_its_appending_to_its_truncation() -> None:
    follower = make_follower([1], term=1)
    state = follower.state
    receive(follower, "n2", AppendEntries(1, 1, 1, 0, (entry(2, JOINED), batch(3, 1), entry(4, JOINT))))
    assert (state.configuration, state.voter_sets) == (JOINT, JOINT.voter_sets)
    assert (state.peers, state.voting_peers) == (("n2", "n3", "n4"), ("n2", "n3", "n4"))
    # Another leader has something else at 4: what came before stays in force, and no less.
    receive(follower, "n3", AppendEntries(2, 3, 1, 0, (batch(4, 2),)))
    assert (state.configuration, state.configurations.latest.index) == (JOINED, 2)
    assert (state.peers, state.voting_peers) == (("n2", "n3", "n4"), ("n2", "n3"))
    receive(follower, "n2", AppendEntries(3, 1, 1, 0, (batch(2, 3),)))
    assert (state.configuration, state.peers) == (FIRST, ("n2", "n3"))


def test_a_leaders_snapshot_replaces_whatever_was_taken_for_the_configuration() -> None:
    follower = make_follower([1], term=2)
    receive(follower, "n2", AppendEntries(2, 1, 1, 0, (entry(2, JOINED, 2), entry(3, JOINT, 2))))
    received = SnapshotReceived(2, "n2", SnapshotMetadata(9, 2), 5, 1, stored(7, WITHOUT_ME))
    [persist] = of(Persist, follower.handle(received, 0.0))
    assert persist.write == CommitSnapshot(5, 10, discard_log=True, configuration=stored(7, WITHOUT_ME))
    assert (follower.state.configuration, follower.state.configurations.latest.index) == (WITHOUT_ME, 7)
    # Also where its own looks newer, for that was of an entry which is not what was committed there.
    receive(follower, "n2", AppendEntries(2, 9, 2, 9, (entry(10, JOINT, 2),)))
    follower.handle(SnapshotReceived(2, "n2", SnapshotMetadata(11, 2), 6, 1, stored(8, JOINED)), 0.0)
    assert (follower.state.configuration, follower.state.configurations.latest.index) == (JOINED, 8)
    # One that says nothing comes of a cluster whose members never changed.
    follower.handle(SnapshotReceived(2, "n2", SnapshotMetadata(12, 2), 6, 1), 0.0)
    assert follower.state.configuration == FIRST


@pytest.mark.parametrize("stands", [Candidate, PreCandidate])
def test_who_learns_by_a_snapshot_that_it_has_no_vote_asks_for_none(stands: type[Candidate | PreCandidate]) -> None:
    role = stands(make_state([1], term=2))
    role.start(0.0)
    without_me = SnapshotReceived(2, "n2", SnapshotMetadata(9, 2), 5, 1, stored(7, WITHOUT_ME))
    assert role.handle(without_me, 0.1)[-1] == Become(RoleName.FOLLOWER)
    goes_on = stands(make_state([1], term=2))
    goes_on.start(0.0)
    with_me = SnapshotReceived(2, "n2", SnapshotMetadata(9, 2), 5, 1, stored(7, JOINED))
    assert of(Become, goes_on.handle(with_me, 0.1)) == []


def test_its_own_snapshot_ends_with_what_was_in_force_there_and_not_with_what_is_now() -> None:
    follower = make_follower([1], term=1, trailing_entries=0)
    receive(follower, "n2", AppendEntries(1, 1, 1, 4, (entry(2, JOINED), batch(3, 1), entry(4, JOINT))))
    [persist] = of(Persist, follower.handle(SnapshotWritten(SnapshotMetadata(3, 1), 1), 0.0))
    assert persist.write == CommitSnapshot(1, 4, configuration=stored(2, JOINED))
    assert follower.state.configuration == JOINT
    # The snapshot before may be on its way to somebody still, so what it ends with is known still.
    follower.handle(SnapshotWritten(SnapshotMetadata(4, 1), 2), 0.0)
    assert follower.state.configurations.at(3).configuration == JOINED


def test_a_store_gives_back_what_was_in_force_committed_or_not() -> None:
    state = make_state([1, 1, 1], stored_configurations=(stored(2, JOINED), stored(3, JOINT)))
    assert (state.configuration, state.commit_index) == (JOINT, 0)


# --- elections ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pre_vote", [True, False])
def test_a_node_without_a_vote_never_stands(pre_vote: bool) -> None:
    follower = make_follower([1, 1], stored_configurations=(stored(2, WITHOUT_ME),), pre_vote=pre_vote)
    follower.state.commit(2)
    for round_ in range(1, 4):
        deadline = follower.deadline
        assert became(follower.handle(TimerFired(), deadline)) == [], round_
        assert follower.deadline > deadline
    follower.state.leader = "n2"
    assert receive(follower, "n2", TimeoutNow(1)) == []


@pytest.mark.parametrize(("pre_vote", "role"), [(True, RoleName.PRE_CANDIDATE), (False, RoleName.CANDIDATE)])
def test_a_node_that_a_change_leaves_without_a_vote_stands_until_that_is_committed(
    pre_vote: bool, role: RoleName
) -> None:
    """It may be alone with that entry, and the others, for whom it still has a vote, get none from it."""
    follower = make_follower([1, 1, 1], stored_configurations=(stored(2, WITHOUT_ME),), pre_vote=pre_vote)
    follower.state.commit(1)
    assert became(follower.handle(TimerFired(), follower.deadline)) == [Become(role)]
    follower.state.commit(2)
    assert became(follower.handle(TimerFired(), follower.deadline)) == []


def test_a_node_that_never_had_a_vote_does_not_stand_for_that() -> None:
    held = (stored(1, WITHOUT_ME), stored(2, Configuration({"n2", "n3"}, {"n1"})))
    follower = make_follower([1, 1], stored_configurations=held)
    follower.state.commit(1)
    assert became(follower.handle(TimerFired(), follower.deadline)) == []


def test_a_candidate_without_a_vote_counts_itself_for_nothing() -> None:
    candidate = Candidate(make_state([1, 1], stored_configurations=(stored(2, WITHOUT_ME),)))
    assert became(make_durable(candidate, candidate.start(0.0))) == []
    votes = [receive(candidate, voter, RequestVoteReply(2, granted=True)) for voter in ("n2", "n3")]
    assert [became(effects) for effects in votes] == [[], [Become(RoleName.LEADER)]]


def test_a_node_without_a_vote_answers_all_the_same() -> None:
    """Its own configuration may be older, or newer, than the one that the candidate stands under."""
    follower = make_follower([1, 1], stored_configurations=(stored(2, WITHOUT_ME),))
    [(to, reply)] = sent(receive(follower, "n9", RequestPreVote(2, 2, 1, 7)))
    assert (to, reply.term, getattr(reply, "granted", None)) == ("n9", 2, True)


@pytest.mark.parametrize(
    ("voters", "wins"),
    [
        (["n2"], False),  # a majority of the old half alone
        (["n2", "n4"], True),
        (["n4", "n3"], True),
        (["n4"], False),  # a majority of neither
        (["n8", "n9"], False),  # of nobody
    ],
)
def test_a_candidate_needs_both_halves_and_counts_no_strangers(voters: list[str], wins: bool) -> None:
    candidate = Candidate(make_state([1, 1], stored_configurations=(stored(2, JOINT),)))
    make_durable(candidate, candidate.start(0.0))
    effects = [effect for voter in voters for effect in receive(candidate, voter, RequestVoteReply(2, granted=True))]
    assert (Become(RoleName.LEADER) in became(effects)) is wins


def test_a_leader_without_a_vote_counts_itself_for_nothing() -> None:
    leader = make_leader([1, 1], stored_configurations=(stored(2, WITHOUT_ME),))
    assert leader.state.node_id == ME
    assert leader.commit.advance() is None
    leader.commit.record_match("n2", 3)
    assert leader.commit.advance() is None  # one of three, and its own
    leader.commit.record_match("n4", 3)
    assert leader.commit.advance() == 3


@pytest.mark.parametrize(
    ("stores", "removed"),
    [
        (["mine", None], True),
        (["mine", "other"], True),
        (["", None], False),  # nobody says that it was this store
        (["mine", "mine"], False),
        (["mine", None, "mine"], False),
        (["mine", None, ""], False),  # it was added again, and is not named yet
        (["other", None, ""], False),
        ([None, None], False),
    ],
    ids=str,
)
def test_who_was_a_member_with_its_store_and_is_none_now_was_removed(stores: list[str | None], removed: bool) -> None:
    history = Configurations(FIRST)
    for index, store in enumerate(stores, 1):
        others = {"n8": Member("n8.test:1")}
        members = others if store is None else {**others, "n9": Member("n9.test:1", incarnation=store)}
        data = stored(index, Configuration(members, members=members)).data
        history.append(EntryBatch.encode(index, 1, EntryKind.CONFIGURATION, [data]))
    assert history.was_removed("n9", "mine") == removed
