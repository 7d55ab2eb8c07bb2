"""A trial: one mutation, applied to a private copy of the package, against seeds of the simulator."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import attrs
import trio

from tests.mutations.mutation import DoesNotApply, Mutation

PACKAGE = Path(__file__).parents[2] / "raft_actors"
_WORKER = Path(__file__).with_name("worker.py")
_ROOT = PACKAGE.parent

#: What pytest's exit code says: all passed, and some failed.
_PASSED, _FAILED = 0, 1


@attrs.frozen(kw_only=True)
class Outcome:
    """What came of a mutation.

    Attributes:
        mutation: which; None for the unchanged package.
        caught_by: an invariant's name, "linearizability", "liveness", "crash (…)" with the error of a check of the
            node's own, or "hang"; "" where it survived.
            With a scenario, its test.
        seeds: how many seeds were run; the last one caught it. With a scenario, none.
        text: what the last seed's report says.
    """

    mutation: Mutation | None
    caught_by: str
    seeds: int
    text: str


def source_of(file: str) -> str:
    """The source of a file of the package as it is in the checkout."""
    return (PACKAGE / file).read_text()


async def run_trial(mutation: Mutation | None, *, seeds: int, seconds: float, first_seed: int = 0) -> Outcome:
    """Run up to `seeds` seeds of `seconds` simulated seconds each on a mutated copy, until one catches it.

    Raises:
        DoesNotApply: the mutation does not fit the source.
        RuntimeError: the worker failed by itself.
    """
    changed = mutation.apply(source_of) if mutation is not None else {}
    if mutation is not None and mutation.scenario:
        return await _run_scenario(mutation, changed)
    with tempfile.TemporaryDirectory(prefix="raft-actors-mutation-") as folder:
        package = Path(folder).resolve() / "raft_actors"
        make_copy(package, changed)
        arguments = [sys.executable, "-P", str(_WORKER), str(package), str(first_seed), str(seeds), str(seconds)]
        arguments.append((mutation and mutation.profile) or "")
        environment = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
        done = await trio.run_process(
            arguments, env=environment, cwd=folder, capture_stdout=True, capture_stderr=True, check=False
        )
    try:
        told = json.loads(done.stdout)
    except ValueError:
        name = mutation.name if mutation is not None else "no mutation"
        raise RuntimeError(f"the worker for {name} failed: {done.stderr.decode(errors='replace')}") from None
    caught_by = _name_of(told["broken"], told["text"]) if told["verdict"] == "broken" else ""
    return Outcome(mutation=mutation, caught_by=caught_by, seeds=told["seed"] + 1 - first_seed, text=told["text"])


async def _run_scenario(mutation: Mutation, changed: dict[str, str]) -> Outcome:
    """Run one test of the suite on a mutated copy, beside a copy of the tests: pytest puts their folder first."""
    with tempfile.TemporaryDirectory(prefix="raft-actors-mutation-") as folder:
        place = Path(folder).resolve()
        make_copy(place / "raft_actors", changed)
        shutil.copytree(_ROOT / "tests", place / "tests", ignore=shutil.ignore_patterns("__pycache__", "wheels"))
        shutil.copy(_ROOT / "pyproject.toml", place)
        arguments = [sys.executable, "-P", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", mutation.scenario]
        environment = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        done = await trio.run_process(
            arguments, env=environment, cwd=folder, capture_stdout=True, capture_stderr=True, check=False
        )
    text = done.stdout.decode(errors="replace")
    if done.returncode not in (_PASSED, _FAILED):
        raise RuntimeError(
            f"the scenario for {mutation.name} did not run: {text}{done.stderr.decode(errors='replace')}"
        )
    caught_by = f"`{mutation.scenario.rpartition('::')[2]}`" if done.returncode == _FAILED else ""
    return Outcome(mutation=mutation, caught_by=caught_by, seeds=0, text=text)


def make_copy(package: Path, changed: dict[str, str]) -> None:
    """Copy the package to where there is nothing yet, with these files' sources changed."""
    shutil.copytree(PACKAGE, package)  # follows the links to transports and persistence
    for file, source in changed.items():
        place = package / file
        if not place.is_file():
            raise DoesNotApply(f"there is no {file} in the package")
        place.write_text(source)
        for compiled in place.parent.glob(f"__pycache__/{place.stem}.*"):
            compiled.unlink()


def _name_of(broken: str, text: str) -> str:
    """What caught it; of a crash, with the kind of error."""
    if broken not in {"crash", "simulation"}:
        return broken
    kinds = re.findall(r"crashed: (\w+)", text) or re.findall(r"^[\s|]*(?:\w+\.)*(\w+): ", text, re.MULTILINE)
    return f"{broken} ({kinds[-1]})" if kinds else broken
