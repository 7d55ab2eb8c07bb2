"""What a commit index says of proposals that a deposed leader had placed in its log."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from raft_actors.errors import LeadershipLost, NotCommitted, ResultLost
from raft_actors.node.proposals import PendingProposals
from raft_actors.raft.effects import Apply, Refuse
from raft_actors.raft.inputs import SnapshotReceived
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.raft.requests import Request
from raft_actors.raft.unresolved import UnresolvedProposals
from tests.unit.builders import (
    append,
    command,
    make_admission,
    make_follower,
    make_leader,
    make_log,
    of,
    propose,
    receive,
    step,
)


def placed(index: int, count: int = 1) -> PendingProposals[Any]:
    """A proposal with its place in the log."""
    commands = [command(index + offset) for offset in range(count)]
    made: PendingProposals[Any] = PendingProposals(make_admission(), commands, 0)
    made.index, made.last_index = index, index + count - 1
    return made


def unresolved(term: int, *requests: Request) -> UnresolvedProposals:
    watched = UnresolvedProposals()
    watched.watch(requests, term)
    return watched


def errors(refused: tuple[Refuse, ...]) -> dict[Any, Any]:
    return {refuse.outcome: refuse.error for refuse in refused}


def test_is_committed_where_the_entry_is_of_its_term() -> None:
    mine, later = placed(2), placed(3)
    watched = unresolved(2, mine, later)
    decided = watched.decide(make_log([1, 2, 2]), 2)
    assert (decided.committed, decided.refused) == ((mine,), ())
    assert watched
    assert watched.decide(make_log([1, 2, 2]), 3).committed == (later,)
    assert not watched


def test_is_never_committed_where_another_entry_is() -> None:
    mine = placed(2)
    decided = unresolved(2, mine).decide(make_log([1, 3]), 2)
    assert decided.committed == ()
    error = errors(decided.refused)[mine]
    assert isinstance(error, NotCommitted)
    assert (error.term, error.index) == (2, 2)


def test_the_first_commit_of_a_later_term_decides_all_that_lie_beyond_it() -> None:
    mine = placed(9)
    watched = unresolved(2, mine)
    assert watched.decide(make_log([1, 2]), 2).refused == ()
    assert list(errors(watched.decide(make_log([1, 2, 3]), 3).refused)) == [mine]


def test_an_older_commit_decides_nothing_beyond_it() -> None:
    watched = unresolved(2, placed(2))
    decided = watched.decide(make_log([1, 2]), 1)
    assert (decided.committed, decided.refused, decided.keep_from) == ((), (), None)
    assert watched


def test_of_several_commands_the_first_ones_may_be_committed() -> None:
    many = placed(2, count=3)
    decided = unresolved(2, many).decide(make_log([1, 2, 3]), 3)
    assert decided.committed == (many,)
    assert many.last_index == 2
    many.answer(["result of 2", "of another's"], 2, None)
    assert many.done
    error = many._error
    assert isinstance(error, NotCommitted)
    assert (error.index, error.results) == (3, ("result of 2",))


def test_results_of_what_is_committed_in_part_are_kept_until_the_rest_is_decided() -> None:
    many = placed(2, count=3)
    watched = unresolved(2, many)
    decided = watched.decide(make_log([1, 2, 2, 2]), 3)
    assert (decided.committed, decided.keep_from) == ((), 2)
    assert watched.decide(make_log([1, 2, 2, 2]), 4).committed == (many,)


def test_of_what_lies_in_a_compacted_part_of_the_log_the_snapshot_tells_something() -> None:
    log = make_log([3], after=SnapshotMetadata(5, 2))
    older, same, later = placed(2), placed(2), placed(2)
    assert isinstance(errors(unresolved(1, older).decide(log, 6).refused)[older], LeadershipLost)
    assert unresolved(2, same).decide(log, 6).committed == (same,)
    assert isinstance(errors(unresolved(3, later).decide(log, 6).refused)[later], NotCommitted)


def test_is_watched_in_log_order_however_it_comes() -> None:
    first, second, third = placed(2), placed(3), placed(4)
    watched = unresolved(2, first, third)
    watched.watch([second], 2)
    assert watched.decide(make_log([1, 2, 2, 2]), 4).committed == (first, second, third)


def can_be(terms: list[int], first: int, count: int, term: int) -> bool:
    """Whether a leader of that term can have placed a proposal there: what is of its term holds all before it, too."""
    own = [terms[index - 1] == term for index in range(first, first + count) if index <= len(terms)]
    return own == sorted(own, reverse=True)


def lies_in_order(terms: list[int], first: int, term: int) -> bool:
    """Whether it has a place that is its leader's own, where that leader has placed anything of this log."""
    return all(first > at for at, other in enumerate(terms, 1) if other < term) or term not in terms


