"""What a leader makes of proposals and reads: few batches, reads behind them, outcomes in log order."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from raft_actors.errors import LeadershipEnded, Overloaded
from raft_actors.node.proposals import PendingProposals
from raft_actors.raft.effects import Apply, WakeReplicators
from raft_actors.raft.entries import BATCH_OVERHEAD, ENTRY_OVERHEAD, EntryBatch, EntryKind
from raft_actors.raft.inputs import Requested
from raft_actors.raft.messages import AppendEntriesAccepted
from raft_actors.raft.roles import Leader
from tests.unit.builders import (
    make_admission,
    make_durable,
    make_follower,
    make_leader,
    of,
    propose,
    query,
    receive,
    refused,
    step,
    written,
)


def appended(leader: Leader) -> list[EntryBatch]:
    """What the end of the step appends."""
    return [batch for write in written(step(leader)) for batch in write.entries]


def test_proposals_of_one_step_become_one_batch_of_its_term() -> None:
    leader = make_leader()
    first, effects = propose(leader, b"a")
    many, _ = propose(leader, b"b", b"c")
    assert effects == []
    [batch] = appended(leader)
    assert (batch.first_index, batch.term, batch.kind) == (2, 2, EntryKind.COMMAND)
    assert batch.commands() == [b"a", b"b", b"c"]
    assert [(proposal.index, proposal.last_index) for proposal in (first, many)] == [(2, 2), (3, 4)]


def test_entries_are_written_and_sent_in_parallel() -> None:
    leader = make_leader()
    propose(leader, b"a")
    persist, wake = step(leader)
    assert wake == WakeReplicators()
    assert getattr(persist, "then", None) == ()


def test_the_next_step_appends_behind_the_last() -> None:
    leader = make_leader()
    propose(leader, b"a")
    step(leader)
    propose(leader, b"b")
    assert [batch.first_index for batch in appended(leader)] == [3]


def test_more_than_one_message_takes_is_split_between_commands() -> None:
    size = BATCH_OVERHEAD + 2 * (ENTRY_OVERHEAD + 1)
    leader = make_leader(max_append_bytes=size)
    proposal: PendingProposals[Any] = PendingProposals(make_admission(), [b"a", b"b", b"c"], size + ENTRY_OVERHEAD + 1)
    leader.handle(Requested([proposal]), 0.0)
    assert [batch.commands() for batch in appended(leader)] == [[b"a", b"b"], [b"c"]]
    assert (proposal.index, proposal.last_index) == (2, 4)


def test_a_command_larger_than_a_message_goes_alone() -> None:
    leader = make_leader(max_append_bytes=40)
    proposal: PendingProposals[Any] = PendingProposals(make_admission(), [b"a", b"b" * 100, b"c"], 200)
    leader.handle(Requested([proposal]), 0.0)
    assert [batch.commands() for batch in appended(leader)] == [[b"a"], [b"b" * 100], [b"c"]]


@given(
    lengths=st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=5), min_size=1, max_size=8),
    limit=st.integers(1, 200),
)
def test_no_batch_is_larger_than_a_message_unless_one_command_is(lengths: list[list[int]], limit: int) -> None:
    leader = make_leader(max_append_bytes=limit)
    proposals: list[PendingProposals[Any]] = []
    for own in lengths:
        commands = [b"x" * length for length in own]
        size = BATCH_OVERHEAD + sum(ENTRY_OVERHEAD + length for length in own)
        proposals.append(PendingProposals(make_admission(), commands, size))
        leader.handle(Requested([proposals[-1]]), 0.0)
    batches = appended(leader)
    assert all(batch.size <= limit or len(batch) == 1 for batch in batches)
    commands = [command for batch in batches for command in batch.commands()]
    for proposal in proposals:
        assert proposal.index is not None
        assert commands[proposal.index - 2 : proposal.last_index - 1] == list(proposal.commands)
    assert batches[-1].last_index == leader.state.log.last_index == proposals[-1].last_index


def test_proposals_are_answered_in_log_order_once_their_last_entry_is_committed() -> None:
    leader = make_leader()
    first, _ = propose(leader, b"a")
    second, _ = propose(leader, b"b")
    make_durable(leader, step(leader))
    assert of(Apply, receive(leader, "n2", AppendEntriesAccepted(2, 2))) == [Apply(2, (first,))]
    assert of(Apply, receive(leader, "n2", AppendEntriesAccepted(2, 3))) == [Apply(3, (second,))]


def test_a_proposal_that_is_committed_in_part_has_its_results_kept() -> None:
    leader = make_leader()
    first, _ = propose(leader, b"a")
    many, _ = propose(leader, b"b", b"c")
    make_durable(leader, step(leader))
    assert of(Apply, receive(leader, "n2", AppendEntriesAccepted(2, 3))) == [Apply(3, (first,), keep_from=3)]
    assert of(Apply, receive(leader, "n2", AppendEntriesAccepted(2, 4))) == [Apply(4, (many,))]


# --- reads ----------------------------------------------------------------------------------------------------


def test_a_read_waits_for_an_entry_that_was_appended_after_it_came() -> None:
    leader = make_leader()
    read, effects = query(leader)
    assert effects == []
    [batch] = appended(leader)
    assert (batch.kind, batch.commands()) == (EntryKind.NOOP, [b""])
    assert (read.index, read.last_index) == (2, 2)


def test_reads_share_the_last_entry_of_their_step_and_come_after_its_proposals() -> None:
    leader = make_leader()
    first_read, _ = query(leader)
    proposal, _ = propose(leader, b"a", b"b")
    second_read, _ = query(leader)
    effects = step(leader)
    assert [batch.commands() for write in written(effects) for batch in write.entries] == [[b"a", b"b"]]
    make_durable(leader, effects)
    [apply] = of(Apply, receive(leader, "n2", AppendEntriesAccepted(2, 3)))
    assert apply.outcomes == (proposal, first_read, second_read)


# --- flow control ---------------------------------------------------------------------------------------------


def test_takes_no_proposal_while_its_own_disk_is_too_far_behind() -> None:
    leader = make_leader(max_uncommitted_bytes=100, max_command_bytes=100)
    big, _ = propose(leader, b"x" * 100)
    effects = step(leader)
    refused_one, more = propose(leader, b"y")
    [(outcome, error)] = refused(more)
    assert outcome is refused_one
    assert isinstance(error, Overloaded)
    [(_, error)] = refused(query(leader)[1])  # it would need an entry of its own
    assert isinstance(error, Overloaded)
    make_durable(leader, effects)
    assert refused(propose(leader, b"z")[1]) == []
    assert refused(query(leader)[1]) == []
    assert not big.done


def test_what_may_be_proposed_in_one_term_alone_is_proposed_in_no_other_and_handed_on_to_nobody() -> None:
    """Neither once another term has begun, nor in the rest of its own, where the leader has only stepped down."""
    leader, proposal = make_leader(), PendingProposals[Any](make_admission(), [b"late"], 4)
    own = Requested([proposal], term=2)
    for role in (make_leader(term=3), make_follower((1,), term=2, leader="n2")):
        [(outcome, error)] = refused(role.handle(own, 0.0))
        assert outcome is proposal
        assert isinstance(error, LeadershipEnded)
        assert not role.state.outbox.waiting
    assert leader.handle(own, 0.0) == []
    assert [batch.commands() for batch in appended(leader)] == [[b"late"]]
