"""Which node a client asks: decisions alone, without a network or a clock."""

from __future__ import annotations

import math

import pytest

from raft_actors.client.board import ATTEMPT_S, GRACE_S, RESEND_S
from raft_actors.client.call import Call, Need
from raft_actors.client.errors import OutcomeUnknown, Unavailable
from raft_actors.client.refusals import overload_of
from raft_actors.errors import CommandTooLarge, InternalError, NodeStopped, Overloaded, RaftError
from raft_actors.node.client_messages import Ask, Tell, pack, refusal_of, unpack
from raft_actors.node.client_refusals import encode_refusal
from raft_actors.overload import OverloadCause
from tests.unit.client_world import MEMBERS, World

STOPPED = [(NodeStopped("n1"), False), (NodeStopped("n1", under_way=True), True), (NodeStopped("n1", 5), True)]


@pytest.fixture
def world() -> World:
    return World()


def error_of(call: Call) -> BaseException:
    with pytest.raises(RaftError) as raised:
        call.result_nowait()
    return raised.value


def test_a_proposal_goes_to_the_leader_and_reads_to_who_has_the_fewest(world: World) -> None:
    lines = [world.up(node) for node in MEMBERS]
    assert [world.ask().line for _ in range(2)] == [lines[0]] * 2
    reads = [world.ask(Need.QUORUM).line for _ in range(4)]
    assert [reads.count(line) for line in lines] == [0, 2, 2]


def test_proposals_go_by_way_of_others_where_the_leader_has_no_room_or_cannot_be_reached(world: World) -> None:
    other = world.up("n2")
    assert world.ask().line is other
    leader = world.up("n1")
    assert [world.ask().line for _ in range(4)] == [leader, leader, leader, other]


def test_nothing_is_sent_while_nobody_leads_and_all_when_somebody_does(world: World) -> None:
    line = world.up("n2", None)
    calls = [world.ask(), world.ask(Need.QUORUM)]
    assert [call.line for call in calls] == [None, None]
    assert world.ask(Need.NODE).line is line
    world.says(line, "n2", "n3", 2)
    assert [call.line for call in calls] == [line, line]


def test_who_knows_less_is_asked_no_more_and_loses_what_it_has_after_a_moment(world: World) -> None:
    old, new = world.up("n1"), world.up("n2")
    call = world.ask()
    assert call.line is old
    world.says(new, "n2", "n2", 2)
    assert world.ask().line is new
    world.wait(GRACE_S / 2)
    assert call.line is old
    world.wait(GRACE_S)
    assert call.line is new
    assert call.in_doubt
    assert [unpack(payload)[0] for payload in old.outgoing] == [Ask.PROPOSE, Ask.CANCEL]


def test_who_catches_up_in_time_keeps_what_it_has(world: World) -> None:
    old, new = world.up("n1"), world.up("n2")
    call = world.ask()
    world.says(new, "n2", "n2", 2)
    world.says(old, "n1", "n2", 2)
    world.wait(GRACE_S)
    assert call.line is old
    assert not call.in_doubt


def test_what_was_sent_in_an_earlier_term_is_sent_once_more_also_to_who_has_it(world: World) -> None:
    """A node hands a proposal on to the leader that it knows. Then that one is gone, and the node leads itself."""
    node = world.up("n2")
    call, local = world.ask(), world.ask(Need.NODE)
    world.says(node, "n2", None, 1)
    world.says(node, "n2", "n2", 2)
    world.wait(RESEND_S)
    assert call.line is node
    assert call.in_doubt
    assert [unpack(payload)[0] for payload in node.outgoing] == [Ask.PROPOSE, Ask.READ, Ask.CANCEL, Ask.PROPOSE]
    assert local.line is node
    world.wait(RESEND_S)
    assert len(node.outgoing) == 4


def test_one_that_leads_is_believed_before_one_of_a_higher_term_that_knows_no_leader(world: World) -> None:
    world.up("n2", None, 9)
    leader = world.up("n1", "n1", 5)
    assert world.ask().line is leader


