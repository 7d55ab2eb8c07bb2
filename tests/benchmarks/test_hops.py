"""Where the time of a commit goes: that every hand-over is found, and that nothing is looked at unless asked."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.workers.stamps import FOLLOWER, LEADER, HandOver, durations


def test_every_hand_over_of_leader_and_follower_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["hops", "--quick", "--proposers", "1", "--warmup", "0.1", "--seconds", "0.3", "--output"]
    assert main([*arguments, str(tmp_path)]) == 0
    assert "write and sync, µs" in capsys.readouterr().out
    report = json.loads((tmp_path / "hops.json").read_text(encoding="utf-8"))
    assert not report["failures"]
    for row, hand_overs in zip(report["rows"], (LEADER, FOLLOWER), strict=True):
        assert list(row["series"]) == [hand_over.name for hand_over in hand_overs]
        for median, ninth_decile, count in row["series"].values():
            assert 0 < median <= ninth_decile
            assert count > 1
        ET.parse(tmp_path / f"hops-{row['parameters']['node']}-c1.svg")


def test_a_hand_over_is_between_what_belongs_together() -> None:
    stamps = [(0.0, "a"), (1.0, "a"), (3.0, "b"), (4.0, "b"), (5.0, "c"), (6.0, "a"), (10.0, "b"), (11.0, "a")]
    assert durations(stamps, HandOver("from the last", "a", "b")) == [2, 4]
    assert durations(stamps, HandOver("from the first", "a", "b", first=True)) == [3, 4]
    assert durations(stamps, HandOver("never", "b", "d")) == []
    chain = [(0.0, "a"), (1.0, "a"), (4.0, "a")]
    assert durations(chain, HandOver("from one to the next", "a", "a")) == [1, 3]
