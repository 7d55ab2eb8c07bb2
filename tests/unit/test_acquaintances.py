"""Whom a node takes its peers for, and what it makes of being refused."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from raft_actors.errors import StorageMismatch, StoreReplaced
from raft_actors.node.acquaintances import Acquaintances
from raft_actors.node.asking import encode
from raft_actors.node.forgetting import is_named
from raft_actors.persistence.abc import StoreIdentity
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.membership import Configuration, Member, Proven
from raft_actors.raft.membership_codec import encode_configuration
from raft_actors.raft.newest import Newest
from raft_actors.raft.persistent_state import HardState, Recovered, SnapshotMetadata
from raft_actors.raft.starts import Met, Start, Starts
from raft_actors.raft.state import RaftState
from raft_actors.transports.greeting import Greeting, Refusal
from tests.unit.builders import batch, make_state, stored


@pytest.fixture
def failures() -> list[Exception]:
    return []


@pytest.fixture
def known(failures: list[Exception]) -> Acquaintances:
    known = Acquaintances("n1", failures.append)
    known.incarnation = "1111"
    return known


def test_who_was_met_is_known_by_its_store_from_then_on(known: Acquaintances) -> None:
    assert known.admit(Greeting("n2", "2222")) is None
    assert known.admit(Greeting("n2", "2222", "elsewhere:1")) is None
    assert known.admit(Greeting("n3", "3333")) is None
    refusal = known.admit(Greeting("n2", "4444"))
    assert refusal is not None
    assert refusal.reason == "OTHER_INCARNATION"
    assert "'n2'" in refusal.detail
    assert "2222" in refusal.detail
    assert "4444" in refusal.detail
    assert known.admit(Greeting("n2", "2222")) is None  # the one that is known stays so


def test_who_does_not_say_is_taken_for_the_one_that_was_met(known: Acquaintances) -> None:
    assert known.admit(Greeting("n2")) is None
    assert known.admit(Greeting("n2", "2222")) is None
    assert known.admit(Greeting("n2")) is None


def test_a_node_that_is_refused_ends_with_the_remedy(known: Acquaintances, failures: list[Exception]) -> None:
    known.refused("n2", Refusal("OTHER_INCARNATION", "never seen"))
    (error,) = failures
    assert isinstance(error, StoreReplaced)
    assert isinstance(error, StorageMismatch)
    assert "node 'n2' knows 'n1' by another store than this one (1111)" in str(error)
    assert "Start it on the files that it had" in str(error)


# --- with a configuration ------------------------------------------------------------------------------------


def naming(incarnations: dict[str, str]) -> Configuration:
    """One that names these members, with these stores."""
    members = {member: Member(f"{member}.test:1", incarnation=store) for member, store in incarnations.items()}
    return Configuration(members, members=members)


def in_force(known: Acquaintances, index: int, **incarnations: str) -> RaftState:
    """Let a configuration that names these members, with these stores, be in force, and committed."""
    held = (stored(index, naming(incarnations)),)
    state = make_state([1] * index, stored_configurations=held, commit_index=index)
    state.incarnation = "1111"
    known.recovered(state)
    return state


def following(state: RaftState, index: int, **incarnations: str) -> None:
    """Append another one, which is not committed yet."""
    data = encode_configuration(naming(incarnations))
    state.append(EntryBatch.encode(index, 1, EntryKind.CONFIGURATION, [data]))


def follow(known: Acquaintances, state: RaftState, index: int, **incarnations: str) -> None:
    """The same, and have it seen."""
    following(state, index, **incarnations)
    known.settle(state)


def test_a_member_is_known_by_the_store_that_the_configuration_names(known: Acquaintances) -> None:
    in_force(known, 7, n1="1111", n2="2222", n3="")
    assert known.admit(Greeting("n2", "4444")) is not None
    assert known.admit(Greeting("n2", "2222")) is None
    assert known.admit(Greeting("n3", "3333")) is None
    assert known.admit(Greeting("n3", "5555")) is not None
    assert (known.known("n2"), known.known("n3"), known.known("n9"), known.known("n1")) == ("2222", "3333", "", "1111")


def test_who_knows_a_newer_configuration_may_be_right(known: Acquaintances) -> None:
    in_force(known, 7, n1="1111", n2="2222")
    assert known.admit(Greeting("n2", "4444", configuration_index=8)) is None
    assert known.admit(Greeting("n2", "4444", configuration_index=7)) is not None


def test_a_configuration_far_up_the_log_of_a_deposed_leader_is_no_newer_one(known: Acquaintances) -> None:
    """Nobody else has it, and what the others committed since is of a later term, at whatever index."""
    state = make_state([2] * 7, stored_configurations=(stored(7, naming({"n1": "1111", "n2": "2222"})),))
    known.recovered(state)
    assert known.newest() == Newest(7, 2)
    stale, later = (
        Greeting("n2", "4444", configuration_index=index, configuration_term=term) for index, term in ((204, 1), (6, 3))
    )
    assert known.admit(stale) is not None
    assert known.admit(later) is None


@pytest.mark.parametrize(("refuser", "doubtful"), [(Newest(204, 1), False), (Newest(6, 3), True), (Newest(8, 2), True)])
def test_a_refusal_by_who_has_a_configuration_of_an_older_term_is_by_no_newer_one(
    known: Acquaintances, refuser: Newest, doubtful: bool
) -> None:
    held = (stored(7, naming({"n1": "", "n2": "2222"})),)
    known.recovered(make_state([2] * 7, stored_configurations=held, incarnation="1111"))
    known.refused("n2", Refusal("OTHER_INCARNATION", "never seen", refuser.index, refuser.term))
    assert (known.doubt is not None) == doubtful


@pytest.mark.parametrize(
    ("config", "term", "named"), [(11, 8, True), (204, 6, False), (11, None, False), (205, None, True)]
)
async def test_who_says_which_store_is_named_must_know_more_than_who_refuses_it(
    config: int, term: int | None, named: bool
) -> None:
    """By the terms, where both say them: one that is older says none."""

    async def ask(_address: str, _request: bytes) -> bytes:
        said = {"cluster_id": "c", "config": config, "config_term": term, "members": {"n1": {"named": "1111"}}}
        return encode({"done": said})

    assert await is_named("1111", StoreIdentity("c", "n1"), ask, ["somewhere:1"], Newest(204, 7)) == named


def test_who_is_a_member_with_this_store_does_not_mind_who_knows_less(
    known: Acquaintances, failures: list[Exception]
) -> None:
    in_force(known, 7, n1="1111", n2="2222")
    known.refused("n2", Refusal("OTHER_INCARNATION", "never seen"))
    assert failures == []
    assert known.doubt is None


@pytest.mark.parametrize(
    ("own", "refuser", "doubtful"),
    [("", 6, False), ("", 7, False), ("", 8, True), ("0000", 6, True), ("0000", 8, True)],
)
def test_who_may_be_behind_doubts_a_refusal_and_grants_nothing_meanwhile(
    known: Acquaintances, failures: list[Exception], own: str, refuser: int, doubtful: bool
) -> None:
    """Its log names another store, so it was admitted since; or the peer may have seen what it has not."""
    state = in_force(known, 7, n1=own, n2="2222")
    known.refused("n2", Refusal("OTHER_INCARNATION", "never seen", configuration_index=refuser))
    if doubtful:
        doubt = known.doubt
        assert doubt is not None
        assert (doubt.peer, doubt.newest) == ("n2", Newest(refuser))
        assert "node 'n2' knows 'n1' by another store than this one (1111)" in str(doubt.error)
    assert len(failures) == (not doubtful)
    assert (known.doubt is not None) == doubtful == state.has_lost_promises


def test_who_doubts_has_no_vote(known: Acquaintances) -> None:
    state = in_force(known, 7, n1="", n2="2222")
    had_one = state.is_voter
    known.refused("n2", Refusal("OTHER_INCARNATION", "never seen", configuration_index=8))
    assert (had_one, state.is_voter, state.may_be_needed) == (True, False, False)


def test_a_leader_that_is_refused_does_not_doubt(known: Acquaintances, failures: list[Exception]) -> None:
    """It would name itself in the configuration, and believe that."""
    in_force(known, 7, n1="", n2="2222").leader = "n1"
    known.refused("n2", Refusal("OTHER_INCARNATION", "never seen", configuration_index=8))
    assert known.doubt is None
    assert len(failures) == 1


async def test_who_never_answers_keeps_no_doubt_open(autojump_clock: MockClock) -> None:
    async def ask(_address: str, _request: bytes) -> bytes:
        await trio.sleep(1_000)
        return b""

    assert not await is_named("1111", StoreIdentity("c", "n1"), ask, ["somewhere:1"], Newest(7))
    assert trio.current_time() <= 3.0


def test_who_was_removed_and_added_again_may_come_with_any_store(known: Acquaintances) -> None:
    """Though all of that is learned at once, and its name was in between: nobody goes back to the store before."""
    state = in_force(known, 7, n1="1111", n2="")
    assert known.admit(Greeting("n2", "2222", "there:1", dialled="there:1")) is None
    follow(known, state, 8, n1="1111", n2="4444")
    follow(known, state, 9, n1="1111", n2="4444")
    assert (known.known("n2"), known.proven("n2")) == ("4444", Proven("4444"))
    following(state, 10, n1="1111")
    follow(known, state, 11, n1="1111", n2="")
    assert known.admit(Greeting("n2", "4444")) is None
    assert known.admit(Greeting("n2", "2222")) is not None


def test_a_removal_that_is_undone_makes_nobody_forget(known: Acquaintances) -> None:
    state = in_force(known, 7, n1="1111", n2="")
    assert known.admit(Greeting("n2", "2222")) is None
    follow(known, state, 8, n1="1111")
    state.truncate(8)
    follow(known, state, 8, n1="1111", n2="4444")
    state.truncate(8)
    known.settle(state)
    assert known.admit(Greeting("n2", "4444")) is not None
    assert known.admit(Greeting("n2", "2222")) is None


def test_a_change_that_was_taken_back_and_is_undone_hides_no_removal(known: Acquaintances) -> None:
    state = in_force(known, 7, n1="1111", n2="")
    assert known.admit(Greeting("n2", "2222")) is None
    state.append(batch(8, 1, 2))
    following(state, 10, n1="1111", n2="", n3="3333")
    follow(known, state, 11, n1="1111", n2="")
    state.truncate(8)
    state.append(batch(8, 1))
    follow(known, state, 9, n1="1111")
    state.commit(9)
    follow(known, state, 10, n1="1111", n2="")
    assert known.admit(Greeting("n2", "4444")) is None


def test_a_change_that_was_taken_back_and_is_undone_makes_nobody_forget(known: Acquaintances) -> None:
    state = in_force(known, 7, n1="1111", n2="")
    assert known.admit(Greeting("n2", "2222")) is None
    following(state, 8, n1="1111", n2="2222", n3="3333")
    follow(known, state, 9, n1="1111", n2="2222")
    state.truncate(8)
    known.settle(state)
    assert known.admit(Greeting("n2", "4444")) is not None


def test_what_a_committed_configuration_names_is_known_by_that_alone(known: Acquaintances) -> None:
    """So where a snapshot follows in which it has no name, it has been away, and what was met before means nothing."""
    state = in_force(known, 7, n1="1111", n2="")
    assert known.admit(Greeting("n2", "2222")) is None
    follow(known, state, 8, n1="1111", n2="2222")
    state.commit(8)
    known.settle(state)
    members = {name: Member(f"{name}.test:1") for name in ("n1", "n2")}
    state.reset(SnapshotMetadata(20, 1), stored(19, Configuration(members, members=members)))
    known.settle(state)
    assert known.admit(Greeting("n2", "4444")) is None


# --- what is proven --------------------------------------------------------------------------------------------


def test_an_address_is_proven_where_its_member_says_it_and_was_reached_there(known: Acquaintances) -> None:
    in_force(known, 7, n1="1111", n2="2222")
    assert known.proven("n2") == Proven("2222")
    known.admit(Greeting("n2", "2222", "there:1"))
    assert known.proven("n2") == Proven("2222")  # it may be wrong about that
    known.admit(Greeting("n2", "2222", dialled="here:1"))
    assert known.proven("n2") == Proven("2222")
    known.admit(Greeting("n2", "2222", dialled="there:1"))
    assert known.proven("n2") == Proven("2222", "there:1")
    known.admit(Greeting("n2", "2222", "elsewhere:1"))  # it has moved on, and was not reached there yet
    assert known.proven("n2") == Proven("2222")


def test_another_store_proves_nothing_even_where_it_is_heard(known: Acquaintances) -> None:
    in_force(known, 7, n1="1111", n2="2222")
    known.admit(Greeting("n2", "2222", "there:1", dialled="there:1"))
    for dialled in ("", "other:1"):
        assert known.admit(Greeting("n2", "4444", "other:1", configuration_index=8, dialled=dialled)) is None
    assert known.proven("n2") == Proven("2222")


def test_who_was_met_and_left_has_proven_nothing_for_who_comes_back(known: Acquaintances) -> None:
    known.admit(Greeting("n2", "2222", "there:1", dialled="there:1"))
    state = in_force(known, 7, n1="1111", n2="")
    follow(known, state, 8, n1="1111")
    known.admit(Greeting("n2", "4444"))
    follow(known, state, 9, n1="1111", n2="")
    known.admit(Greeting("n2", "5555"))
    assert known.proven("n2") == Proven("5555")


def test_a_node_says_where_its_own_settings_have_it_whatever_the_cluster_knows(known: Acquaintances) -> None:
    in_force(known, 7, n1="1111", n2="2222")
    assert known.proven("n1") == Proven("1111", "address 1")
    members = {"n1": Member("old:1", incarnation="1111")}
    state = make_state([1], stored_configurations=(stored(1, Configuration(members, members=members)),))
    known.recovered(state, "new:1")
    assert known.address == "new:1"


# --- older copies ----------------------------------------------------------------------------------------------

FIRST, SECOND = "00000000000000aa", "00000000000000bb"


def recalling(known: Acquaintances, *nonces: str, met: dict[str, Met] | None = None) -> list[dict[str, Met]]:
    """Let its store have had these starts, and have met others; returns what it is given to remember."""
    starts, kept = Starts(), list[dict[str, Met]]()
    for nonce in nonces:
        starts = starts.with_next(nonce)
    recovered = Recovered(HardState(), None, 1, 0, (), (), starts=starts, met=met or {})
    known.recall(recovered, lambda now: kept.append(dict(now)), lambda: None)
    return kept


def test_a_node_that_hears_of_a_start_that_its_store_never_had_ends_with_the_remedy(
    known: Acquaintances, failures: list[Exception]
) -> None:
    in_force(known, 7, n1="1111", n2="2222")
    recalling(known, FIRST)
    for met in (None, Met("1111", Start(1, FIRST)), Met("0000", Start(9, SECOND))):
        assert known.admit(Greeting("n2", "2222", met=met)) is None
    assert failures == []
    for start in (Start(2, SECOND), Start(1, SECOND)):
        refusal = known.admit(Greeting("n2", "2222", met=Met("1111", start)))
        assert refusal is not None
        assert refusal.reason == "OLDER_STORE"
    error = failures[0]
    assert isinstance(error, StoreReplaced)
    assert "node 'n2' has met 'n1' at start 2 of its store 1111" in str(error)
    assert "Start it on the files that it had" in str(error)


def test_a_start_is_remembered_once_its_peer_was_reached_and_no_earlier_one_after_it(known: Acquaintances) -> None:
    before = {"n3": Met("3333", Start(4, FIRST)), "n9": Met("9999", Start(1, FIRST))}
    kept = recalling(known, FIRST, met=before)
    in_force(known, 7, n1="1111", n2="2222", n3="3333")
    assert known.admit(Greeting("n2", "2222", start=Start(2, SECOND))) is None
    assert known.met("n2") is None  # it has only called: nobody has told it yet what it must have
    assert known.admit(Greeting("n2", "2222", dialled="there:1", start=Start(2, SECOND))) is None
    assert known.admit(Greeting("n2", "2222", dialled="there:1", start=Start(1, FIRST))) is None
    assert known.admit(Greeting("n2", "2222", dialled="there:1")) is None  # of an older version
    assert known.met("n2") == Met("2222", Start(2, SECOND))
    assert known.met("n9") is None  # no member
    assert kept == [{"n2": Met("2222", Start(2, SECOND)), "n3": before["n3"]}]


def test_who_is_refused_is_not_remembered(known: Acquaintances) -> None:
    in_force(known, 7, n1="1111", n2="2222")
    kept = recalling(known, FIRST)
    assert known.admit(Greeting("n2", "4444", dialled="there:1", start=Start(2, SECOND))) is not None
    assert (known.met("n2"), kept) == (None, [])
