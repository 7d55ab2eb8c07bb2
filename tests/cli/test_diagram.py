"""`raft-actors diagram`: from a trace to a page."""

import json
from pathlib import Path

import pytest

from raft_actors.cli.main import main
from tests.diagram.synthetic import make_trace


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in make_trace(seconds=1)))
    return path


def test_diagram_goes_beside_its_trace_and_bears_its_name(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagram", str(trace)]) == 0
    page = trace.with_suffix(".html")
    assert capsys.readouterr().out == f"{page}\n"
    assert "<title>run.jsonl</title>" in page.read_text()


def test_diagram_goes_where_it_is_told_and_is_called_what_it_is_told(trace: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert main(["diagram", str(trace), str(page), "--title", "seed <7>"]) == 0
    assert "<title>seed &lt;7&gt;</title>" in page.read_text()


def test_diagram_of_no_trace_names_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagram", str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl can't be read: No such file or directory" in capsys.readouterr().err


def test_trace_is_never_overwritten_by_its_own_diagram(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.html"
    path.write_text("{}\n")
    assert main(["diagram", str(path)]) == 2
    assert path.read_text() == "{}\n"
    assert "would overwrite" in capsys.readouterr().err