def test_what_was_under_way_where_the_connection_broke_goes_elsewhere_first_of_all(world: World) -> None:
    one = world.up("n1")
    calls = [world.ask() for _ in range(5)]
    assert [call.line for call in calls] == [one] * 3 + [None] * 2
    world.board.lost(one, "it broke")
    other = world.up("n2", "n2", 2)
    assert [call.line for call in calls] == [other] * 3 + [None] * 2
    assert [call.in_doubt for call in calls] == [True] * 3 + [False] * 2


def test_answers_go_to_who_asked_once(world: World) -> None:
    line = world.up("n1")
    call, later = world.ask(), world.ask()
    world.board.heard(line, pack(Tell.RESULTS, call.number, b"done"))
    assert call.result_nowait() == b"done"
    later.give_up("enough")
    world.board.heard(line, pack(Tell.RESULTS, later.number, b"late"))
    world.board.heard(line, pack(Tell.RESULTS, 77, b"whose?"))
    assert isinstance(error_of(later), OutcomeUnknown)
    assert not world.board.open
    assert not line.calls


def test_an_answer_makes_room_for_who_waits(world: World) -> None:
    line = world.up("n1")
    calls = [world.ask() for _ in range(4)]
    assert calls[3].line is None
    world.board.heard(line, pack(Tell.RESULTS, calls[1].number, b""))
    assert calls[3].line is line


def test_a_refusal_makes_room_for_who_waits_and_so_does_who_gives_up(world: World) -> None:
    line = world.up("n1")
    calls = [world.ask() for _ in range(6)]
    world.refuse(calls[0], "NotPermitted")
    assert calls[3].line is line
    world.refuse(calls[1], "Overloaded")
    assert calls[4].line is line
    world.alarm = math.inf
    calls[2].fail(InternalError("nobody waits for this any more"))
    assert world.alarm == world.now
    world.wait(0.0)
    assert calls[5].line is line


@pytest.mark.parametrize(
    ("kind", "more", "in_doubt"),
    [
        ("NotLeader", {}, False),
        ("NotCommitted", {}, False),
        ("Overloaded", {}, False),
        ("NodeStopped", {"index": None, "under_way": False}, False),
        ("NodeStopped", {"index": 0, "under_way": True}, True),
        ("NodeStopped", {"index": 5, "under_way": True}, True),
        ("NodeStopped", {"index": None}, True),  # an older node, which may have handed it on
        ("LeadershipLost", {}, True),
    ],
)
def test_what_may_be_asked_again_is_after_a_pause(
    world: World, kind: str, more: dict[str, int | None], in_doubt: bool
) -> None:
    line = world.up("n1")
    call = world.ask()
    world.refuse(call, kind, **more)
    assert world.place(call) is None
    assert world.now < world.alarm <= world.now + 0.01
    world.wait(0.01)
    assert world.place(call) is line
    assert call.in_doubt is in_doubt


def test_of_several_entries_some_may_take_effect_though_not_all_are_committed(world: World) -> None:
    line = world.up("n1")
    one, several = world.ask(deadline=5.0), world.ask(deadline=5.0, several=True)
    for call in (one, several):
        world.refuse(call, "NotCommitted")
    world.board.lost(line, "it broke")
    world.wait(5.0)
    assert [type(error_of(call)) for call in (one, several)] == [Unavailable, OutcomeUnknown]


@pytest.mark.parametrize(("stopped", "in_doubt"), STOPPED)
def test_what_a_node_that_ends_had_handed_on_is_in_doubt(world: World, stopped: NodeStopped, in_doubt: bool) -> None:
    world.up("n1")
    call = world.ask()
    refusal = refusal_of(encode_refusal(stopped))
    assert (refusal["index"] is not None) is in_doubt  # by which older clients go
    world.refuse(call, **{name: said for name, said in refusal.items() if name != "text"})
    assert call.in_doubt is in_doubt


