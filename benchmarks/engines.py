"""The engines that are compared: how each is run, how durable its commits are, and what it needs to be here."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

HERE = Path(__file__).parent
ROOT = HERE.parent
_PEERS = HERE / "peers"
_BUILT = HERE / "results" / ".peers"
_GO_LIBRARIES = "/usr/share/gocode"
_PYSYNCOBJ_DURABILITY = "journal, never synced: lost with the machine's power"


class EngineMissing(Exception):
    """An engine can't run on this machine; the text says what to install."""


def _no_options() -> dict[str, Any]:
    return {}


@attrs.frozen(kw_only=True)
class Engine:
    """One engine with its settings.

    Attributes:
        name: what `--engines` takes.
        label: what tables and plots show.
        durability: what is on disk when a commit is acknowledged.
        settings: what differs from the engine's defaults, in words.
        module: the Python worker, or
        program: the Go worker; None, too: no worker, a question runs the first of `programs` itself.
        options: handed to the worker.
        modes: ways to propose that it has.
        only: names of the questions that it can answer; none: all.
        storages: "disk", "memory".
        distributions, packages, programs: needed from PyPI, from Debian, and on the path.
        colour: in plots.
    """

    name: str
    label: str
    durability: str
    settings: str = "defaults"
    module: str | None = None
    program: str | None = None
    options: Mapping[str, Any] = attrs.field(factory=_no_options)
    modes: tuple[str, ...] = ("await",)
    only: tuple[str, ...] = ()
    storages: tuple[str, ...] = ("disk", "memory")
    distributions: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    colour: str = "black"

    def command(self) -> list[str]:
        """The command line of a worker; builds it first where it is a Go program.

        Raises:
            EngineMissing: something is not installed.
        """
        self._check_installed()
        if self.module is not None:
            return [sys.executable, "-m", self.module]
        return [*self.programs[:1]] if self.program is None else [str(_build(self.program))]

    def version(self) -> str:
        """Versions of what is measured."""
        found = [f"{name} {importlib.metadata.version(name)}" for name in self.distributions]
        return ", ".join(found + [f"{name} {_package_version(name)}" for name in self.packages])

    def durability_on(self, storage: str) -> str:
        """What is on disk when a commit is acknowledged, with this storage."""
        return self.durability if storage == "disk" else "memory only: nothing outlives the process"

    def _debian(self) -> list[str]:
        return [*(["golang-go"] if "go" in self.programs else []), *self.packages]

    def _check_installed(self) -> None:
        for name in self.distributions:
            if importlib.util.find_spec(name.replace("-", "_")) is None:
                raise EngineMissing(f"{name} is not installed: pip install 'raft-actors[bench]'")
        missing = [f"the command {name}" for name in self.programs if shutil.which(name) is None]
        missing = missing or [name for name in self.packages if not _package_version(name)]
        if missing:
            raise EngineMissing(f"{', '.join(missing)} not found: on Debian, apt install {' '.join(self._debian())}")


@functools.cache
def _package_version(name: str) -> str:
    if shutil.which("dpkg-query") is None:
        return ""
    query = ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Version}", name]
    answer = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split()
    return answer[1] if len(answer) == 2 and answer[0] == "installed" else ""


@functools.cache
def _build(program: str) -> Path:
    """Compile one of our Go programs against Debian's libraries; Go itself knows when nothing has changed."""
    _BUILT.mkdir(parents=True, exist_ok=True)
    built = _BUILT / program
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": f"{_PEERS}:{_GO_LIBRARIES}", "GOFLAGS": ""}
    done = subprocess.run(
        ["go", "build", "-o", str(built), program],
        cwd=_PEERS,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise EngineMissing(f"{program} does not build: {done.stderr.strip() or done.stdout.strip()}")
    return built


def _pysyncobj(name: str, label: str, settings: str, colour: str, options: Mapping[str, Any]) -> Engine:
    return Engine(
        name=name,
        label=label,
        durability=_PYSYNCOBJ_DURABILITY,
        settings=settings,
        module="benchmarks.workers.pysyncobj_worker",
        options=options,
        modes=("await", "pipeline"),
        distributions=("pysyncobj",),
        colour=colour,
    )


OURS = Engine(
    name="raft_actors",
    label="raft_actors",
    durability="SQLite WAL, synchronous=FULL: synced before each acknowledgement",
    module="benchmarks.workers.raft_actors_worker",
    modes=("await", "many", "pipeline"),
    distributions=("raft-actors",),
    colour="#c1121f",
)

#: No Raft, and one node: what the service is measured beside.
REDIS_SERVER = Engine(
    name="redis-server",
    label="redis-server",
    durability="one node; its append-only file, synced before each acknowledgement",
    settings="appendonly yes, appendfsync always",
    only=("redis",),
    storages=("disk",),
    packages=("redis-server",),
    programs=("redis-server",),
    colour="#bc6c25",
)

ENGINES = {
    engine.name: engine
    for engine in (
        OURS,
        Engine(
            name="hashicorp",
            label="hashicorp/raft",
            durability="BoltDB, synced at each transaction",
            settings="defaults, log cache of 512 entries, embedded",
            program="hashicorp",
            modes=("await", "pipeline"),
            packages=("golang-github-hashicorp-raft-dev", "golang-github-hashicorp-raft-boltdb-dev"),
            programs=("go",),
            colour="#5a189a",
        ),
        Engine(
            name="etcd",
            label="etcd",
            durability="its WAL, synced before each acknowledgement",
            settings="defaults, a server; its client is a second process beside the leader",
            program="etcd",
            modes=("await", "many"),
            storages=("disk",),
            packages=("etcd-server", "golang-etcd-server-dev"),
            programs=("go", "etcd"),
            colour="#0077b6",
        ),
        _pysyncobj(
            "pysyncobj", "PySyncObj", "defaults (their timers of 50 and 100 ms are what is measured)", "#868e96", {}
        ),
        _pysyncobj(
            "pysyncobj-tuned",
            "PySyncObj, 10 ms",
            "appendEntriesPeriod = autoTickPeriod = 0.01",
            "#588157",
            {"appendEntriesPeriod": 0.01, "autoTickPeriod": 0.01},
        ),
        REDIS_SERVER,
    )
}
