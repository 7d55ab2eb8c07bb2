"""The diagram of a run that was really simulated: whatever the simulator writes down, the page can tell."""

from __future__ import annotations

import pytest

from raft_actors.testing.runner import Options, run_seed
from tests.diagram.browser import Page
from tests.diagram.conftest import Show
from tests.diagram.synthetic import Event

KNOWN = {
    "start",
    "stop",
    "crash",
    "disconnect",
    "pause",
    "resume",
    "role",
    "commit",
    "apply",
    "append",
    "truncate",
    "durable",
    "snapshot",
} | {"send", "receive", "lose", "fault", "heal", "call", "return", "broken"}


@pytest.fixture(scope="module")
def events() -> list[Event]:
    report = run_seed(3, Options(nodes=5, seconds=12, trace=True))
    return list(report.events)


@pytest.fixture
def page(show: Show, events: list[Event]) -> Page:
    return show(events)


def test_trace_tells_much_and_nothing_that_the_diagram_has_no_words_for(events: list[Event]) -> None:
    kinds = {event["kind"] for event in events}
    assert kinds <= KNOWN
    assert {"start", "crash", "role", "commit", "apply", "send", "receive", "lose", "fault", "heal", "call"} <= kinds


def test_events_of_every_kind_have_all_their_words(page: Page) -> None:
    sentences = page.evaluate("""(() => {
        const {trace, details} = diagram;
        const some = trace.kinds.flatMap((kind) => [...trace.events(kind).slice(0, 15)]);
        return some.map((event) => {
            details.show(event);
            return document.querySelector("#details h2").textContent;
        });
    })()""")
    assert [sentence for sentence in sentences if "undefined" in sentence or "null" in sentence] == []
    assert page.complaints() == []


def test_every_way_of_a_message_has_two_ends(page: Page, events: list[Event]) -> None:
    ends = page.evaluate("[...diagram.model.deliveries.outcome]")
    assert len(ends) - ends.count(3) == sum(event["kind"] in ("receive", "lose") for event in events)
    assert page.evaluate("diagram.model.deliveries.send.every((send) => send >= 0)")


def test_what_is_healed_is_over(page: Page, events: list[Event]) -> None:
    """Every run ends healed; only the faults of clocks, and what destroyed a disk, are not undone by an event."""
    spans = page.evaluate(
        "diagram.model.faults.map(({what, end, start, healed, event}) => "
        "({what, over: end < diagram.trace.end || healed >= 0, text: diagram.trace.get(event, 'text')}))"
    )
    assert spans
    assert [span for span in spans if not span["over"]] == []
    assert {span["what"] for span in spans} == {event["what"] for event in events if event["kind"] == "fault"}
