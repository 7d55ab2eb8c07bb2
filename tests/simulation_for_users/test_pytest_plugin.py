"""The fixture `simulate` in a pytest of its own: seeds, simulated time with or without trio_mode, and reports."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = """
import random
import pytest, trio
from tests.simulation_for_users.lock import Acquire, GenerousLock, Lock, LockModel

@pytest.mark.raft(seeds=2)
async def test_passes(simulate):
    async with simulate(Lock, nodes=3) as cluster:
        assert await cluster.client().call(Acquire("a")) == 1
        await trio.sleep(100)
        assert cluster.seed == simulate.seed

async def test_with_a_clock_of_its_own(simulate, autojump_clock):
    async with simulate(Lock, seed=7) as cluster:
        assert cluster.seed == 7
        assert trio.lowlevel.current_clock() is autojump_clock

async def test_fails(simulate):
    async with simulate(GenerousLock) as cluster, trio.open_nursery():
        await cluster.client("c1").call(Acquire("a"))
        await cluster.client("c2").call(Acquire("b"))
        cluster.check_linearizable(LockModel())

@pytest.mark.raft(limit_s=20)
async def test_waits_for_ever(simulate):
    async with simulate(Lock):
        await trio.sleep_forever()

def test_without_a_cluster():
    pass
"""
CONFTEST = 'pytest_plugins = ["raft_actors.testing.pytest_plugin"]\n'
ROOT = Path(__file__).parents[2]


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (folder / "test_it.py").write_text(SOURCE, encoding="utf-8")
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--rootdir=.",
            "--strict-markers",
            "-p",
            "no:cacheprovider",
            "-rA",
            *arguments,
        ],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a run of all of it prints."""
    return run_pytest(tmp_path_factory.mktemp("plugin")).stdout


def test_every_test_runs_once_for_each_seed_in_simulated_time(output: str) -> None:
    outcomes = re.findall(r"^(PASSED|FAILED) test_it.py::(\S+)", output, re.MULTILINE)
    assert sorted((name, outcome) for outcome, name in outcomes) == [
        ("test_fails[seed0]", "FAILED"),
        ("test_passes[seed0]", "PASSED"),
        ("test_passes[seed1]", "PASSED"),
        ("test_waits_for_ever[seed0]", "FAILED"),
        ("test_with_a_clock_of_its_own[seed0]", "PASSED"),
        ("test_without_a_cluster", "PASSED"),
    ], output


def test_a_failure_comes_out_of_its_groups_with_the_latest_events_and_a_command(output: str) -> None:
    assert "again: pytest 'test_it.py::test_fails[seed0]' --raft-seeds 0" in output
    assert '"kind":"call"' in output
    assert re.search(r"^FAILED test_it.py::test_fails\[seed0\] - .*linearizab", output, re.MULTILINE)


def test_a_test_that_waits_for_ever_ends(output: str) -> None:
    assert re.search(r"^FAILED test_it.py::test_waits_for_ever\[seed0\] - .*TooSlow", output, re.MULTILINE), output


def test_seeds_are_chosen_on_the_command_line(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "--raft-seeds=5:7", "-k", "passes")
    assert re.findall(r"^PASSED (\S+)", done.stdout, re.MULTILINE) == [
        "test_it.py::test_passes[seed5]",
        "test_it.py::test_passes[seed6]",
    ]


def test_without_pytest_trio_the_remedy_is_named(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "-p", "no:trio", "--raft-seeds=1")
    assert done.returncode == 4
    assert "pip install pytest-trio" in done.stderr
