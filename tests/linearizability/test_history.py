"""The recorder of clients' calls."""

from __future__ import annotations

import math

import pytest
import trio

from raft_actors import (
    CommandFailed,
    CommandTooLarge,
    ConfigurationError,
    LeadershipLost,
    NodeStopped,
    NotCommitted,
    NotLeader,
    Overloaded,
    ResultLost,
)
from raft_actors.testing import UNKNOWN, History, Outcome, RegisterModel, Verdict, check_history, outcome_of
from raft_actors.testing.models import Read, Write


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def history() -> History:
    return History(clock=Clock())


def test_a_call_and_its_answer() -> None:
    clock = Clock()
    history = History(clock=clock)
    with history.calling("a", Write(1)) as call:
        clock.now = 2.5
        call.returned("done")
    [operation] = history.operations()
    assert (operation.client, operation.request, operation.response) == ("a", Write(1), "done")
    assert (operation.start_s, operation.end_s) == (0.0, 2.5)
    assert len(history) == 1


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (NotLeader(None), Outcome.NOT_PROPOSED),
        (Overloaded("full"), Outcome.NOT_PROPOSED),
        (CommandTooLarge(2, 1), Outcome.NOT_PROPOSED),
        (TypeError("no command"), Outcome.NOT_PROPOSED),
        (LeadershipLost(1, 2), Outcome.OPEN),
        (NotCommitted(1, 2), Outcome.NOT_PROPOSED),
        (NotCommitted(1, 2, ("a result",)), Outcome.OPEN),
        (ResultLost(2), Outcome.OPEN),
        (NodeStopped("n1", 3), Outcome.OPEN),
        (NodeStopped("n1"), Outcome.OPEN),
        (KeyboardInterrupt(), Outcome.OPEN),
        (CommandFailed(3), Outcome.ANSWERED),
    ],
    ids=repr,
)
def test_what_errors_say(history: History, error: BaseException, outcome: Outcome) -> None:
    assert outcome_of(error) is outcome
    with pytest.raises(type(error)), history.calling("a", Write(1)) as call:
        raise error
    assert call.outcome is outcome
    operations = history.operations()
    match outcome:
        case Outcome.NOT_PROPOSED:
            assert operations == []
        case Outcome.OPEN:
            assert operations[0].response is UNKNOWN
            assert operations[0].end_s == math.inf
        case Outcome.ANSWERED:
            assert operations[0].response is error


def test_a_call_without_an_answer_stays_open(history: History) -> None:
    with history.calling("a", Write(1)) as call:
        pass
    assert call.outcome is Outcome.OPEN
    call.returned(None)  # it may still come
    assert history.operations()[0].response is None


def test_a_read_without_an_answer_is_dropped(history: History) -> None:
    with history.calling("a", Read(), read=True):
        pass
    with pytest.raises(NodeStopped), history.calling("a", Read(), read=True):
        raise NodeStopped("n1")
    with history.calling("a", Read(), read=True) as call:
        call.returned(7)
    assert [one.response for one in history.operations()] == [7]


def test_a_call_is_answered_once(history: History) -> None:
    call = history.begin("a", Write(1))
    call.returned(None)
    with pytest.raises(ConfigurationError, match="call 1 of 'a' is over"):
        call.returned(None)
    with pytest.raises(ConfigurationError, match="call 1 of 'a' is over"):
        call.not_proposed()
    with pytest.raises(ConfigurationError, match="call 1 of 'a' is over"):
        call.raised(NotLeader(None))


def test_an_error_after_the_answer_changes_nothing(history: History) -> None:
    def answered_then_failed() -> None:
        with history.calling("a", Write(1)) as call:
            call.returned("ok")
            raise NotLeader(None)

    with pytest.raises(NotLeader):
        answered_then_failed()
    assert history.operations()[0].response == "ok"


def test_calls_of_one_moment_keep_their_order(history: History) -> None:
    """A simulated clock stands still while much happens: the recorder knows better what came first."""
    for value in (1, 2):
        with history.calling("a", Write(value)) as call:
            call.returned(None)
    with history.calling("b", Read(), read=True) as call:
        call.returned(1)
    assert check_history(RegisterModel(), history.operations()).verdict is Verdict.ILLEGAL


async def test_a_cancelled_call_stays_open() -> None:
    history = History()
    with trio.move_on_after(0), history.calling("a", Write(1)):
        await trio.sleep_forever()
    assert history.operations()[0].response is UNKNOWN
