"""A diagram in a real browser: it loads in silence, from nowhere else, and takes nothing in a trace for code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.diagram.browser import Browser, Page
from tests.diagram.conftest import Show
from tests.diagram.looking import middle, place_of, selected
from tests.diagram.synthetic import Event, kinds_in, make_trace

HOSTILE = "</script><img src=x onerror='document.title=1'><script>document.title=2</script>"


def test_page_loads_in_silence_and_loads_nothing_else(page: Page) -> None:
    for key in ("+", "n", "o", "z", "!", "0", "Escape"):
        page.key(key)
    assert page.complaints() == []
    assert [address for address in page.requests() if not address.startswith(("file:", "data:"))] == []
    assert len([address for address in page.requests() if address.startswith("file:")]) == 1


def test_made_up_trace_has_every_kind(trace: list[Event]) -> None:
    wanted = "start crash role commit apply append truncate durable snapshot send receive lose fault heal call return"
    traces = [trace, *(make_trace(seed, seconds=8) for seed in range(3))]
    assert {*wanted.split(), "pause", "resume", "broken"} <= set().union(*map(kinds_in, traces))


def test_page_knows_every_event_as_it_was(page: Page, trace: list[Event]) -> None:
    found = page.evaluate("Array.from({length: diagram.trace.count}, (_, event) => diagram.trace.toObject(event))")
    assert found == trace


def test_odd_values_come_through(show: Show) -> None:
    event: dict[str, Any] = {"t": 0.25, "n": 3, "kind": "__proto__", "constructor": "x", "__proto__": [1, {"a": None}]}
    page = show([event, {"t": 0.5, "n": 4, "kind": "constructor", "node": "n1", "other": False, "low": -5}])
    assert page.evaluate("JSON.stringify(diagram.trace.toObject(0))") == json.dumps(event, separators=(",", ":"))
    page.key("n")
    assert "__proto__" in page.text("#details")
    page.key("n")
    assert "constructor" in page.text("#details h2")
    assert page.complaints() == []


@pytest.mark.parametrize(
    "events", [[], [{"t": 1.5, "kind": "start", "node": "n1"}], [{"t": 0, "kind": "lose", "id": 4}]]
)
def test_tiny_traces_are_shown_too(show: Show, events: list[Event]) -> None:
    page = show(events)
    for key in ("+", "-", "n", "o", "z", "!"):
        page.key(key)
    page.click(*middle(page))
    assert page.text("#summary").endswith("event" if len(events) == 1 else "events")
    assert page.complaints() == []


def test_trace_that_begins_in_the_middle_is_shown(show: Show, trace: list[Event]) -> None:
    page = show(trace[len(trace) // 2 :])
    page.key("+")
    page.key("n")
    assert selected(page) is not None
    assert page.complaints() == []


def test_broken_page_says_so(show: Show, browser: Browser, tmp_path: Path, trace: list[Event]) -> None:
    show(trace)
    path = tmp_path / "out.html"
    text = path.read_text()
    start = text.index('octet-stream">') + len('octet-stream">')
    path.write_text(text[:start] + "AAAA" + text[start + 4 :])
    page = browser.open(path.as_uri())
    assert "The trace can't be read" in page.text("#summary")


def test_text_of_the_trace_stays_text(show: Show) -> None:
    fields = {"node": HOSTILE, "text": HOSTILE, HOSTILE: HOSTILE, "why": HOSTILE}
    kinds = ["start", "role", "fault", "call", "crash", "broken", HOSTILE, "send", "append"]
    page = show(
        [
            {"t": number / 10, "n": number, "kind": kind, "to": HOSTILE, "type": HOSTILE, "what": HOSTILE, "id": 1}
            | {"role": HOSTILE, "client": HOSTILE, "invariant": HOSTILE, "first_index": HOSTILE, "operation": 1}
            | fields
            for number, kind in enumerate(kinds)
        ],
        title=HOSTILE,
    )
    for _ in kinds:
        page.key("n")
        assert HOSTILE in page.text("#details")
    page.press("#tab-events")
    page.evaluate(f"diagram.elements.query.value = {json.dumps(HOSTILE)}; diagram.search()")
    page.mouse("mouseMoved", *place_of(page, 2))
    page.settle()
    assert page.evaluate("document.title") == HOSTILE
    assert page.evaluate("document.querySelectorAll('img, script').length") == 2
    assert page.complaints() == []


def test_script_that_got_in_would_not_run(page: Page) -> None:
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 1'}))")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title = 2\">')")
    page.settle()
    assert page.evaluate("document.title") == "a run"
