"""Feed every parser of bytes from elsewhere with bytes nearly in order.

For as long as asked, with another seed each time (`make fuzz`); or with --soak on and on, over several sittings, until
each target has had its inputs (`make fuzz-soak`), and what was done is kept in the repository (see `soak.py`).
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from pathlib import Path

from tests.fuzz.fuzzing import Finding, corpus, fuzz
from tests.fuzz.soak import Soak
from tests.fuzz.targets import TARGETS

_ROUND = 20_000
_SOAK_INPUTS = 10_000_000
_KEPT = Path("build/fuzz-kept.json")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    names = ",".join(TARGETS)
    parser.add_argument("--targets", default=names, help=f"which, with commas (default: {names})")
    parser.add_argument("--seconds", type=float, help="for each target (default 20); with --soak in all (no end)")
    parser.add_argument(
        "--inputs",
        type=int,
        help="for each target, instead of a time; with --soak (10,000,000 of the package as it is)",
    )
    parser.add_argument("--seed", type=int, help="where to begin (default: from the operating system)")
    parser.add_argument("--soak", type=Path, metavar="FILE", help="go on with what this file says, or begin it")
    parser.add_argument(
        "--kept", type=Path, default=_KEPT, help="with --soak: inputs to go on from (default: %(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes, with --soak")
    options = parser.parse_args()
    chosen = options.targets.split(",")
    for name in chosen:
        if name not in TARGETS:
            parser.error(f"{name!r} is no target")
    if options.soak is not None:
        return _soak(options, chosen)
    seed = int.from_bytes(os.urandom(4), "big") if options.seed is None else options.seed
    print(f"seed {seed}")
    gc.freeze()  # as `soak` does
    failed = [name for name in chosen if not _fuzz(name, seed, options.inputs, options.seconds or 20.0)]
    return int(bool(failed))


def _tell(name: str, findings: list[Finding]) -> None:
    for finding in findings:
        print(f"{name}: {finding.data.hex()}\n{finding.what}")


def _fuzz(name: str, seed: int, inputs: int | None, seconds: float) -> bool:
    """Feed one target, and say what came of it; False: something was found."""
    target, kept = TARGETS[name], corpus(name)
    began, done, number = time.monotonic(), 0, 0
    while True:
        count = _ROUND if inputs is None else min(_ROUND, inputs - done)
        fed, findings = fuzz(target, kept, seed + number, count)
        done, number = done + fed, number + 1
        over = time.monotonic() - began >= seconds if inputs is None else done >= inputs
        if findings or over:
            break
    _tell(name, findings)
    took = time.monotonic() - began
    result = "FOUND" if findings else "nothing found"
    print(f"{name:<14} {done:>11,} inputs {done / took:>9,.0f}/s  {result}", flush=True)
    return not findings


def _soak(options: argparse.Namespace, names: list[str]) -> int:
    inputs = _SOAK_INPUTS if options.inputs is None else options.inputs
    soak = Soak.open(options.soak, options.kept, options.seed)
    soak.try_findings()
    try:
        soak.run(names, inputs, float("inf") if options.seconds is None else options.seconds, options.jobs)
    except KeyboardInterrupt:
        print("interrupted: what the rounds under way had done is lost")
    soak.save()
    print(soak.table(inputs))
    for name, progress in soak.targets.items():
        _tell(name, progress.findings)
    return int(any(progress.findings for progress in soak.targets.values()))


if __name__ == "__main__":
    raise SystemExit(main())
