"""Crash, fail or damage at every write and sync of a workload of `SqliteStorage`."""

from __future__ import annotations

import argparse
import os
import sys
import time

import attrs

from tests.persistence.power.running import KINDS, Plan, run_here, run_parallel
from tests.persistence.power.tally import Tally


def main() -> int:
    arguments = _parse()
    kinds = [arguments.kind] if arguments.kind else list(KINDS)
    plans = [Plan(arguments.seed, arguments.calls, kind, in_turn=arguments.in_turn) for kind in kinds]
    if arguments.sample is not None:
        plans = [plan.sample(arguments.sample) for plan in plans]
    started = time.monotonic()
    if arguments.point is not None:
        tally = Tally()
        for plan in plans:
            tally.add(run_here(attrs.evolve(plan, numbers=(arguments.point,))))
    else:
        tally = _run_all(plans, arguments.jobs)
    for violation in tally.violations:
        print(violation)
    if tally.violations:
        print("to try one point again: the same command with --kind and --point")
    print(
        f"{arguments.calls} calls, seed {arguments.seed}, {' + '.join(kinds)}: {tally.points} points, "
        f"{tally.reopenings} reopenings, {tally.refusals} refusals of damaged stores, "
        f"{len(tally.violations)} violations, {time.monotonic() - started:.0f} s"
    )
    return 1 if tally.violations else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.persistence.power", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the workload and of what survives (1)")
    parser.add_argument("--calls", type=int, default=1000, help="how many calls the workload makes (1000)")
    parser.add_argument(
        "--kind", choices=KINDS, help="crash at each point, have it fail, or damage the files there (all)"
    )
    parser.add_argument("--in-turn", action="store_true", help="fail in one way at each point, another at the next")
    parser.add_argument("--sample", type=int, help="try so many points of each kind instead of all")
    parser.add_argument("--point", type=int, help="try this one alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one for each core)")
    return parser.parse_args()


def _run_all(plans: list[Plan], jobs: int) -> Tally:
    tally, shown = Tally(), sys.stderr.isatty()
    for found, done, total in run_parallel(plans, jobs):
        tally.add(found)
        if shown or done % 20 == 0 or done == total:
            line = f"{100 * done // total:3d} %, {tally.reopenings} reopenings, {len(tally.violations)} violations"
            print(line, end="\r" if shown and done != total else "\n", file=sys.stderr, flush=True)
    return tally


if __name__ == "__main__":
    sys.exit(main())
