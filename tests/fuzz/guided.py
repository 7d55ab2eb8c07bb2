"""Feed a parser what Atheris thinks up, which goes by the branches that its inputs take.

    python -m tests.fuzz.guided message -runs=10000000

What follows the target's name is for libFuzzer. A finding ends the run, and is written to a file `crash-…`; inputs that
led somewhere new are kept in build/guided, and gone on with the next time. Atheris has no wheel for every Python and
system, so no extra installs it: `pip install atheris`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_FOLDER = Path("build/guided")
_MEMORY_EVERY = 500


def main(arguments: Sequence[str], folder: Path = _FOLDER) -> None:
    """Feed the target that is named first until an option of libFuzzer's, or a finding, ends that."""
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError as error:
        raise SystemExit(f"this needs Atheris: pip install atheris ({error})") from error
    with atheris.instrument_imports(include=["raft_actors"]):
        # Not above: only what is imported here tells which branches it takes.
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
        fuzzing = importlib.import_module("tests.fuzz.fuzzing")
    name = arguments[0] if arguments else ""
    if name not in targets:
        raise SystemExit(f"{name!r} is no target: name one of {', '.join(targets)}")
    kept = folder / name
    kept.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate([*targets[name].seeds, *fuzzing.corpus(name)]):
        (kept / f"seed-{number}").write_bytes(data)
    atheris.Setup(["guided", *arguments[1:], str(kept)], _feeder(targets[name], fuzzing))
    atheris.Fuzz()


def _feeder(target: Any, fuzzing: Any) -> Callable[[bytes], None]:
    """What feeds a target once, and raises AssertionError where it does not take that as it promised."""
    fed = 0

    def feed(data: bytes) -> None:
        nonlocal fed
        fed += 1
        found = fuzzing.try_memory(target, data) if fed % _MEMORY_EVERY == 0 else fuzzing.try_one(target, data)
        if found is not None:
            raise AssertionError(found.what)

    return feed


if __name__ == "__main__":
    main(sys.argv[1:])
