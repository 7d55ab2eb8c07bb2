"""Invariants about members, each shown what no cluster does."""

from __future__ import annotations

import pytest

from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.features import FEATURES
from raft_actors.raft.membership import Configuration, Goal, Member
from raft_actors.raft.membership_codec import encode_configuration
from raft_actors.raft.messages import RequestPreVote, RequestVote, RequestVoteReply
from raft_actors.raft.roles import Follower, Leader
from raft_actors.testing import Life
from raft_actors.testing.invariants import (
    ConfigurationFollowsLog,
    GatesStayOpen,
    IdentityNeverReused,
    MembersChangeOneByOne,
    OnlyMembersHeard,
    OnlyVotersStand,
)
from tests.invariants.support import Stage
from tests.unit.builders import make_candidate, make_follower, make_leader, stored

GOAL = Goal({"n4", "n5", "n6"})
FIRST = Configuration({"n1", "n2", "n3"})
JOINED = Configuration({"n1", "n2", "n3"}, {"n4", "n5", "n6"}, goal=GOAL)
JOINT = Configuration({"n4", "n5", "n6"}, outgoing={"n1", "n2", "n3"}, goal=GOAL)
APART = Configuration({"n4", "n5", "n6"}, {"n1", "n2", "n3"}, goal=GOAL)


def bound(**stores: str) -> Configuration:
    """Members that are known by these stores."""
    return Configuration({*stores}, members={name: Member(incarnation=store) for name, store in stores.items()})


def append(stage: Stage, life: Life, role: Leader, configuration: Configuration) -> None:
    """A leader decides on another configuration."""
    state = role.state
    command = encode_configuration(configuration)
    state.append(EntryBatch.encode(state.log.last_index + 1, state.term, EntryKind.CONFIGURATION, [command]))
    stage.decide(life, role)


def leader(configuration: Configuration, *, commit_index: int = 3) -> Leader:
    """One whose store had this configuration, with an entry of its term after it."""
    can = FEATURES | configuration.features | {"colour"}
    role = make_leader([1, 1], stored_configurations=(stored(2, configuration),), commit_index=2, features=can)
    if commit_index > 2:
        role.state.commit(commit_index)
    return role


@pytest.mark.parametrize(
    ("before", "after", "wrong"),
    [
        (JOINED, JOINT, ""),
        (JOINT, APART, ""),
        (JOINT, FIRST, ""),
        (JOINED, APART, "two majorities that do not meet"),
        (FIRST, Configuration({"n1"}), "two majorities that do not meet"),
        (FIRST, Configuration({"n1", "n2", "n3", "n4"}), ""),  # which share one in every case
        (JOINED, Configuration({"n1", "n2", "n3"}, {"n4"}, goal=Goal({"n4"})), "makes another change of the one"),
        (bound(n1="aa", n2=""), bound(n1="aa", n2="bb"), ""),  # a member is bound to its store once
        (bound(n1="aa", n2="bb"), bound(n1="aa", n2="cc"), "has n2 go on as a member with another store than bb"),
        (bound(n1="aa", n2="bb"), bound(n1="aa", n2=""), "has n2 go on as a member with another store than bb"),
    ],
)
def test_members_change_such_that_majorities_meet(before: Configuration, after: Configuration, wrong: str) -> None:
    stage, role = Stage(MembersChangeOneByOne()), leader(before)
    life = stage.life("n1", role)
    append(stage, life, role, after)
    if wrong:
        stage.expect(wrong)
    stage.expect_nothing()


def test_no_configuration_before_the_one_before_is_committed_but_to_take_it_back() -> None:
    stage, role = Stage(MembersChangeOneByOne()), leader(JOINED)
    life = stage.life("n1", role)
    append(stage, life, role, JOINT)
    append(stage, life, role, FIRST)
    assert stage.wrong == []
    append(stage, life, role, JOINED)
    assert "the one at 5 is not committed" in stage.wrong[0]


def test_no_configuration_before_an_entry_of_the_own_term_is_committed() -> None:
    stage, role = Stage(MembersChangeOneByOne()), leader(JOINED, commit_index=2)
    life = stage.life("n1", role)
    append(stage, life, role, JOINT)
    assert "has committed nothing of its term" in stage.wrong[0]


def test_a_node_goes_by_its_log_after_a_restart() -> None:
    stage, role = Stage(ConfigurationFollowsLog()), make_leader([1, 1])
    life = stage.life("n1", role)
    append(stage, life, role, JOINED)
    assert stage.wrong == []
    terms = [1, 1, 2, 2]
    stage.life("n2", make_follower(terms, stored_configurations=(stored(4, JOINED),)))
    assert stage.wrong == []
    stage.life("n2", make_follower(terms))
    assert "of index 0, and its log has one at 4" in stage.wrong[0]
    stage.life("n3", make_follower(terms, stored_configurations=(stored(4, JOINT),)))
    assert "for the configuration of index 4" in stage.wrong[1]


def test_a_node_goes_by_its_log_after_a_truncation() -> None:
    stage, role = Stage(ConfigurationFollowsLog()), make_leader([1, 1])
    life = stage.life("n1", role)
    append(stage, life, role, JOINED)
    follower = make_follower([1, 1, 2, 2], stored_configurations=(stored(4, JOINED),))
    other = stage.life("n2", follower)
    follower.state.log.truncate(4)  # and not the configurations, which `RaftState.truncate` would
    stage.decide(other, follower)
    assert "of index 4, and its log has one at" in stage.wrong[0]


