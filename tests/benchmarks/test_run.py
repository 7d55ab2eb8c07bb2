"""Real processes, briefly: that figures come out, whatever they are."""

from __future__ import annotations

import json
import os
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import attrs
import pytest
import trio
from rich.console import Console

from benchmarks import machine
from benchmarks.__main__ import main
from benchmarks.cases import Case, Sample, Settings
from benchmarks.cluster import Cluster, WorkerFailed, open_cluster
from benchmarks.engines import ENGINES, OURS, Engine
from benchmarks.questions.base import Column, Question, decimals, product
from benchmarks.results import Spread
from benchmarks.run import answer
from benchmarks.tables import show
from benchmarks.workers.wire import describe

_PNG = b"\x89PNG\r\n\x1a\n"


def test_commit_quick(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, data = tmp_path / "results", tmp_path / "data"
    data.mkdir()
    arguments = ["commit", "--quick", "--engines", "raft_actors", "--proposers", "1,16"]
    arguments += ["--warmup", "0.1", "--seconds", "0.2", "--folder", str(data), "--output", str(output)]
    assert main([*arguments, "--vary", "proposers", "--storage", "disk"]) == 0

    shown = capsys.readouterr().out
    for part in ("commits/s", "p99.9 ms", "synchronous=FULL", "commit.json", "nodes 3, storage disk, payload 128"):
        assert part in shown
    report = json.loads((output / "commit.json").read_text(encoding="utf-8"))
    assert report["settings"]["rounds"] == 1
    assert {"cpu", "cores", "python", "file_system"} <= set(report["machine"])
    assert report["engines"][0]["durability"] == OURS.durability
    assert not report["failures"]
    measured = [(row["parameters"]["storage"], row["parameters"]["proposers"]) for row in report["rows"]]
    assert measured == [("disk", 1), ("disk", 16)]
    for row in report["rows"]:
        rates = [values["commits_per_s"] for values in row["rounds"]]
        assert row["values"]["commits_per_s"] == {"median": rates[0], "low": rates[0], "high": rates[0]}
        assert row["latency"]["count"] == round(sum(rates) * 0.2)
        percentiles = list(row["latency"]["percentiles"].values())
        assert percentiles == sorted(percentiles)
        assert 0 < percentiles[0] <= row["latency"]["max_ms"]
    table = (output / "commit.md").read_text(encoding="utf-8")
    assert "| 16 | **raft_actors** |" in table
    assert "1 rounds of 0.2 s after 0.1 s of warm-up; nodes 3, storage disk, payload 128." in table
    for name in ("commit-proposers", "commit-latency", "commit-p99", "commit-curve"):
        assert (output / f"{name}.png").read_bytes().startswith(_PNG)
        ET.parse(output / f"{name}.svg")
    assert list(data.iterdir()) == []


def test_commit_in_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["commit", "--quick", "--engines", "raft_actors", "--vary", "storage", "--storage", "memory"]
    assert main([*arguments, "--nodes", "1", "--proposers", "4", "--output", str(tmp_path)]) == 0
    assert "storage memory" in capsys.readouterr().out
    report = json.loads((tmp_path / "commit.json").read_text(encoding="utf-8"))
    (row,) = report["rows"]
    assert row["parameters"] == {"nodes": 1, "storage": "memory", "payload": 128, "proposers": 4}
    assert row["durability"] == "memory only: nothing outlives the process"
    assert row["values"]["commits_per_s"]["median"] > 0


def test_of_many_errors_the_first_is_told() -> None:
    many = ExceptionGroup("proposers", [ExceptionGroup("some", [ValueError("one"), KeyError("two")]), OSError("three")])
    assert describe(many) == "ValueError: one (and 2 more errors)"
    assert describe(ValueError("alone")) == "ValueError: alone"


async def _open(folder: Path) -> Cluster:
    async with open_cluster(OURS, nodes=1, storage="disk", folder=folder) as cluster:
        leader = await cluster.wait_leader()
        assert cluster.followers(leader) == []
        assert leader.resident_bytes() > 0
        assert leader.cpu_seconds() > 0
        with pytest.raises(WorkerFailed, match=r"raft_actors n1 could not 'nonsense'.*unknown command"):
            await leader.call("nonsense")
        with pytest.raises(WorkerFailed, match="did not finish 'load' in 0 s"):
            await leader.call(
                "load", timeout_s=0.1, proposers=1, payload=1, warmup_s=0, seconds=60, mode="await", batch=1
            )
        await cluster.kill(leader)
        assert cluster.workers == {}
        leader = await cluster.start("n1")
        assert await cluster.first_commit() > 0
        await cluster.stop(leader)
        with pytest.raises(WorkerFailed, match="ended"):
            await leader.call("status")
    return cluster


async def test_a_cluster_leaves_nothing_behind(tmp_path: Path) -> None:
    cluster = await _open(tmp_path)
    assert not cluster.folder.exists()
    assert list(tmp_path.iterdir()) == []


async def test_a_worker_that_can_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(WorkerFailed, match="unexpected keyword argument 'sails'"):
        async with open_cluster(OURS, nodes=1, storage="disk", folder=tmp_path, options={"sails": 3}):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_could_not_be_done_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(cluster: Cluster) -> None:
        raise WorkerFailed("no disk")

    monkeypatch.setattr(Cluster, "start_all", fail)
    arguments = ["idle", "--quick", "--engines", "raft_actors", "--folder", str(tmp_path), "--output", str(tmp_path)]
    assert main(arguments) == 1
    assert "failed: raft_actors nodes=3 storage=disk, round 1: no disk" in capsys.readouterr().out
    assert json.loads((tmp_path / "idle.json").read_text(encoding="utf-8"))["failures"]


def test_an_engine_that_is_not_installed_is_skipped_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert main(["idle", "--quick", "--engines", "hashicorp", "--output", str(tmp_path)]) == 1
    assert (
        "skipped hashicorp/raft: the command go not found: on Debian, apt install golang-go" in capsys.readouterr().out
    )


async def test_rounds_are_interleaved_and_summarized(tmp_path: Path) -> None:
    order: list[str] = []

    async def measure(settings: Settings, case: Case) -> Sample:
        order.append(f"{case.engine.name} {case.number('size')}")
        return Sample({"length": len(order)}, latencies=[10_000 * len(order)])

    def plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
        cases = product(engines, [{"size": 1}, {"size": 2}, {"size": 1}])
        return [*cases, Case(OURS, {"size": 3}, once=True)]

    question = Question(
        name="order",
        asks="In what order?",
        options=(),
        plan=plan,
        measure=measure,
        columns=(Column("length", "length", decimals, spread=True),),
        draw=lambda _: [],
        compare=("length", True),
    )
    settings = Settings(folder=tmp_path, output=tmp_path, rounds=3, warmup_s=1, seconds=1, values={})
    console = Console(file=StringIO(), width=120)
    report = await answer(question, settings, ["raft_actors", "pysyncobj"], console)

    a_round = ["raft_actors 1", "pysyncobj 1", "raft_actors 2", "pysyncobj 2"]
    assert order == [*a_round, "raft_actors 3", *a_round, *a_round]
    first = report.rows[0]
    assert (first.engine, first.parameters, first.values) == ("raft_actors", {"size": 1}, {"length": Spread(6, 1, 10)})
    assert [row.parameters["size"] for row in report.rows] == [1, 1, 2, 2, 3]
    assert first.latency is not None
    assert (first.latency.count, first.latency.percentiles["p50"]) == (3, 6.0)
    told = console.file.getvalue() if isinstance(console.file, StringIO) else ""
    assert told.count("order 2/3: ") == len(a_round)  # a file is told what is being done, as it has no bar

    terminal = Console(file=StringIO(), width=50, force_terminal=True, color_system=None)
    show(terminal, question, report)
    shown = terminal.file.getvalue() if isinstance(terminal.file, StringIO) else ""
    assert re.search(r"^raft_actors  size 1\n +length 6\.00  1\.00–10\.0 +p50 ms 6\.00", shown, re.MULTILINE), shown


async def test_what_makes_figures_mean_less_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def measure(settings: Settings, case: Case) -> Sample:
        async with trio.open_nursery():
            raise WorkerFailed("no disk")

    monkeypatch.setattr(machine, "file_system", lambda _: "tmpfs")
    monkeypatch.setattr(os, "getloadavg", lambda: (99.5, 0.0, 0.0))
    question = Question(
        name="doubt",
        asks="Is it true?",
        options=(),
        plan=lambda _, engines: product(engines, [{"size": 1}]),
        measure=measure,
        columns=(),
        draw=lambda _: [],
    )
    settings = Settings(folder=tmp_path, output=tmp_path, rounds=1, warmup_s=1, seconds=1, values={})
    console = Console(file=StringIO(), width=120)
    report = await answer(question, settings, ["raft_actors"], console)
    assert report.failures == {"raft_actors size=1, round 1": "no disk"}
    shown = console.file.getvalue() if isinstance(console.file, StringIO) else ""
    assert "is a tmpfs: syncing costs nothing there" in shown
    assert "load average 99.5" in shown


def test_an_engine_that_is_there_for_another_question_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(ENGINES, "raft_actors", attrs.evolve(OURS, only=("redis",)))
    main(["commit", "--quick", "--engines", "raft_actors", "--output", str(tmp_path)])
    assert "skipped raft_actors: it is there for redis alone" in capsys.readouterr().out
