"""The table of broken links: `python -m tests.links [--hold SECONDS] [--output FILE]`, about four minutes."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import trio

from tests.links.scenarios import SCENARIOS
from tests.links.table import WAYS, document
from tests.links.trial import Outcome, open_trials

DOCUMENT = Path(__file__).parents[2] / "docs" / "links.md"
SIZES = (3, 5)


def main() -> int:
    """Run all, write the table; 1 where something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.links", description="Make the table of broken links.")
    parser.add_argument("--hold", type=float, default=1.5, help="seconds for which links are broken (default 1.5)")
    parser.add_argument("--output", type=Path, default=DOCUMENT, help="where the table goes (default docs/)")
    arguments = parser.parse_args()
    outcomes = trio.run(_run_all, arguments.hold)
    arguments.output.write_text(document(outcomes, arguments.hold), encoding="utf-8")
    wrong = [outcome for outcome in outcomes if outcome.wrong]
    print(f"{len(outcomes)} runs, {len(wrong)} wrong; the table is in {arguments.output}")
    return 1 if wrong else 0


async def _run_all(hold_s: float) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            async with open_trials(Path(folder), size) as trials:
                for scenario in SCENARIOS:
                    for way in WAYS if size in scenario.sizes else ():
                        outcomes.append(await trials.run(scenario, way, hold_s))
                        _tell(outcomes[-1])
    return outcomes


def _tell(outcome: Outcome) -> None:
    what = f"{outcome.size} nodes, {outcome.scenario.name}, {outcome.way}"
    print(f"{what}: {outcome.gap_s:.3f} s, {outcome.terms} terms, {outcome.errors} errors", flush=True)


if __name__ == "__main__":
    sys.exit(main())
