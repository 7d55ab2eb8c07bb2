"""A process that dies at any moment loses nothing that was acknowledged, and leaves no half-done work."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from raft_actors.persistence import SqliteStorage, inspect_store
from tests.persistence import crashing
from tests.persistence.model import Contents, Operation, Snapshot, carry_out, random_work, states
from tests.persistence.support import IDENTITY, contents_of
from tests.thorough import rounds

ROOT = Path(__file__).parents[2]


def start(path: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.persistence.crashing", str(path), *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("seed", range(rounds(8, usually=3)))
def test_kill_9_loses_nothing_acknowledged(tmp_path: Path, seed: int) -> None:
    path, count = tmp_path / "n1.db", 400
    work = list(random_work(seed, count))
    after = states(work)
    rng = random.Random(seed)
    with start(path, seed, count) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(rng.randint(1, 250))]
        process.kill()
        lines += process.stdout
    acknowledged = int(lines[-1])
    summary = inspect_store(path)  # of a store as the crash left it, and it stays that way
    found = trio.run(contents_of, path)
    assert found in after[acknowledged : acknowledged + 2]
    assert (summary.first_index, summary.last_index) == (found.first_index, found.last_index)


SEED = 38


def test_a_crash_at_every_statement_leaves_one_state_or_the_next(tmp_path: Path) -> None:
    count = 14
    work = list(random_work(SEED, count))
    after = states(work)
    assert sum(isinstance(operation, Snapshot) for operation in work) >= 2
    assert sum(isinstance(operation, tuple) and any(write.truncate_from for write in operation) for operation in work)
    statement, finished = 0, False
    while not finished:
        statement += 1
        path = tmp_path / f"{statement}.db"
        acknowledged, finished = _crash_in_a_fork(path, count, statement)
        found = trio.run(contents_of, path)
        assert found in (after[acknowledged : acknowledged + 2] if acknowledged >= 0 else after[:1])
        trio.run(_goes_on, path, work[after.index(found) :], after[-1])
    assert statement > 100


def _crash_in_a_fork(path: Path, count: int, statement: int) -> tuple[int, bool]:
    """Work in a fork that dies at that statement; returns the last operation that it reported, and whether it lived."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            crashing.die_at(statement)

            def report(number: int) -> None:
                os.write(writing, bytes([number]))

            trio.run(crashing.work, path, SEED, count, report)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        reported = pipe.read()
    _, status = os.waitpid(child, 0)
    return (reported[-1] if reported else -1), status == 0


async def _goes_on(path: Path, rest: list[Operation], final: Contents) -> None:
    """The work that a crash cut short can be taken up where the store says it ended."""
    storage = SqliteStorage(path)
    await storage.open(IDENTITY, tail_bytes=0)
    for operation in rest:
        await carry_out(storage, operation)
    await storage.aclose()
    assert await contents_of(path) == final
