"""`raft-actors simulate`: what it shows, what it writes, what it exits with, and that Ctrl-C ends it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raft_actors.cli.main import main
from raft_actors.testing import SeedReport
from raft_actors.testing import sweep as sweeping
from tests.signals import sigint


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["simulate", *arguments])
    return code, capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds=x"], "'x' is no whole number from 0 on"),
        (["--seeds=5:5"], "'5:5' holds no seed"),
        (["--nodes=0"], "'0' is no whole number above 0"),
        (["--trace=out.txt"], "'out.txt' says neither .html (a diagram) nor .jsonl (events)"),
    ],
)
def test_arguments(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_some_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(capsys, "--seeds=0:3", "--nodes=3", "--seconds=2", "--jobs=1")
    assert code == 0
    words = " ".join(said.split())
    for needed in ("seeds │ 3", "ok │ 3", "simulated seconds per second", "messages per second"):
        assert needed in words
    assert "│ broken" not in words


def test_a_trace_of_one_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events, page = tmp_path / "out.jsonl", tmp_path / "out.html"
    for path in (events, page):
        code, said = run(capsys, "--seeds=4", "--nodes=3", "--seconds=2", "--jobs=1", f"--trace={path}")
        assert code == 0
        assert "events of seed 4" in " ".join(said.split())
    found = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    assert [event["n"] for event in found] == list(range(1, len(found) + 1))
    assert {"start", "role", "send", "receive", "durable", "commit", "apply", "call", "return"} <= {
        event["kind"] for event in found
    }
    assert "seed 4" in page.read_text(encoding="utf-8")


def fake_report(seed: int) -> SeedReport:
    bad = seed == 7
    return SeedReport(
        seed=seed,
        nodes=5,
        hash_seed=3,
        verdict="broken" if bad else "ok",
        broken="election safety" if bad else "",
        text="seed 7, at 3.000 s: election safety: two leaders" if bad else "",
        events=({"t": 2.5, "n": 1, "kind": "role", "node": "n1", "role": "leader", "term": 3},) if bad else (),
        simulated_s=4.0,
        cpu_s=0.1,
    )


def test_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fake_sweep(seeds: Any, _options: Any, **_keywords: Any) -> Iterator[SeedReport]:
        yield from map(fake_report, seeds)

    monkeypatch.setattr(sweeping, "sweep", fake_sweep)
    failures = tmp_path / "failures.jsonl"
    code, said = run(capsys, "--seeds=5:9", "--seconds=4", f"--failures={failures}")
    assert code == 1
    replay = "raft-actors simulate --seeds 7 --nodes 5 --seconds 4 --hash-seed 3 --trace seed-7.html"
    for needed in ("SEED 7 (5 nodes): election safety", "two leaders", "n1   role      role=leader term=3", replay):
        assert needed in said
    (line,) = failures.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["replay"] == replay
    assert json.loads(line)["hash_seed"] == 3
    failures.unlink()
    failures.mkdir()  # what was writable at the start need not stay so: no reason to lose the rest of the sweep
    monkeypatch.setattr("raft_actors.cli.simulate.output_file", Path)
    code, said = run(capsys, "--seeds=5:9", "--seconds=4", f"--failures={failures}")
    assert code == 1
    assert f"(not added to {failures}: Is a directory)" in said
    assert "seeds │ 4" in " ".join(said.split())
    assert "failed" not in " ".join(run(capsys, "--seeds=8")[1].split())


# Without a terminal, the first line of progress comes after ten seconds, of work at full speed.
SPEAKS_SOON = """
import sys
from raft_actors.cli import main, simulate_report
if __name__ == "__main__":
    simulate_report._LINE_EVERY_S /= 10
    sys.exit(main.main())
"""


def test_interrupted() -> None:
    """It says what it knows, and leaves no process behind that would hold the pipe open."""
    with sigint(signal.default_int_handler):
        process = subprocess.Popen(
            [sys.executable, "-c", SPEAKS_SOON, "simulate", "--seeds=0:", "--seconds=1", "--jobs=1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert process.stdout is not None
    assert "seeds:" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    said, wrong = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Interrupted: so far" in said
    assert not wrong


def test_no_seed_begins_after_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(capsys, "--seeds=0:", "--nodes=3", "--seconds=1", "--jobs=1", "--for=1")
    assert code == 0
    assert "Simulated" in said
