"""Seeds on several processes: each is run once, none is left running, and a process that dies is told of."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import subprocess
import sys

import pytest

from raft_actors import InternalError
from raft_actors.testing import Options
from raft_actors.testing.hash_seed import VARIABLE
from raft_actors.testing.sweep import sweep

QUICK = Options(nodes=3, seconds=0.5)


def test_each_seed_once() -> None:
    reports = list(sweep(range(5), QUICK, jobs=2))
    assert sorted(report.seed for report in reports) == list(range(5))
    assert all(report.ok for report in reports)
    assert not multiprocessing.active_children()


def test_closed_early() -> None:
    reports = sweep(itertools.count(), QUICK, jobs=2)
    assert next(reports).ok
    assert len(multiprocessing.active_children()) == 2
    reports.close()
    assert not multiprocessing.active_children()


def test_a_process_that_dies() -> None:
    reports = sweep(itertools.count(), QUICK, jobs=1)
    next(reports)
    (child,) = multiprocessing.active_children()
    child.kill()
    with pytest.raises(InternalError, match="exit code -9"):
        for _ in reports:
            pass
    assert not multiprocessing.active_children()


def test_a_process_does_not_wait_for_pytest() -> None:
    program = "import sys; import raft_actors.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_each_process_hashes_by_a_seed_of_its_own_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    reports = list(sweep(range(8), QUICK, jobs=2))
    assert len({report.hash_seed for report in reports}) == 2  # each of them was given a seed first
    assert None not in {report.hash_seed for report in reports}
    assert VARIABLE not in os.environ


def test_all_hash_by_the_seed_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "5")
    assert {report.hash_seed for report in sweep(range(2), QUICK, jobs=2, hash_seed=77)} == {77}
    assert os.environ[VARIABLE] == "5"
