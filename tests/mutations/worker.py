"""Runs seeds in the package that PYTHONPATH names first, until one is broken. A program of its own, started by `trial`.

Writes a JSON object about the last seed that was run, and what came of it, to its standard output.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path

#: A seed takes a few seconds. One that takes so many, of this process alone, will never end.
_SEED_CPU_S = 90

_MEMORY_BYTES = 4 << 30


def main(package: str, first: int, count: int, seconds: float, profile: str | None) -> None:
    """Run up to `count` seeds from `first` on."""
    import raft_actors
    from raft_actors.testing.runner import Options, run_seed

    if Path(raft_actors.__file__).parent != Path(package):
        sys.exit(f"raft_actors was imported from {raft_actors.__file__}, not from {package}")
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    options = Options(seconds=seconds, profile=profile)
    for seed in range(first, first + count):

        def give_up(_number: int, _frame: object, seed: int = seed) -> None:
            tell(seed, "broken", "hang", f"seed {seed}: no end in sight after {_SEED_CPU_S} s of CPU")
            os._exit(0)

        signal.signal(signal.SIGPROF, give_up)
        signal.setitimer(signal.ITIMER_PROF, _SEED_CPU_S)
        report = run_seed(seed, options)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if report.verdict == "broken" or seed == first + count - 1:
            tell(seed, report.verdict, report.broken, report.text)
            return


def tell(seed: int, verdict: str, broken: str, text: str) -> None:
    """Write what came of the last seed."""
    json.dump({"seed": seed, "verdict": verdict, "broken": broken, "text": text}, sys.stdout)
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5] or None)
