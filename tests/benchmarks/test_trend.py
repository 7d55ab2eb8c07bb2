"""The diary of figures: a line more at each run, nothing lost, and a plot of all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import trend


def test_each_run_adds_a_line_and_plots_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, plot = tmp_path / "trend.jsonl", tmp_path / "trend.svg"
    monkeypatch.setattr("sys.argv", ["trend", "--quick", f"--file={file}", f"--plot={plot}"])
    assert trend.main() == 0
    first = file.read_text(encoding="utf-8")
    assert trend.main() == 0
    assert file.read_text(encoding="utf-8").startswith(first)
    lines = [json.loads(text) for text in file.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 2
    for line in lines:
        assert line["seeds_per_cpu_s"] > 0
        assert line["commits_per_cpu_s"] > 0
        assert 128 < line["bytes_per_commit"] < 10_000  # three stores hold each command
        assert line["commit"]
    assert plot.read_text(encoding="utf-8").count("<svg") == 1
    assert f"since {lines[0]['commit']}" in capsys.readouterr().out


def test_without_history_no_commit_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    size = trend.Size(seeds=1, batches=1, rounds=1)
    (line,) = trend.append(tmp_path / "trend.jsonl", {"seeds_per_cpu_s": 1.0}, size)
    assert line["commit"] == "unknown"


def test_the_diary_can_be_read() -> None:
    lines = [json.loads(text) for text in trend.FILE.read_text(encoding="utf-8").splitlines()]
    assert lines
    assert trend.PLOT.is_file()