def test_pauses_become_longer_and_end_when_another_leads(world: World) -> None:
    world.up("n1")
    call = world.ask()
    pauses: list[float] = []
    for _ in range(12):
        world.alarm = math.inf
        world.refuse(call, "Overloaded")
        pauses.append(world.alarm - world.now)
        world.wait(pauses[-1])
    assert pauses[0] < pauses[3] < pauses[11] <= 0.5
    world.refuse(call, "NotLeader")
    other = world.up("n2", "n2", 2)
    assert call.line is other


def test_who_has_too_much_to_do_is_not_asked_before_it_said_and_another_leader_is_at_once(world: World) -> None:
    line = world.up("n1")
    call, told = world.ask(), world.ask()
    for one in (call, told):
        world.refuse(one, "Overloaded", cause="delay", retry_after_s=2.0)
    world.wait(1.9)
    assert (world.place(call), world.place(told)) == (None, None)
    other = world.up("n2", "n2", 2)
    assert (world.place(call), world.place(told)) == (other, other)
    world.refuse(call, "Overloaded", cause="of tomorrow", retry_after_s=3600.0)
    world.wait(10.0)  # nobody stays away for longer
    assert world.place(call) in (line, other)


def test_what_a_node_is_refused_for_comes_to_its_client_whole() -> None:
    refused = Overloaded("more would only wait", OverloadCause.DELAY, 0.25)
    told = overload_of(refusal_of(encode_refusal(refused)))
    assert told is not None
    assert (str(told), told.cause, told.retry_after_s) == ("more would only wait", OverloadCause.DELAY, 0.25)


@pytest.mark.parametrize("told", [None, "1", -1.0, float("nan"), True])
def test_what_is_no_time_to_come_back_after_is_left_out_of_account(world: World, told: float | str | None) -> None:
    line = world.up("n1")
    call = world.ask()
    world.refuse(call, "Overloaded", retry_after_s=told)
    world.wait(0.01)
    assert world.place(call) is line


def test_one_that_is_given_up_says_that_there_was_too_much_to_do(world: World) -> None:
    world.up("n1")
    call = world.ask(deadline=1.0)
    world.refuse(call, "Overloaded", cause="disk", retry_after_s=4.0)
    world.wait(1.0)
    error = error_of(call)
    assert isinstance(error, Unavailable)
    overload = error.__cause__
    assert isinstance(overload, Overloaded)
    assert (overload.cause, overload.retry_after_s) == (OverloadCause.DISK, 4.0)


@pytest.mark.parametrize(("in_doubt", "error"), [(False, Unavailable), (True, OutcomeUnknown)])
def test_one_without_an_answer_in_time_says_what_is_known(world: World, in_doubt: bool, error: type[RaftError]) -> None:
    line = world.up("n1")
    call = world.ask(deadline=5.0)
    world.refuse(call, "LeadershipLost" if in_doubt else "NotLeader")
    world.board.lost(line, "it broke")
    world.wait(4.9)
    assert not call.done
    assert world.alarm == 5.0
    world.wait(0.1)
    assert type(error_of(call)) is error
    assert "so it says" in str(error_of(call))


def test_one_that_is_under_way_when_time_is_over_is_in_doubt_unless_it_reads(world: World) -> None:
    world.up("n1")
    call, read = world.ask(deadline=1.0), world.ask(Need.QUORUM, deadline=1.0)
    world.wait(1.0)
    assert type(error_of(call)) is OutcomeUnknown
    assert type(error_of(read)) is Unavailable


