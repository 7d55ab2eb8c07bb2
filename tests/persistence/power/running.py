"""Goes through the points of a workload in several processes, or through some of them in this one."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

import attrs
import trio

from tests.persistence.power.crashes import count_points, crash_at, points
from tests.persistence.power.damage import damage_at
from tests.persistence.power.disk import POINTS, Kind
from tests.persistence.power.failures import fail_at, failing_points
from tests.persistence.power.playing import Recording, record
from tests.persistence.power.settings import small_and_inline
from tests.persistence.power.tally import Tally
from tests.persistence.power.workload import make_workload

#: What can be done at the points of a workload.
KINDS = ("crash", "fail", "damage")
_PART = 50


@attrs.frozen
class Plan:
    """Which workload, and what to do at which of its points.

    Attributes:
        seed: of the workload, and of every choice.
        calls: how many it makes.
        kind: one of `KINDS`.
        numbers: the points, counted from 0; None: all.
        in_turn: fail in one way at each point, another at the next, instead of in all.
        until_violated: stop after the first violation.
    """

    seed: int
    calls: int
    kind: str
    numbers: tuple[int, ...] | None = None
    in_turn: bool = False
    until_violated: bool = False

    def sample(self, count: int, recording: Recording | None = None) -> Plan:
        """The same at `count` of the points, chosen by the seed; half of them before a sync, where most is lost."""
        recording, rng = recording or _find_recording(self), random.Random(self.seed)
        kinds = [event.kind for event in recording.journal if event.kind in POINTS]
        syncs = [number for number, kind in enumerate(kinds) if kind is Kind.SYNC]
        numbers = set(rng.sample(syncs, min(count // 2, len(syncs))))
        rest = [number for number in range(count_all(self, recording)) if number not in numbers]
        numbers.update(rng.sample(rest, min(count - len(numbers), len(rest))))
        return attrs.evolve(self, numbers=tuple(sorted(numbers)))


_recorded: dict[tuple[int, int], Recording] = {}


def _find_recording(plan: Plan) -> Recording:
    """Recorded once in each process."""
    key = plan.seed, plan.calls
    if key not in _recorded:
        _recorded[key] = record_again(plan)
    return _recorded[key]


def record_again(plan: Plan) -> Recording:
    """Carry out the plan's workload without any failure."""
    with small_and_inline():
        return trio.run(record, make_workload(plan.seed, plan.calls))


def count_all(plan: Plan, recording: Recording | None = None) -> int:
    """How many points the workload has."""
    recording = recording or _find_recording(plan)
    return len(failing_points(recording)) if plan.kind == "fail" else count_points(recording.journal)


def run_here(plan: Plan, recording: Recording | None = None) -> Tally:
    """Do what is planned, in this process."""
    with small_and_inline():
        return trio.run(_run, plan, recording or _find_recording(plan))


async def _run(plan: Plan, recording: Recording) -> Tally:
    tally = Tally()
    numbers = range(count_all(plan, recording)) if plan.numbers is None else plan.numbers
    if plan.kind == "fail":
        found = failing_points(recording)
        for number in numbers:
            await fail_at(recording, found[number], plan.seed, tally, in_turn=plan.in_turn)
            if plan.until_violated and tally.violations:
                break
        return tally
    act = crash_at if plan.kind == "crash" else damage_at
    for point in points(recording.journal, numbers):
        await act(recording, point, plan.seed, tally)
        if plan.until_violated and tally.violations:
            break
    return tally


def run_parallel(plans: list[Plan], jobs: int) -> Iterator[tuple[Tally, int, int]]:
    """Do what is planned, `jobs` at a time; yields what each part found, and how many parts of how many are done."""
    parts = [part for plan in plans for part in _parts(plan)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        for done, future in enumerate(as_completed([pool.submit(run_here, part) for part in parts]), start=1):
            yield future.result(), done, len(parts)


def _parts(plan: Plan) -> list[Plan]:
    numbers = tuple(range(count_all(plan))) if plan.numbers is None else plan.numbers
    return [attrs.evolve(plan, numbers=numbers[start : start + _PART]) for start in range(0, len(numbers), _PART)]
