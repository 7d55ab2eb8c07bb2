"""Measure what the simulator detects: `python -m tests.mutations`, or `make mutations`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import trio

from tests.mutations.catalogue import EVERY, MUTATIONS
from tests.mutations.mutation import Mutation
from tests.mutations.report import outcomes_in, table
from tests.mutations.trial import Outcome, run_trial, source_of

_DOCUMENT = Path(__file__).parents[2] / "docs" / "mutations.md"


def main() -> int:
    """Return 1 if a mutation survives, or if the unchanged package fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="MUTATION", help="only these (nothing is written to docs)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time (one a core)")
    parser.add_argument("--seeds", type=int, default=100, help="most seeds for each (%(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="simulated time of each seed (%(default)s)")
    parser.add_argument("--baseline", type=int, default=100, help="seeds for the unchanged package (%(default)s)")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="add outcomes here, and run none that is there")
    parser.add_argument("--texts", action="store_true", help="show what the last seed's report says")
    parser.add_argument("--rewrite", action="store_true", help="write the document from its rows, and those named here")
    options = parser.parse_args()
    if options.rewrite and not options.names:
        _write(_documented(), options)
        return 0
    unknown = [name for name in options.names if name not in EVERY]
    if unknown:
        parser.error(f"there is no mutation {', '.join(unknown)}")
    chosen = [EVERY[name] for name in options.names] or list(MUTATIONS.values())
    for mutation in chosen:
        mutation.apply(source_of)  # before anything is run: all of them must fit the source
    outcomes = trio.run(_run, chosen, options)
    if options.rewrite or not options.names:
        every = {**_documented(), **outcomes} if options.names else outcomes
        _write({name: every[name] for name in MUTATIONS if name in every}, options)
    survivors = [name for name in outcomes if not outcomes[name].caught_by]
    if survivors:
        print(f"{len(survivors)} survived: {', '.join(survivors)}", file=sys.stderr)
    return 1 if survivors else 0


def _documented() -> dict[str, Outcome]:
    return outcomes_in(_DOCUMENT.read_text(encoding="utf-8"))


def _write(outcomes: dict[str, Outcome], options: argparse.Namespace) -> None:
    document = table(outcomes, seeds=options.seeds, seconds=options.seconds, baseline=options.baseline)
    _DOCUMENT.write_text(document, encoding="utf-8")


async def _run(chosen: list[Mutation], options: argparse.Namespace) -> dict[str, Outcome]:
    """Try the mutations, and the unchanged package; tell of each as it ends."""
    outcomes = _kept(options.keep)
    limit = trio.CapacityLimiter(options.jobs)
    done = 0

    async def try_one(mutation: Mutation | None) -> None:
        nonlocal done
        async with limit:
            seeds = options.seeds if mutation is not None else options.baseline
            outcome = await run_trial(mutation, seeds=seeds, seconds=options.seconds)
        done += 1
        print(f"[{done}/{total}] {_told(outcome)}", flush=True)
        if options.texts:
            print(f"    {outcome.text}", flush=True)
        if mutation is not None:
            outcomes[mutation.name] = outcome
            _keep(options.keep, outcome)
        elif outcome.caught_by:
            sys.exit(f"the unchanged package fails: {outcome.text}")

    trials: list[Mutation | None] = [mutation for mutation in chosen if mutation.name not in outcomes]
    if options.baseline and not options.rewrite:  # the document's baseline is that of its last whole run
        trials.append(None)
    total = len(trials)
    async with trio.open_nursery() as nursery:
        for mutation in trials:
            nursery.start_soon(try_one, mutation)
            await trio.lowlevel.checkpoint()  # the places are taken in this order
    return {mutation.name: outcomes[mutation.name] for mutation in chosen}


def _kept(file: Path | None) -> dict[str, Outcome]:
    """The outcomes of an earlier, interrupted run."""
    if file is None or not file.exists():
        return {}
    kept = [json.loads(line) for line in file.read_text().splitlines()]
    return {
        fields["name"]: Outcome(
            mutation=EVERY[fields["name"]],
            caught_by=fields["caught_by"],
            seeds=fields["seeds"],
            text=fields["text"],
        )
        for fields in kept
        if fields["name"] in EVERY
    }


def _keep(file: Path | None, outcome: Outcome) -> None:
    if file is None or outcome.mutation is None:
        return
    fields = {"name": outcome.mutation.name, "caught_by": outcome.caught_by, "seeds": outcome.seeds}
    with file.open("a") as lines:
        lines.write(json.dumps({**fields, "text": outcome.text}) + "\n")


def _told(outcome: Outcome) -> str:
    name = outcome.mutation.name if outcome.mutation is not None else "(nothing changed)"
    number = f"{outcome.seeds} seed" + "s" * (outcome.seeds != 1)
    if outcome.mutation is None:
        return f"{name}: {outcome.caught_by or 'fine'} after {number}"
    if not outcome.caught_by:
        return f"{name}: SURVIVED {number}"
    return f"{name}: caught by {outcome.caught_by} after {number}"


if __name__ == "__main__":
    sys.exit(main())