@pytest.mark.parametrize("message", [RequestVote(2, 2, 1), RequestPreVote(2, 2, 1, 1)])
def test_only_voters_ask_for_votes(message: RequestVote | RequestPreVote) -> None:
    stage = Stage(OnlyVotersStand())
    stage.send(stage.life("n1", make_follower([1, 1], stored_configurations=(stored(2, JOINT),))), "n2", message)
    assert stage.wrong == []
    follower = make_follower([1, 1], stored_configurations=(stored(2, APART),))
    life = stage.life("n1", follower)
    stage.send(life, "n2", message)  # the change may reach nobody but by this node
    assert stage.wrong == []
    follower.state.commit(2)
    stage.send(life, "n2", message)
    assert "has none itself" in stage.wrong[0]


def test_a_candidate_asks_for_the_votes_of_its_term_though_it_hears_meanwhile_that_it_has_none_any_more() -> None:
    stage = Stage(OnlyVotersStand())
    candidate, _ = make_candidate([1, 1], term=2, stored_configurations=(stored(2, APART),))
    life = stage.life("n1", candidate)
    candidate.state.commit(2)
    stage.decide(life, Follower(candidate.state))
    stage.send(life, "n2", RequestVote(candidate.state.term, 2, 1))  # as soon as its own vote is on its disk
    assert stage.wrong == []
    stage.send(life, "n2", RequestVote(candidate.state.term + 1, 2, 1))
    assert "has none itself" in stage.wrong[0]


# --- gates --------------------------------------------------------------------------------------------------------

COLOUR = frozenset({"colour"})
TWO = {"n1", "n2"}


@pytest.mark.parametrize(
    ("before", "after", "wrong"),
    [
        (Configuration(TWO), Configuration(TWO, features=COLOUR), ""),
        (Configuration(TWO, features=COLOUR), Configuration(TWO), "closes ['colour']"),
        (Configuration(TWO), Configuration(TWO, {"n3"}, features=COLOUR), "opens “colour”, which n3 can't pass"),
        (
            Configuration(TWO),
            Configuration(TWO, members={"n1": Member(priority=1)}),
            "needs ['priority'], which nobody",
        ),
    ],
)
def test_gates_are_opened_where_all_can_pass_them_and_stay_open(
    before: Configuration, after: Configuration, wrong: str
) -> None:
    stage, role = Stage(GatesStayOpen()), leader(before)
    for name in ("n2", "n3"):
        peer = make_follower([1, 1])
        peer.state.features = FEATURES if name == "n3" else FEATURES | COLOUR
        stage.life(name, peer)
    life = stage.life("n1", role)
    append(stage, life, role, after)
    if wrong:
        stage.expect(wrong)
    stage.expect_nothing()


def test_nobody_goes_by_what_it_can_not_do() -> None:
    stage, peer = Stage(GatesStayOpen()), make_follower([1, 1])
    peer.state.configuration = Configuration(TWO, features=COLOUR)
    stage.life("n2", peer)
    assert ["goes by ['colour'], and can do no more than" in text for text in stage.wrong] == [True]


@pytest.mark.parametrize(
    ("later", "wrong"),
    [
        ([bound(n1="aa"), bound(n1="aa", n2="bb")], ""),  # it was away, with its store
        ([bound(n1="aa"), bound(n1="aa", n2="cc")], ""),
        ([bound(n1="aa", n2="bb", n3="cc")], ""),
        ([bound(n1="aa"), bound(n1="aa", n2="cc"), bound(n1="aa"), bound(n1="aa", n2="bb")], "is the store bb again"),
        ([bound(n1="aa"), bound(n1="aa", n3="bb")], "that 'n3' is the store bb, as 'n2' was"),
    ],
)
def test_a_store_is_one_member_and_never_comes_back_once_it_is_replaced(later: list[Configuration], wrong: str) -> None:
    stage, role = Stage(IdentityNeverReused()), leader(bound(n1="aa", n2="bb"))
    life = stage.life("n1", role)
    for configuration in later:
        stage.expect_nothing()
        append(stage, life, role, configuration)
        stage.expect_nothing()  # not yet: it may be undone
        role.state.commit(role.state.log.last_index)
        stage.decide(life, role)
    if wrong:
        stage.expect(wrong)
    stage.expect_nothing()


def test_who_knows_that_its_store_was_lost_gives_no_vote_before_it_is_named() -> None:
    stage, role = Stage(IdentityNeverReused()), make_follower([1], incarnation="new", must_be_named=True)
    life = stage.life("n1", role)
    stage.send(life, "n2", RequestVoteReply(2, granted=False))
    stage.expect_nothing()
    stage.send(life, "n2", RequestVoteReply(2, granted=True))
    stage.expect("votes for 'n2', and knows that its votes were lost")
    role.state.configuration = bound(n1="new", n2="bb")
    stage.send(life, "n2", RequestVoteReply(2, granted=True))
    stage.expect_nothing()


def test_who_is_no_member_is_not_heard_beside_a_leader() -> None:
    stage, role = Stage(OnlyMembersHeard()), make_follower([1], leader="n2")
    life = stage.life("n1", role)
    stage.hear(life, "n3", RequestPreVote(2, 1, 1, 1))
    stage.expect_nothing()
    stage.hear(life, "n9", RequestPreVote(2, 1, 1, 1))
    stage.expect("follows 'n2', and hears 'n9', which is no member")
    role.state.leader = None
    stage.hear(life, "n9", RequestPreVote(2, 1, 1, 1))
    stage.expect_nothing()


def test_nobody_is_heard_in_anothers_name() -> None:
    stage, role = Stage(OnlyMembersHeard()), make_follower([1], leader="n2")
    life, message = stage.life("n1", role), RequestPreVote(2, 1, 1, 1)
    stage.watch.facts.forged[id(message)] = message
    stage.hear(life, "n3", message)
    stage.expect("hears a RequestPreVote that 'n3' has not sent")
