"""A pytest plugin: tests get the fixture `simulate`, simulated time, a seed, and a report of the latest events.

In the conftest.py at the root of your tests:

    pytest_plugins = ["raft_actors.testing.pytest_plugin"]

and a test is an async function, with or without pytest-trio's `trio_mode`:

    @pytest.mark.raft(seeds=20)
    async def test_bank(simulate):
        async with simulate(Bank, nodes=5) as cluster:
            …

It runs once for each seed: 0 to 19 here, 0 alone without the mark, and those of `--raft-seeds` (`7`, or `0:1000`) where
that is given. `--raft-hash-seeds 1:9` runs all that pytest was asked for once for each PYTHONHASHSEED from 1 to 8, each
in a process of its own: a state machine that iterates over a set of strings fails with some and not with others.

Needs the packages pytest and pytest-trio.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
import trio
from trio.testing import MockClock

from raft_actors.actors.one_error import leaves
from raft_actors.state_machine import StateMachine
from raft_actors.testing import simulation
from raft_actors.testing.hash_seed import VARIABLE, hash_seed

C = TypeVar("C")
R = TypeVar("R")

_EVENTS = 40
_LIMIT_S = 600.0
_CHILD = "RAFT_ACTORS_HASH_SEED_IS_SET"
_CLUSTERS = pytest.StashKey[list[simulation.Simulation[Any, Any]]]()


class Simulate:
    """`raft_actors.testing.simulate` with the test's seed. It takes the same arguments.

    Attributes:
        seed: for choices of the test's own: `random.Random(simulate.seed)`.
    """

    def __init__(self, seed: int, clusters: list[simulation.Simulation[Any, Any]]) -> None:
        self.seed = seed
        self._clusters = clusters

    @asynccontextmanager
    async def __call__(
        self, state_machine: Callable[[], StateMachine[C, R]], **options: Any
    ) -> AsyncGenerator[simulation.Simulation[C, R]]:
        """Simulate a cluster for the length of an `async with` block."""
        options.setdefault("seed", self.seed)
        async with simulation.simulate(state_machine, **options) as cluster:
            self._clusters.append(cluster)
            yield cluster


@pytest.fixture(name="simulate")
def simulate_fixture(request: pytest.FixtureRequest, raft_seed: int) -> Simulate:
    """Simulates clusters. See `Simulate`."""
    clusters = request.node.stash[_CLUSTERS] = list[simulation.Simulation[Any, Any]]()
    return Simulate(raft_seed, clusters)


@pytest.fixture
def raft_seed() -> int:
    """The test's seed."""
    return 0


# --- how tests are run -----------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option."""
    parser.getgroup("raft_actors").addoption(
        "--raft-seeds",
        metavar="N|FIRST:END",
        type=_parse_seeds,
        help="run every test that uses the fixture simulate with this seed, or with each from FIRST to END-1",
    )
    parser.getgroup("raft_actors").addoption(
        "--raft-hash-seeds",
        metavar="N|FIRST:END",
        type=_parse_seeds,
        help="run pytest once with PYTHONHASHSEED=N, or with each from FIRST to END-1, each time in a new process",
    )


def _parse_seeds(text: str) -> range:
    first, colon, end = text.partition(":")
    return range(int(first), int(end) if colon else int(first) + 1)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark."""
    config.addinivalue_line(
        "markers",
        "raft(seeds=1, limit_s=600): run a test with the fixture simulate once for each seed below `seeds`; it fails "
        "after `limit_s` seconds of simulated time.",
    )
    if not config.pluginmanager.hasplugin("trio"):
        raise pytest.UsageError("raft_actors.testing.pytest_plugin needs pytest-trio: pip install pytest-trio")


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Where hash seeds were asked for, leave the tests to a process for each: a process can't change its own."""
    hash_seeds: range | None = config.getoption("--raft-hash-seeds")
    if hash_seeds is None or _CHILD in os.environ:
        return None
    worst = 0
    for number in hash_seeds:
        sys.stdout.write(f"\n{VARIABLE}={number}\n")
        sys.stdout.flush()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *config.invocation_params.args],
            env={**os.environ, VARIABLE: str(number), _CHILD: "1"},
            cwd=config.invocation_params.dir,
            check=False,
        )
        worst = worst or done.returncode
    return worst


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each seed."""
    if "raft_seed" in metafunc.fixturenames:
        chosen: range | None = metafunc.config.getoption("--raft-seeds")
        seeds = range(_option(metafunc.definition, "seeds", 1)) if chosen is None else chosen
        metafunc.parametrize("raft_seed", seeds, ids=lambda seed: f"seed{seed}")


def _option(item: pytest.Item, name: str, default: Any) -> Any:
    mark = item.get_closest_marker("raft")
    return default if mark is None else mark.kwargs.get(name, default)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have pytest-trio run each test that simulates in simulated time."""
    for item in items:
        if "raft_seed" in getattr(item, "fixturenames", ()):
            # In front of the mark that pytest-trio may have added: the first that names a runner counts.
            item.add_marker(pytest.mark.trio(run=_runner(_option(item, "limit_s", _LIMIT_S))), append=False)


def _runner(limit_s: float) -> Callable[..., Any]:
    def run(function: Callable[[], Awaitable[Any]], *, clock: Any, instruments: Sequence[Any]) -> Any:
        async def limited() -> Any:
            # An idle cluster goes on for ever, so nothing else would end a test that waits for what never comes.
            with trio.fail_after(limit_s):
                return await function()

        try:
            return trio.run(limited, clock=clock or MockClock(autojump_threshold=0), instruments=instruments)
        except BaseExceptionGroup as group:
            if len(leaves(group)) > 1:
                raise
            alone = leaves(group)[0]
        raise alone  # which pytest shows better than the groups of pytest-trio's nurseries around it

    return run


# --- what a failure says ---------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what happened last in each cluster to the report of a failure, and how to see it again."""
    report = yield
    if report.failed and call.when == "call":
        for cluster in item.stash.get(_CLUSTERS, list[simulation.Simulation[Any, Any]]()):
            latest = [*cluster.trace.lines()][-_EVENTS:]
            known = hash_seed()
            hashed = "" if known is None else f"{VARIABLE}={known} "
            again = f"{hashed}pytest {shlex.quote(item.nodeid)} --raft-seeds {cluster.seed}"
            text = "\n".join((f"again: {again}", f"the latest of {cluster.trace.count} events:", *latest))
            report.sections.append((f"simulated cluster, seed {cluster.seed}", text))
    return report