def test_a_refusal_that_is_final_is_told_but_never_for_what_another_node_may_have_done(world: World) -> None:
    world.up("n1")
    call = world.ask()
    world.refuse(call, "CommandTooLarge", size=9, limit=8)
    assert type(error_of(call)) is CommandTooLarge
    doubtful = world.ask()
    world.refuse(doubtful, "LeadershipLost")
    world.wait(0.1)
    world.refuse(doubtful, "CommandTooLarge", size=9, limit=8)
    assert type(error_of(doubtful)) is OutcomeUnknown
    new = world.ask()
    world.refuse(new, "SomethingNew")
    assert type(error_of(new)) is OutcomeUnknown


def test_what_no_node_would_take_is_not_sent(world: World) -> None:
    line = world.up("n1")
    assert type(error_of(world.ask(body=b"x" * 1000))) is CommandTooLarge
    assert not line.outgoing


def test_what_no_node_would_take_any_more_may_be_done_where_one_took_it(world: World) -> None:
    line = world.up("n1")
    call, read = world.ask(body=b"x" * 900), world.ask(Need.QUORUM, b"x" * 900)
    world.board.lost(line, "it broke")
    world.says(line, "n1", "n1", 1, most_bytes=500)
    assert type(error_of(call)) is OutcomeUnknown
    assert type(error_of(read)) is CommandTooLarge


def test_a_read_that_gets_no_answer_is_asked_elsewhere_and_a_proposal_at_the_leader_is_not(world: World) -> None:
    lines = [world.up(node) for node in ("n1", "n2")]
    proposal, reads = world.ask(), [world.ask(Need.QUORUM) for _ in range(3)]
    before = [read.line for read in reads]
    assert set(before) == set(lines)
    world.wait(ATTEMPT_S + 0.01)
    assert proposal.line is lines[0]
    assert all(read.line is not line for read, line in zip(reads, before, strict=True))


def test_an_only_node_keeps_what_it_does_not_answer(world: World) -> None:
    line = world.up("n1")
    read = world.ask(Need.QUORUM)
    world.wait(ATTEMPT_S + 0.01)
    assert read.line is line


def test_lines_lead_to_the_members_and_to_the_beginning_while_none_can_be_reached(world: World) -> None:
    board, seeds = world.board, ["seed:1", "gone:1"]
    assert board.wanted(seeds) == {"seed:1": None, "gone:1": None}
    line = world.up("n1", address="seed:1")
    assert board.wanted(seeds) == {"seed:1": "n1", "n2:1": "n2", "n3:1": "n3"}
    board.lost(line, "it broke")
    assert board.wanted(seeds) == {**{f"n{i}:1": f"n{i}" for i in (1, 2, 3)}, "seed:1": "n1", "gone:1": None}
    world.says(world.up("n2"), "n2", "n2", 3, {"n2": "n2:1", "n4": "n4:1"}, 2)
    assert board.wanted(seeds) == {"n2:1": "n2", "n4:1": "n4"}
    world.says(world.up("n3"), "n3", None, 1, MEMBERS, 1)  # it knows an older configuration
    assert board.wanted(seeds) == {"n2:1": "n2", "n4:1": "n4"}


def test_who_knows_no_leader_does_not_keep_a_client_from_the_beginning(world: World) -> None:
    """It was removed while it was cut off, and all whom it knows are gone."""
    board, seeds = world.board, ["n1:1", "n4:1"]
    removed = world.up("n1", None)
    assert board.wanted(seeds) == {**{f"n{i}:1": f"n{i}" for i in (1, 2, 3)}, "n4:1": None}
    world.says(world.line("n4"), "n4", "n4", 7, {"n4": "n4:1"}, 9)
    assert board.wanted(seeds) == {"n4:1": "n4"}
    assert removed.notice is not None


def test_of_two_connections_with_one_member_the_first_stays(world: World) -> None:
    """The beginning may name it otherwise than the members do: while nobody leads, it is dialled there, too."""
    board, seeds = world.board, ["alias:1"]
    world.up("n1", None)
    assert board.wanted(seeds)["alias:1"] is None
    world.up("n1", address="alias:1")
    assert board.wanted(seeds) == {f"n{i}:1": f"n{i}" for i in (1, 2, 3)}
