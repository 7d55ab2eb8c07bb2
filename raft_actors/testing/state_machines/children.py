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
import trio

from raft_actors.errors import ConfigurationError
from raft_actors.testing.comparable import comparable
from raft_actors.testing.failure import CheckFailed
from raft_actors.testing.state_machines.other_locale import group_digits
from raft_actors.testing.state_machines.reads import FileWatch, other_values
from raft_actors.testing.state_machines.surroundings import MovedClock, moved_clock, take_host_name
from raft_actors.testing.state_machines.trial import Make, Raised, Step, Trial

_TIMEOUT_S = 120.0


@attrs.frozen
class Surroundings:
    """What is other in a child process; `variables` are those that `apply` was seen to read (None: not set there)."""

    hash_seed: int
    time_zone: str
    days: int
    host_name: str
    groups_digits: bool
    variables: dict[str, str | None] = attrs.field(factory=dict[str, str | None])

    def __str__(self) -> str:
        variables = [
            f"{name} not set" if value is None else f"{name}={value}" for name, value in self.variables.items()
        ]
        known = [
            f"PYTHONHASHSEED={self.hash_seed}",
            f"TZ={self.time_zone}",
            *variables,
            f"host name {self.host_name!r}",
        ]
        return f"{', '.join(known)} and a clock moved by {self.days} days"


# Two, because a machine may happen to agree with one: sets of two strings are in the same order half of the time.
_SURROUNDINGS = (
    Surroundings(1, "AAA-13:45", 1_000, "one.example", groups_digits=True),
    Surroundings(42, "BBB+3:30", -500, "two.example", groups_digits=False),
)


@attrs.frozen
class Outcome:
    """What came about in a child process.

    Attributes:
        answers: pictures of the answers, for not every answer can be pickled.
        texts: the same for reading.
        whole: the snapshot after all commands.
        files: what `apply` reads of the file system, in every instance.
    """

    answers: list[Hashable]
    texts: list[str]
    whole: bytes
    files: list[str]


@attrs.frozen
class Report:
    """What a child process saw.

    Attributes:
        differs_at: number of the first command that it answered otherwise than this process, or None.
        ours, theirs: both answers, as text.
    """

    surroundings: Surroundings
    outcome: Outcome
    differs_at: int | None
    ours: str
    theirs: str


@attrs.frozen
class _Job:
    """What a child process is to do; pickled."""

    path: list[str]
    main_file: str | None
    files: dict[str, str]
    make: bytes
    steps: list[Step]
    modules: set[str]
    surroundings: Surroundings


@attrs.frozen
class Children:
    """Processes in which the commands are applied, too.

    Attributes:
        modules: those that the state machine and its commands come from.
        variables: the environment variables that `apply` reads.
    """

    make: Make
    steps: list[Step]
    modules: set[str]
    variables: set[str]

    def compared_with(self, answers: Sequence[Any]) -> Iterator[Report]:
        """Run them, and compare what they answer with `answers`.

        Raises:
            ConfigurationError: `make` can't be had there.
            CheckFailed: what failed there did not fail here.
        """
        ours = [_picture(answer) for answer in answers[: len(self.steps)]]
        with tempfile.TemporaryDirectory(prefix="raft-actors-check-") as folder:
            started = [_start(Path(folder), number, job) for number, job in enumerate(self._jobs())]
            try:
                for process, result, surroundings in started:
                    outcome = _finish(process, result)
                    at = next((n for n, picture in enumerate(ours) if picture != outcome.answers[n]), None)
                    texts = ("", "") if at is None else (repr(answers[at]), outcome.texts[at])
                    yield Report(surroundings, outcome, at, *texts)
            finally:
                for process, _, _ in started:
                    process.kill()
                    process.communicate()

    def _jobs(self) -> Iterator[_Job]:
        pickled = _pickled(self.make)
        known = {name: getattr(sys.modules.get(name), "__file__", None) for name in self.modules}
        files = {name: file for name, file in known.items() if file is not None}
        main = sys.modules["__main__"]
        main_file: str | None = getattr(main, "__file__", None) if "__main__" in self.modules else None
        path = [str(Path(entry).absolute()) for entry in sys.path]
        for number, surroundings in enumerate(_SURROUNDINGS):
            there = attrs.evolve(surroundings, variables=other_values(self.variables, number))
            yield _Job(path, main_file, files, pickled, self.steps, self.modules, there)


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


def _start(folder: Path, number: int, job: _Job) -> tuple[subprocess.Popen[bytes], Path, Surroundings]:
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
    return process, result, job.surroundings


def _finish(process: subprocess.Popen[bytes], result: Path) -> Outcome:
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
    outcome: Outcome | CheckFailed = pickle.loads(result.read_bytes())  # noqa: S301 - from a child of our own
    if isinstance(outcome, CheckFailed):
        raise outcome
    return outcome


# --- in the child ------------------------------------------------------------------------------------------------


def _work(job: _Job) -> Outcome | CheckFailed:
    take_host_name(job.surroundings.host_name)
    if job.surroundings.groups_digits:
        group_digits(Path.cwd())
    _import_main(job.main_file)
    _import_files(job.files)
    make: Make = pickle.loads(job.make)  # noqa: S301 - from our own parent
    watch = FileWatch()
    watch.install()
    outcome: list[Outcome] = []

    async def run() -> None:
        with moved_clock(job.modules | {"__mp_main__"}, job.surroundings.days) as clock:
            outcome.append(_apply_all(job, make, watch, clock))

    try:
        trio.run(run)
    except CheckFailed as failure:
        return failure
    return outcome[0]


def _apply_all(job: _Job, make: Make, watch: FileWatch, clock: MovedClock) -> Outcome:
    trial = Trial(make(), "one in a child process")
    clock.put_into(trial.machine)
    # Not earlier: what a machine goes by since it was made is configuration.
    for name, value in job.surroundings.variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    with watch.on():
        trial.apply_all(job.steps)
    whole = trial.snapshot()
    files = watch.take()
    if files:
        # What only the first instance reads is kept since, as what comes with a program is.
        with watch.on():
            Trial(make(), "another one").apply_all(job.steps)
        files &= watch.take()
    answers = [_picture(answer) for answer in trial.kept]
    return Outcome(answers, [repr(answer) for answer in trial.kept], whole, sorted(files))


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
    # Threads that `apply` has started and that go on would be waited for.
    os._exit(0)


if __name__ == "__main__":
    # By its real name, so that what is pickled here is known to the process that asked.
    importlib.import_module("raft_actors.testing.state_machines.children").main()
