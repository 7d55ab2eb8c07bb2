"""What a plot shows can be read: labels of points that are close to each other do not lie on one another."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from benchmarks.plots import Drawing, bars, lines
from benchmarks.results import Report, Row, Spread

MACHINE: dict[str, Any] = {"cpu": "a processor", "cores": 2, "file_system": "ext4", "python": "CPython"}


def row(engine: str, figure: float, **parameters: Any) -> Row:
    return Row(
        engine=engine,
        label=engine,
        durability="synced",
        parameters=parameters,
        values={"commits_per_s": Spread(figure, figure, figure)},
        latency=None,
        rounds=[],
        series={},
    )


def report(*rows: Row) -> Report:
    return Report(
        question="commit",
        asks="How many?",
        when="now",
        machine=MACHINE,
        settings={"rounds": 1},
        engines=[],
        skipped={},
        failures={},
        rows=list(rows),
    )


def overlaps(drawing: Drawing, texts: list[Any]) -> list[tuple[str, str]]:
    """Pairs of texts that lie on each other."""
    drawing.figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    assert len(boxes) > 1
    return [(one, other) for (one, a), (other, b) in itertools.combinations(boxes, 2) if a.overlaps(b)]


def test_labels_of_close_points_do_not_lie_on_each_other() -> None:
    figures = {"raft_actors": 907.0, "hashicorp": 956.0, "etcd": 1_059.0, "pysyncobj-tuned": 92.0}
    rows = [row(engine, figure * by, proposers=by) for engine, figure in figures.items() for by in (1, 64, 4096)]
    drawing = lines(report(*rows), rows, "x", x="proposers", y="commits_per_s", y_label="commits/s")
    assert overlaps(drawing, list(drawing.figure.axes[0].texts)) == []


@pytest.mark.parametrize("groups", [2, 9])
def test_names_of_many_groups_have_room(groups: int, tmp_path: Path) -> None:
    rows = [row("raft_actors", 1.0, entries=number) for number in range(groups)]
    drawing = bars(
        report(*rows),
        rows,
        "x",
        value="commits_per_s",
        y_label="s",
        group=lambda each: f"{each.parameters['entries']} entries\nsnapshot: default",
    )
    labels = drawing.figure.axes[0].get_xticklabels()
    tilted = {label.get_rotation() > 0 for label in labels}
    assert tilted == {groups > 2}
    assert tilted == {True} or overlaps(drawing, labels) == []
    assert [path.stat().st_size > 0 for path in drawing.write(tmp_path)] == [True, True]
