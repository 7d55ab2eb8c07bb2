"""The same commands in child processes, whose hashes, clock, time zone, locale and host name are others."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pickle
import runpy
import subprocess
import sys
import tempfile
import types
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from raft_actors.errors import ConfigurationError
from raft_actors.testing.comparable import comparable
from raft_actors.testing.failure import CheckFailed
from raft_actors.testing.state_machines.surroundings import moved_clock, take_host_name
from raft_actors.testing.state_machines.trial import Make, Raised, Trial

_TIMEOUT_S = 120.0


@attrs.frozen
class Surroundings:
    """What is other in a child process."""

    hash_seed: int
    time_zone: str
    days: int
    host_name: str

    def __str__(self) -> str:
        return (
            f"PYTHONHASHSEED={self.hash_seed}, TZ={self.time_zone}, host name {self.host_name!r} and a clock moved by "
            f"{self.days} days"
        )


# Two, because a machine may happen to agree with one: sets of two strings are in the same order half of the time.
_SURROUNDINGS = (Surroundings(1, "AAA-13:45", 1_000, "one.example"), Surroundings(42, "BBB+3:30", -500, "two.example"))


@attrs.frozen
class Report:
    """What a child process saw.

    Attributes:
        differs_at: number of the first command that it answered otherwise than this process, or None.
        ours, theirs: both answers, as text.
        whole: the snapshot after all commands.
    """

    surroundings: Surroundings
    differs_at: int | None
    ours: str
    theirs: str
    whole: bytes


@attrs.frozen
class _Job:
    """What a child process is to do; pickled."""

    path: list[str]
    main_file: str | None
    files: dict[str, str]
    make: bytes
    commands: list[bytes]
    modules: set[str]
    surroundings: Surroundings


@attrs.frozen
class _Outcome:
    """What it did. An answer goes by its picture, for not every answer can be pickled."""

    answers: list[Hashable]
    texts: list[str]
    whole: bytes


def run_in_other_processes(
    make: Make, commands: list[bytes], modules: set[str], answers: Sequence[Any]
) -> Iterator[Report]:
    """Apply the commands in child processes and compare what they answer with `answers`.

    Raises:
        ConfigurationError: `make` can't be had there.
        CheckFailed: what failed there did not fail here.
    """
    pickled = _pickled(make)
    files = {name: file for name in modules if (file := getattr(sys.modules.get(name), "__file__", None)) is not None}
    main_file: str | None = getattr(sys.modules["__main__"], "__file__", None) if "__main__" in modules else None
    path = [str(Path(entry).absolute()) for entry in sys.path]
    ours = [_picture(answer) for answer in answers[: len(commands)]]
    with tempfile.TemporaryDirectory(prefix="raft-actors-check-") as folder:
        started = [
            _start(Path(folder), number, _Job(path, main_file, files, pickled, commands, modules, surroundings))
            for number, surroundings in enumerate(_SURROUNDINGS)
        ]
        try:
            for surroundings, (process, result) in zip(_SURROUNDINGS, started, strict=True):
                outcome = _finish(process, result)
                at = next((n for n, picture in enumerate(ours) if picture != outcome.answers[n]), None)
                if at is None:
                    yield Report(surroundings, None, "", "", outcome.whole)
                else:
                    yield Report(surroundings, at, repr(answers[at]), outcome.texts[at], outcome.whole)
        finally:
            for process, _ in started:
                process.kill()
                process.communicate()


def _pickled(make: Make) -> bytes:
    try:
        return pickle.dumps(make)
    except Exception as error:
        raise ConfigurationError(
            f"{make!r} can't be handed to a child process ({error}): give a class or function at the top of a module, "
            "or pass processes=False"
        ) from error


def _picture(answer: Any) -> Hashable:
    return ("raised", comparable(answer.error)) if isinstance(answer, Raised) else comparable(answer)


def _start(folder: Path, number: int, job: _Job) -> tuple[subprocess.Popen[bytes], Path]:
    todo, result = folder / f"job-{number}", folder / f"result-{number}"
    todo.write_bytes(pickle.dumps(job))
    home = folder / f"home-{number}"
    home.mkdir()
    environment = {
        **os.environ,
        "PYTHONHASHSEED": str(job.surroundings.hash_seed),
        "TZ": job.surroundings.time_zone,
        "HOME": str(home),
        "USER": "somebody",
        "LC_ALL": "C",
        "PYTHONPATH": os.pathsep.join(job.path),
    }
    command = [sys.executable, "-m", __name__, str(todo), str(result)]
    process = subprocess.Popen(
        command, env=environment, cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    return process, result


def _finish(process: subprocess.Popen[bytes], result: Path) -> _Outcome:
    try:
        _, stderr = process.communicate(timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise CheckFailed(
            f"a child process did not apply the commands within {_TIMEOUT_S:.0f} s", "every process answers alike"
        ) from None
    if not result.exists():
        text = stderr.decode(errors="replace").strip()
        raise ConfigurationError(
            "a child process can't make the state machine: import its module there without side effects, or pass "
            f"processes=False. It said:\n{text[-2_000:]}"
        )
    outcome: _Outcome | CheckFailed = pickle.loads(result.read_bytes())  # noqa: S301 - from a child of our own
    if isinstance(outcome, CheckFailed):
        raise outcome
    return outcome


# --- in the child ------------------------------------------------------------------------------------------------


def _work(job: _Job) -> _Outcome | CheckFailed:
    take_host_name(job.surroundings.host_name)
    _import_main(job.main_file)
    _import_files(job.files)
    make: Make = pickle.loads(job.make)  # noqa: S301 - from our own parent
    trial = Trial(make(), "one in a child process")
    try:
        with moved_clock(job.modules | {"__mp_main__"}, job.surroundings.days):
            whole = trial.apply_all(job.commands).snapshot()
    except CheckFailed as failure:
        return failure
    return _Outcome([_picture(answer) for answer in trial.kept], [repr(answer) for answer in trial.kept], whole)


def _import_main(file: str | None) -> None:
    """Make a script's classes importable without running what it guards with `if __name__ == "__main__"`."""
    if file is None:
        return
    module = types.ModuleType("__mp_main__")
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    vars(module).update(runpy.run_path(file, run_name="__mp_main__"))


def _import_files(files: dict[str, str]) -> None:
    """Import modules that the path does not lead to, as test runners do, by their files."""
    for name, file in sorted(files.items()):
        if name in sys.modules or name == "__main__":
            continue
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            spec = importlib.util.spec_from_file_location(name, file)
            if spec is not None and spec.loader is not None:
                sys.modules[name] = module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)


def main() -> None:
    """Do the job of the file named first, and write what came of it to the one named second."""
    todo, result = map(Path, sys.argv[1:])
    job: Any = pickle.loads(todo.read_bytes())  # noqa: S301 - from our own parent
    result.write_bytes(pickle.dumps(_work(job)))


if __name__ == "__main__":
    # By its real name, so that what is pickled here is known to the process that asked.
    importlib.import_module("raft_actors.testing.state_machines.children").main()
