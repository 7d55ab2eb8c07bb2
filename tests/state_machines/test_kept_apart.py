"""How many of the machines that are kept apart `check_state_machine` finds: the figures of docs/simulation.md."""

from __future__ import annotations

from tests.state_machines.kept_apart import BROKEN, RIGHT, finding
from tests.state_machines.kept_apart.bank import LimitFromEnvironment, RatesFromFile
from tests.state_machines.kept_apart.jobs import LocalTime, TiesBySet
from tests.state_machines.kept_apart.key_value import HashesToShards
from tests.state_machines.kept_apart.orders import ORDERS, AsciiOnly, Cancel, Place, PlacedBy

#: What only a process elsewhere shows; each takes over a second there, so two stand for all here.
ELSEWHERE = {PlacedBy, LimitFromEnvironment, RatesFromFile, HashesToShards, LocalTime, TiesBySet}


def test_54_of_55_mistakes_are_found_and_14_right_machines_pass() -> None:
    assert (len(BROKEN), len(RIGHT)) == (55, 14)
    missed = {machine for machine, commands in BROKEN.items() if not finding(machine, commands, processes=False)}
    assert missed == ELSEWHERE | {AsciiOnly}
    assert finding(PlacedBy, BROKEN[PlacedBy]) == "every process answers alike"
    assert finding(RatesFromFile, BROKEN[RatesFromFile]) == "no file matters"
    alarms = {machine: finding(machine, commands, processes=False) for machine, commands in RIGHT.items()}
    assert [machine for machine, alarm in alarms.items() if alarm] == []


def test_the_55th_is_found_with_a_command_that_has_such_text_and_is_read_back() -> None:
    commands = [*ORDERS, Place("Zoë", "tea", 1), Cancel(5)]
    assert finding(AsciiOnly, commands, processes=False) == "restore brings back the whole state, and that alone"
