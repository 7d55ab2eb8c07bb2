"""What `check_state_machine` finds, and what it lets pass."""

from __future__ import annotations

import locale
import shutil
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from raft_actors.errors import ConfigurationError
from raft_actors.testing import CheckFailed, check_state_machine
from tests.state_machines import broken_apply, broken_elsewhere, broken_rarely, broken_snapshots
from tests.state_machines.broken_apply import KnowsTheHost, RaisesHalfWay
from tests.state_machines.right import COMMANDS, RIGHT, AnswersAtoms, KeepsASet, Right
from tests.state_machines.unusual import GIVEN, UNUSUAL, LetsKeysExpire, LooksAround, Plain, Put

BROKEN = broken_apply.BROKEN | broken_snapshots.BROKEN
#: What only another process shows.
ELSEWHERE = "every process answers alike"


@pytest.mark.parametrize("machine", [machine for machine, broken in BROKEN.items() if broken != ELSEWHERE])
def test_a_mistake_is_found_by_its_name(machine: Any) -> None:
    with pytest.raises(CheckFailed) as caught:
        check_state_machine(machine, COMMANDS, processes=False)
    assert caught.value.broken == BROKEN[machine], str(caught.value)


@pytest.mark.parametrize("machine", [machine for machine, broken in BROKEN.items() if broken == ELSEWHERE])
def test_what_differs_between_processes_is_found(machine: Any) -> None:
    with pytest.raises(CheckFailed) as caught:
        check_state_machine(machine, COMMANDS)
    assert caught.value.broken == ELSEWHERE, str(caught.value)


@pytest.mark.parametrize("machine", broken_elsewhere.BROKEN)
def test_a_mistake_that_the_given_commands_alone_do_not_show_is_found(machine: Any) -> None:
    with pytest.raises(CheckFailed) as caught:
        check_state_machine(machine, GIVEN, processes=False)
    assert caught.value.broken == broken_elsewhere.BROKEN[machine], str(caught.value)


@pytest.mark.parametrize("machine", broken_elsewhere.BROKEN_IN_PROCESSES)
def test_what_apply_looks_at_besides_its_command_is_found(machine: Any) -> None:
    if machine is broken_elsewhere.WritesForTheUser and shutil.which("localedef") is None:
        pytest.skip("no localedef here to make a locale with")
    with pytest.raises(CheckFailed) as caught:
        check_state_machine(machine, GIVEN, extra_commands=0)
    locale.setlocale(locale.LC_NUMERIC, "C")
    assert caught.value.broken == broken_elsewhere.BROKEN_IN_PROCESSES[machine], str(caught.value)


@pytest.mark.parametrize(
    ("machine", "commands", "extra", "broken"),
    broken_rarely.BROKEN,
    ids=[row[0].__name__ for row in broken_rarely.BROKEN],
)
def test_a_mistake_that_shows_at_few_places_is_found(
    machine: Any, commands: list[Any], extra: int, broken: str
) -> None:
    with pytest.raises(CheckFailed) as caught:
        check_state_machine(machine, commands, processes=False, extra_commands=extra)
    assert caught.value.broken == broken, str(caught.value)


@pytest.mark.parametrize("machine", UNUSUAL)
def test_an_unusual_machine_passes(machine: Any) -> None:
    check_state_machine(machine, GIVEN, processes=machine is LooksAround)


def test_the_application_s_own_queries_are_answered_alike() -> None:
    check_state_machine(Plain, GIVEN, queries=[lambda machine: sorted(machine.data)], processes=False)
    with pytest.raises(CheckFailed, match=r"^query <built-in function id>"):
        check_state_machine(Plain, GIVEN, queries=[id], processes=False)


def test_commands_of_its_own_making_can_be_left_out() -> None:
    check_state_machine(broken_elsewhere.SplitsAtSpaces, GIVEN, processes=False, extra_commands=0)
    with pytest.raises(CheckFailed, match=r"\(the commands: the given commands, and again with ' \\n.* appended"):
        check_state_machine(broken_elsewhere.SplitsAtSpaces, GIVEN, processes=False)


def test_text_that_the_machine_refuses_is_not_tried() -> None:
    class TakesNoSpaces(broken_elsewhere.SplitsAtSpaces):
        def put(self, key: str, value: bytes) -> None:
            if " " in key:
                raise ValueError("a key is one word")
            super().put(key, value)

    check_state_machine(TakesNoSpaces, GIVEN, processes=False)


def test_log_time_goes_on_in_the_given_commands_too() -> None:
    check_state_machine(LetsKeysExpire, [Put("a", b"1")] * 3, processes=False, extra_commands=0)
    with pytest.raises(CheckFailed, match="as commands of sessions, with log time going on"):
        check_state_machine(broken_elsewhere.ForgetsDeadlines, GIVEN, processes=False, extra_commands=0)


@pytest.mark.parametrize("machine", RIGHT)
def test_a_right_machine_passes(machine: Any) -> None:
    check_state_machine(machine, COMMANDS, processes=machine in (Right, KeepsASet, AnswersAtoms))


def test_a_right_machine_passes_with_drawn_commands() -> None:
    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.sampled_from(COMMANDS), min_size=1, max_size=8))
    def check(commands: list[bytes]) -> None:
        check_state_machine(Right, commands, processes=False, extra_commands=0)

    check()


def test_drawn_commands_find_a_mistake_that_few_show() -> None:
    @settings(max_examples=100, deadline=None, database=None)
    @given(st.lists(st.sampled_from([b"set a 1", b"get a", b"bad x"]), min_size=1, max_size=8))
    def check(commands: list[bytes]) -> None:
        check_state_machine(RaisesHalfWay, commands, processes=False, extra_commands=0)

    with pytest.raises(CheckFailed, match=r"command 0 \(b'bad x'\), which raised ValueError"):
        check()


async def test_it_works_inside_of_trio() -> None:
    await trio.lowlevel.checkpoint()
    check_state_machine(Right, COMMANDS, processes=False)


def test_a_report_says_what_differs_where() -> None:
    with pytest.raises(CheckFailed, match=r"command 0 .*PYTHONHASHSEED=1, .*host name 'one.example'.* 'one.example'$"):
        check_state_machine(KnowsTheHost, COMMANDS)


def test_commands_that_raise_may_be_allowed_to_change_the_state() -> None:
    check_state_machine(RaisesHalfWay, COMMANDS, processes=False, raising_changes_state=True)


def test_no_commands_check_nothing() -> None:
    with pytest.raises(ConfigurationError, match="needs commands"):
        check_state_machine(Right, [])


@pytest.mark.parametrize("make", [Right(), lambda: 7, None], ids=["an instance", "a number", "nothing"])
def test_make_must_make_machines(make: Any) -> None:
    with pytest.raises(ConfigurationError, match="make must give a new StateMachine"):
        check_state_machine(make, COMMANDS)


def test_one_machine_for_all_is_told() -> None:
    machine = Right()
    with pytest.raises(CheckFailed, match="the same machine twice"):
        check_state_machine(lambda: machine, COMMANDS, processes=False)


def test_what_no_other_process_can_import_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match="pass processes=False"):
        check_state_machine(lambda: Right(), COMMANDS)  # noqa: PLW0108 - a lambda is the point


def test_a_command_that_can_not_be_encoded_is_refused() -> None:
    with pytest.raises(TypeError, match="must be bytes"):
        check_state_machine(Right, ["set a 1"])
