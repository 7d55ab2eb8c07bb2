"""`make fuzz`: feed every parser of bytes from elsewhere for as long as asked. Another seed each time, unless told."""

from __future__ import annotations

import argparse
import os
import time

from tests.fuzz.fuzzing import corpus, fuzz
from tests.fuzz.targets import TARGETS

_ROUND = 20_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    names = ",".join(TARGETS)
    parser.add_argument("--targets", default=names, help=f"which, with commas (default: {names})")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each target (default 20)")
    parser.add_argument("--inputs", type=int, help="for each target, instead of a time")
    parser.add_argument("--seed", type=int, help="where to begin (default: from the operating system)")
    options = parser.parse_args()
    seed = int.from_bytes(os.urandom(4), "big") if options.seed is None else options.seed
    print(f"seed {seed}")
    failed = False
    for name in options.targets.split(","):
        if name not in TARGETS:
            parser.error(f"{name!r} is no target")
        target, kept = TARGETS[name], corpus(name)
        began, done, number = time.monotonic(), 0, 0
        while True:
            count = _ROUND if options.inputs is None else min(_ROUND, options.inputs - done)
            fed, findings = fuzz(target, kept, seed + number, count)
            done, number = done + fed, number + 1
            for finding in findings:
                print(f"{name}: {finding.data.hex()}\n{finding.what}")
            failed = failed or bool(findings)
            over = time.monotonic() - began >= options.seconds if options.inputs is None else done >= options.inputs
            if findings or over:
                break
        took = time.monotonic() - began
        result = "FOUND" if findings else "nothing found"
        print(f"{name:<14} {done:>11,} inputs {done / took:>9,.0f}/s  {result}", flush=True)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
