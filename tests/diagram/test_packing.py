"""From events to columns and on to the page: nothing is lost, and nothing of it is taken for HTML."""

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_actors.errors import ConfigurationError
from raft_actors.observe.diagram import pack, read_trace, write_diagram
from raft_actors.observe.diagram.page import SCRIPTS, render_page
from tests.diagram.synthetic import Event, make_trace

FOLDER = Path(__file__).parents[2] / "raft_actors" / "observe" / "diagram"
HOSTILE = "</script><script>alert(1)</script><!--"


def summed(differences: Iterable[int]) -> list[int]:
    sums, total = [], 0
    for difference in differences:
        total += difference
        sums.append(total)
    return sums


def cells(column: dict[str, list[Any]], strings: list[str]) -> list[Any]:
    """A column's values, each in a list; an empty one where there is none."""
    (encoding, values), *rest = column.items()
    assert not rest
    if encoding == "text":
        return [[] if value < 0 else [strings[value]] for value in values]
    if encoding == "other":
        return [value or [] for value in values]
    numbers = iter(summed(value for value in values if value is not None))
    return [[] if value is None else [next(numbers)] for value in values]


def unpack(packed: dict[str, Any]) -> list[Event]:
    tables = {
        kind: {name: iter(cells(column, packed["strings"])) for name, column in table.items()}
        for kind, table in packed["tables"].items()
    }
    events: list[Event] = []
    for time, serial, number in zip(summed(packed["time"]), summed(packed["serial"]), packed["kind"], strict=True):
        kind = packed["kinds"][number]
        event: Event = {"t": time / 1_000_000, "n": serial, "kind": kind}
        for name, column in tables[kind].items():
            for value in next(column):
                event[name] = value
        events.append(event)
    return events


def in_page(page: str) -> dict[str, Any]:
    match = re.search(r'<script id="trace"[^>]*>([^<]*)</script>', page)
    assert match
    packed: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(match[1])))
    return packed


def test_page_holds_every_event_of_the_trace() -> None:
    trace = make_trace(seconds=3)
    assert unpack(in_page(render_page(trace, title="a run"))) == trace


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
FIELDS = st.dictionaries(st.sampled_from(["node", "term", "text", "groups", "__proto__", ""]), VALUES)


@given(
    st.lists(st.tuples(st.sampled_from(["send", "odd", "__proto__", ""]), st.integers(0, 10**12), FIELDS), max_size=8)
)
def test_any_json_survives(rows: list[tuple[str, int, Event]]) -> None:
    events = [
        {"t": time / 1_000_000, "n": number, "kind": kind} | fields
        for number, (kind, time, fields) in enumerate(sorted(rows, key=lambda row: row[1]))
    ]
    assert unpack(json.loads(json.dumps(pack(events)))) == events


def test_events_are_ordered_by_time_and_then_by_number() -> None:
    events = [
        {"t": 2.0, "n": 3, "kind": "late"},
        {"t": 1.0, "n": 2, "kind": "second"},
        {"t": 1.0, "n": 1, "kind": "first"},
    ]
    assert [event["kind"] for event in unpack(pack(events))] == ["first", "second", "late"]


def test_events_without_numbers_are_numbered_by_their_place() -> None:
    events = [{"t": 1.0, "kind": "one"}, {"t": 1.0, "kind": "two"}]
    assert [(event["kind"], event["n"]) for event in unpack(pack(events))] == [("one", 0), ("two", 1)]


def test_what_json_or_javascript_cannot_hold_becomes_text() -> None:
    event = {"t": 0, "n": 0, "kind": "odd", "big": 2**60, "nan": float("nan"), "bytes": b"x", "set": {"b", "a"}}
    assert unpack(pack([event]))[0] == event | {"big": str(2**60), "nan": "nan", "bytes": "b'x'", "set": ["a", "b"]}


def test_values_within_themselves_end_somewhere() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert json.dumps(pack([{"t": 0, "kind": "odd", "value": endless}]))


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        ({"kind": "send"}, "event 1 of the trace has no time: t=None"),
        ({"t": "1", "kind": "send"}, "event 1 of the trace has no time: t='1'"),
        ({"t": float("inf"), "kind": "send"}, "event 1 of the trace has no time: t=inf"),
        ({"t": 1e300, "kind": "send"}, "event 1 of the trace has a time that no clock shows"),
        ({"t": 1, "n": 1.5, "kind": "send"}, "event 1 of the trace has no serial number: n=1.5"),
        ({"t": 1, "n": 1}, "event 1 of the trace has no kind: kind=None"),
    ],
)
def test_what_is_no_event_is_named(event: Event, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{re.escape(complaint)}"):
        pack([{"t": 0, "kind": "start"}, event])


def test_packing_beats_lines_of_json_many_times() -> None:
    trace = make_trace(seconds=10, calls_per_second=100)
    lines = sum(len(json.dumps(event)) for event in trace)
    code = len(render_page([], title=""))
    assert (len(render_page(trace, title="")) - code) * 15 < lines


def test_nothing_in_a_trace_or_title_is_taken_for_html() -> None:
    event = {"t": 0, "kind": HOSTILE, "node": HOSTILE, HOSTILE: HOSTILE, "text": "\ud800 \u2028"}
    page = render_page([event], title=HOSTILE + "\"'&$x")
    assert "alert(1)" not in page.replace("&lt;script&gt;alert(1)", "")
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    assert unpack(in_page(page))[0]["text"] == "\ud800 \u2028"


def test_page_refers_to_nothing_outside_and_forbids_everything_else() -> None:
    page = render_page(make_trace(seconds=1), title="a run")
    assert not re.search(r"(?i)https?:|<iframe|<img|@import|url\(|\bsrc=", page)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    for tag in ("script", "style"):
        texts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        assert len(texts) == 1
        digest = base64.b64encode(hashlib.sha256(texts[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]
    assert policy[1].startswith("default-src 'none'; ")
    assert "unsafe" not in policy[1]


def test_page_holds_every_script_of_the_package() -> None:
    assert sorted(SCRIPTS) == sorted(path.name for path in (FOLDER / "script").iterdir())
    for name in SCRIPTS:
        assert "innerHTML" not in (FOLDER / "script" / name).read_text()


def test_diagram_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "out.html"
    path.write_text("before")
    write_diagram(iter(make_trace(seconds=0.5)), path, title="seed 7 \ud800")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere.out\.html can't be written: No such file or directory"):
        write_diagram([], tmp_path / "nowhere" / "out.html", title="")


def test_trace_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text('{"t": 0, "kind": "start"}\n\n{"t": 1, "kind": "stop"}\n')
    assert list(read_trace(path)) == [{"t": 0, "kind": "start"}, {"t": 1, "kind": "stop"}]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"{", "line 2 is no JSON"),
        (b"[1]", "line 2 is no event: a JSON object was expected"),
        (b"\xff", "line 2 is no JSON"),
    ],
)
def test_line_that_is_no_event_is_named(tmp_path: Path, line: bytes, complaint: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b'{"t": 0, "kind": "start"}\n' + line)
    with pytest.raises(ConfigurationError, match=complaint):
        list(read_trace(path))
