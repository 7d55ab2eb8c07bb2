"""The same seed gives the same events, byte for byte, in another process whose hashes differ."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
import trio

from raft_actors import ConfigurationError
from raft_actors.testing import Options, Plan, determinism, run_seed, simulate
from raft_actors.testing.profiles import PROFILES
from tests.cluster.support import CommandLog

PROGRAM = """
import sys
from raft_actors.testing import Options, run_seed
from raft_actors.observe.trace import as_lines
for seed in map(int, sys.argv[1:]):
    report = run_seed(seed, Options(seconds=6.0, trace=True))
    sys.stdout.buffer.writelines(line.encode() + b"\\n" for line in as_lines(report.events))
"""


FIRST_OF: dict[str, int] = {}
"""Profile → the first seed whose plan is of it."""
for _seed in range(100):
    FIRST_OF.setdefault(Plan.draw(Random(f"{_seed} plan")).profile, _seed)

SEEDS = [str(seed) for seed in (*FIRST_OF.values(), *range(2000, 2002))]


def trace_of(seeds: list[str], hash_seed: str, program: str = PROGRAM) -> bytes:
    """What these seeds write down in a process of their own."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", program, *seeds], env=environment, capture_output=True, check=True, timeout=300
    )
    return done.stdout


def test_the_same_seeds_in_processes_with_other_hashes() -> None:
    one, other = trace_of(SEEDS, "1"), trace_of(SEEDS, "4242")
    assert one.count(b"\n") > 10_000
    # Not compared as a whole: the difference of two such texts takes minutes to print.
    for number, (left, right) in enumerate(zip(one.splitlines(), other.splitlines(), strict=False)):
        assert left == right, f"event {number} differs"
    assert len(one) == len(other)


def test_the_seeds_are_of_all_profiles_that_come_unasked() -> None:
    assert {*FIRST_OF} == {*PROFILES} - {"versions", "impostors"}


def test_what_was_run_before_does_not_matter() -> None:
    program = PROGRAM.replace("seconds=6.0", "seconds=2.0")
    alone = trace_of(["2003"], "0", program)
    assert alone.count(b"\n") > 500
    assert trace_of(["2001", "2003"], "0", program).endswith(alone)


def test_other_seeds_differ() -> None:
    one, other = (run_seed(seed, Options(seconds=2.0, nodes=3, trace=True)).events for seed in (2004, 2005))
    assert len(one) > 100
    assert list(one) != list(other)


def test_no_run_without_a_seeded_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(determinism, "_GENERATOR", "of_another_version")
    with pytest.raises(ConfigurationError, match="does not let its scheduler be seeded"):
        run_seed(1)


def test_no_run_in_real_time() -> None:
    async def main() -> None:
        async with simulate(CommandLog):
            pytest.fail("it must not start")

    with pytest.raises(ConfigurationError, match="nothing repeats in real time"):
        trio.run(main)


@pytest.mark.parametrize("kind", [str, Path])
async def test_a_trace_is_written_to_a_path_of_either_kind(kind: type[str] | type[Path], tmp_path: Path) -> None:
    async with simulate(CommandLog, seed=1, trace=True) as cluster:
        await cluster.wait_for_one_leader()
        cluster.trace.write(kind(tmp_path / "trace.jsonl"))
        assert (tmp_path / "trace.jsonl").read_text(encoding="utf-8").splitlines() == list(cluster.trace.lines())
