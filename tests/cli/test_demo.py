"""`raft-actors demo`: a whole run, its verdict, and its end when it is interrupted."""

from __future__ import annotations

import importlib.util
import io
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from raft_actors.cli.demo_cluster import Cluster
from raft_actors.cli.demo_load import Acknowledgement, Loader
from raft_actors.cli.demo_report import LinesBar, figures
from raft_actors.cli.demo_text import Comparison, DemoError, compare, default_text, key_of, read_lines
from raft_actors.cli.main import main
from tests.signals import sigint

DEMO = [sys.executable, "-m", "raft_actors.cli", "demo"]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text"
    path.write_text("".join(f"line {number}\n" * (number % 3) + "\n" for number in range(200)))
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo makes its temporary folder."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return path


def assert_nothing_left(folder: Path) -> None:
    assert list(folder.iterdir()) == []
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert str(folder) not in arguments.read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue


def test_a_whole_run(text: Path, folder: Path) -> None:
    done = subprocess.run([*DEMO, str(text)], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
    lines = len(read_lines(text))
    assert f"Every node holds every one of the {lines} acknowledged lines." in done.stdout
    assert done.stdout.count(f"all {lines} lines") == 3
    assert "with SIGKILL after " in done.stdout
    assert "n4 has joined, caught up, and votes, after " in done.stdout
    assert " has left, after " in done.stdout
    assert f"{lines} of {lines} lines stored" in done.stdout
    assert "too few lines" not in done.stdout
    assert_nothing_left(folder)


def test_missing_data_are_found(
    text: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = Cluster.contents

    def contents(cluster: Cluster, node_id: str) -> dict[bytes, bytes]:
        found = original(cluster, node_id)
        if node_id == "n4":  # the one that joins; of the others, any may leave
            del found[key_of(4)]
        return found

    monkeypatch.setattr(Cluster, "contents", contents)
    assert main(["demo", str(text)]) == 1
    said = capsys.readouterr().out
    assert "ACKNOWLEDGED DATA ARE MISSING OR DIFFER" in said
    assert "1 missing" in said
    assert_nothing_left(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path: Path, folder: Path, number: signal.Signals) -> None:
    # So long that it is at work still when the signal comes, however late this process gets its turn.
    text = tmp_path / "long.txt"
    text.write_text("".join(f"line {number}\n" for number in range(50_000)))
    with sigint(signal.default_int_handler):
        process = subprocess.Popen([*DEMO, str(text)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "leads" in line:
            process.send_signal(number)
            break
    _, error = process.communicate()
    assert process.returncode == 130
    assert error == "raft-actors: interrupted\n"
    assert_nothing_left(folder)


def test_a_node_that_does_not_start_is_heard(
    text: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = Cluster.__init__

    def init(cluster: Cluster, path: Path, size: int, _options: tuple[str, ...], *, spare: int) -> None:
        original(cluster, path, size, ("--heartbeat-ms=9999",), spare=spare)

    monkeypatch.setattr(Cluster, "__init__", init)
    assert main(["demo", str(text)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "raft-actors: node n1 ended with exit code 2:\n  n1: raft-actors: --heartbeat-ms 9999 must be"
    )
    assert_nothing_left(folder)


def test_a_node_that_dies_is_heard(tmp_path: Path) -> None:
    with Cluster(tmp_path, 3, ()) as cluster:
        cluster.start("n1")
        cluster.check()
        process = cluster.nodes["n1"].process
        assert process is not None
        process.kill()
        process.wait()
        with pytest.raises(DemoError, match="node n1 ended by signal SIGKILL"):
            cluster.check()


@pytest.mark.parametrize("module", ["rich", "redis"])
def test_missing_extras(module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else found(name))
    assert main(["demo"]) == 1
    assert capsys.readouterr().err == f"raft-actors: the demo needs {module}: pip install 'raft-actors[cli]'\n"


def test_a_text_that_is_missing_or_too_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", str(tmp_path / "none")]) == 1
    assert "can't read" in capsys.readouterr().err
    (tmp_path / "short").write_text("one line\n")
    assert main(["demo", str(tmp_path / "short")]) == 1
    assert "has 1 lines" in capsys.readouterr().err


def test_the_default_text_is_substantial() -> None:
    assert len(read_lines(default_text())) > 5_000


@pytest.mark.parametrize("terminal", [True, False])
def test_progress(terminal: bool) -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, width=100)
    with LinesBar(console, 200).shown() as bar:
        for count in (0, 19, 20, 21, 100, 200):
            bar.show(count)
        bar.say("Something happened.")
    said = written.getvalue()
    assert "Something happened." in said
    if terminal:
        assert "200/200" in said
    else:
        tenths = [f"  {count} of 200 lines stored" for count in (20, 100, 200)]
        assert said.splitlines() == [*tenths, "Something happened."]


# --- the verdict ---

LINES = [b"a", b"b", b"", b"d"]
STORED = {b"1": b"a", b"2": b"b", b"3": b"", b"4": b"d"}


@pytest.mark.parametrize(
    ("acknowledged", "changes", "expected", "shown"),
    [
        ([True] * 4, {}, Comparison((), (), (), 4), "all 4 lines"),
        ([True, True, False, True], {b"3": None}, Comparison((), (), (), 3), "all 3 lines"),
        ([True] * 4, {b"3": None}, Comparison((b"3",), (), (), 3), "1 missing (first: line 3)"),
        ([True] * 4, {b"1": b"x"}, Comparison((), (b"1",), (), 3), "1 different (first: line 1)"),
        ([False] * 4, {b"1": b"x"}, Comparison((), (b"1",), (), 0), "1 different (first: line 1)"),
        ([True] * 4, {b"5": b"e"}, Comparison((), (), (b"5",), 4), "1 unexpected (first: line 5)"),
        (
            [True] * 4,
            dict.fromkeys(STORED),
            Comparison((b"1", b"2", b"3", b"4"), (), (), 0),
            "4 missing (first: line 1)",
        ),
    ],
)
def test_compare(
    acknowledged: list[bool], changes: dict[bytes, bytes | None], expected: Comparison, shown: str
) -> None:
    stored = {key: value for key, value in {**STORED, **changes}.items() if value is not None}
    found = compare(LINES, acknowledged, stored)
    assert found == expected
    assert str(found) == shown
    assert found.good == (shown.startswith("all"))


def test_figures() -> None:
    times = [(10.5, 10.4), (11.0, 10.9), (12.01, 11.9), (13.0, 12.1), (13.5, 13.0), (14.0, 13.9), (15.0, 14.1)]
    found = figures([Acknowledgement(*one) for one in times], started_s=10.0, killed_s=12.0)
    assert (found.before, found.failover_s, found.after) == (1.0, 1.0, 1.5)
    assert figures([], 10.0, 12.0) == figures([Acknowledgement(12.5, 11.5)], 10.0, 12.0)
    assert figures([], 10.0, 12.0).failover_s is None


def test_an_error_that_trying_again_can_not_help_ends_the_load(tmp_path: Path) -> None:
    with Cluster(tmp_path, 3, ()) as cluster:
        cluster.start(*cluster.nodes)
        leader = cluster.wait_leader("n1")
        ports = {leader: cluster.nodes[leader].redis_port}
        with Loader(ports, [b"x" * 9_000_000, b""], 1) as loader, pytest.raises(DemoError, match="max-command-bytes"):
            loader.wait_count(1, timeout_s=60)