@given(
    terms=st.lists(st.integers(1, 4), min_size=1, max_size=8).map(sorted),
    mine=st.lists(st.tuples(st.integers(1, 8), st.integers(1, 3), st.integers(1, 4)), max_size=5),
    data=st.data(),
)
def test_decides_what_one_who_sees_the_whole_log_would(
    terms: list[int], mine: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """However the commit index moves, each is decided once, as the entries say, and no sooner than it can be known."""
    log, watched = make_log(terms), UnresolvedProposals()
    proposals = {placed(index, count): term for index, count, term in mine if can_be(terms, index, count, term)}
    for proposal, term in proposals.items():
        watched.watch([proposal], term)
    decided: dict[Any, int] = {}
    meant = {proposal: proposal.last_index for proposal in proposals}
    commits = sorted(data.draw(st.lists(st.integers(1, len(terms)), max_size=4)))
    for commit in commits:
        outcome = watched.decide(log, commit)
        for committed in outcome.committed:
            assert committed not in decided
            decided[committed] = committed.last_index
        decided.update({refuse.outcome: 0 for refuse in outcome.refused})
    for mine_now, term in proposals.items():
        first, last = mine_now.index or 0, meant[mine_now]
        commit = commits[-1] if commits else 0
        own = [index for index in range(first, last + 1) if index <= commit and terms[index - 1] == term]
        settled = bool(commits) and (last <= commit or terms[commit - 1] > term)
        assert (mine_now in decided) == settled
        if settled:
            assert decided[mine_now] == (own[-1] if own else 0)


# --- in roles ---------------------------------------------------------------------------------------------------------


def test_a_deposed_leader_hears_from_its_successor_what_became_of_its_proposals() -> None:
    leader = make_leader([1])
    kept, _ = propose(leader, b"a")
    lost, _ = propose(leader, b"b")
    step(leader)
    assert (kept.index, lost.index) == (3, 4)
    leader.state.adopt_term(3)
    leader.leave()
    follower = make_follower()
    follower.state = leader.state
    effects = receive(follower, "n2", append(3, 2, [3], term=3, commit=4))
    assert [refuse.outcome for refuse in of(Refuse, effects)] == [lost]
    assert of(Apply, effects) == [Apply(4, (kept,))]  # at once: its results would be lost behind the disk


def test_a_leader_that_leads_again_answers_what_it_had_taken_in_before() -> None:
    leader = make_leader([1])
    old, _ = propose(leader, b"a")
    step(leader)
    leader.state.adopt_term(3)
    leader.leave()
    leader.state.commit(3)
    assert leader.state.apply(3) == [Apply(3, (old,))]


@pytest.mark.parametrize(
    ("index", "count", "term", "error"),
    [
        (2, 1, 2, LeadershipLost),
        (3, 2, 2, LeadershipLost),  # the first of both may be committed
        (4, 1, 2, NotCommitted),
        (4, 3, 2, NotCommitted),
        (5, 1, 2, NotCommitted),
        (9, 1, 2, NotCommitted),
        (3, 1, 3, ResultLost),
        (4, 1, 3, ResultLost),
        (3, 1, 4, NotCommitted),
        (4, 2, 4, NotCommitted),
        (4, 2, 3, None),  # the second of both may come
        (5, 1, 3, None),
        (5, 1, 4, None),
    ],
)
def test_a_snapshot_in_the_place_of_another_log_says_at_once_what_it_can(
    index: int, count: int, term: int, error: type[Exception] | None
) -> None:
    """It ends with the entry 4 of term 3, and nothing may be committed after it for long."""
    follower = make_follower([1, 2, 2, 2], term=4, commit_index=1)
    mine = placed(index, count)
    follower.state.unresolved.watch([mine], term)
    effects = follower.handle(SnapshotReceived(4, "n2", SnapshotMetadata(4, 3), 1, 1), 0.0)
    told = errors(tuple(of(Refuse, effects)))
    assert type(told.get(mine)) is (error or type(None))
    assert len(follower.state.unresolved) == (error is None)
    counted = follower.state.unresolved
    kinds = {ResultLost: counted.committed, NotCommitted: counted.not_committed, LeadershipLost: counted.unknown}
    assert kinds == {kind: int(kind is error) for kind in kinds}


@given(
    terms=st.lists(st.integers(1, 4), min_size=2, max_size=8).map(sorted),
    mine=st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(1, 4)),
    data=st.data(),
)
def test_a_snapshot_says_nothing_that_the_log_it_stands_for_does_not(
    terms: list[int], mine: tuple[int, int, int], data: st.DataObject
) -> None:
    """Whatever follows it: what it tells is so in every log that goes on from there."""
    index, count, term = mine
    assume(can_be(terms, index, count, term) and lies_in_order(terms, index, term))
    end = data.draw(st.integers(1, len(terms)))
    proposal = placed(index, count)
    told = errors(unresolved(term, proposal).replaced(SnapshotMetadata(end, terms[end - 1])))
    own = [at for at in range(index, index + count) if at <= len(terms) and terms[at - 1] == term]
    match told.get(proposal):
        case NotCommitted():
            assert not own
        case ResultLost():
            assert len(own) == count
        case None:
            assert term >= terms[end - 1]
            assert index + count - 1 > end
        case error:
            assert isinstance(error, LeadershipLost)
            assert index < end


def test_a_snapshot_of_the_same_log_decides_as_a_commit_does() -> None:
    follower = make_follower([1, 2, 2], term=2, commit_index=1)
    mine = placed(3)
    follower.state.unresolved.watch([mine], 2)
    effects = follower.handle(SnapshotReceived(2, "n2", SnapshotMetadata(3, 2), 1, 1), 0.0)
    assert of(Apply, effects) == [Apply(3, (mine,))]
