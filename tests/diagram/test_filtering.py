"""A diagram in a real browser: what is hidden, listed and searched for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.diagram.browser import Page
from tests.diagram.looking import approach, has, selected, serial, shown
from tests.diagram.synthetic import Event


def boxes(page: Page, group: str) -> list[str]:
    names: list[str] = page.evaluate(
        f"[...document.querySelectorAll('[data-filter^=\"{group}:\"]')].map((box) => box.dataset.filter)"
    )
    return names


def tick(page: Page, name: str) -> None:
    page.press(f"[data-filter={json.dumps(name)}]")


def test_types_of_messages_can_be_hidden(page: Page, trace: list[Event]) -> None:
    types = {event["type"] for event in trace if event["kind"] == "send"}
    assert boxes(page, "type") == [f"type:{name}" for name in sorted(types)]
    before = has(page, "append")
    for name in types - {"RequestVote"}:
        tick(page, f"type:{name}")
    kinds = page.evaluate(
        "[...new Set([...diagram.filter.ways].map((way) => diagram.model.deliveries.type[way]))].length"
    )
    assert kinds == 1
    assert has(page, "append") < before / 10
    page.press("#show-all")
    assert has(page, "append") == before


@pytest.mark.parametrize(
    ("name", "colour"),
    [
        ("kind:crash", "loss"),
        ("kind:faults", "fault"),
        ("kind:client calls", "call-ok"),
        ("kind:broken invariant", "broken"),
    ],
)
def test_kinds_can_be_hidden(page: Page, name: str, colour: str) -> None:
    before = has(page, colour)
    tick(page, name)
    assert has(page, colour) < before
    tick(page, name)
    assert has(page, colour) == before


def test_nodes_and_losses_can_be_hidden(page: Page, trace: list[Event]) -> None:
    tick(page, "node:n2")
    assert page.evaluate("diagram.scene.layout.nodes") == [0, 2, 3, 4]
    ends = page.evaluate(
        "[...diagram.filter.ways].map((way) => ['from', 'to'].map((end) => diagram.model.deliveries[end][way]))"
    )
    assert ends
    assert all(1 not in pair for pair in ends)
    tick(page, "outcome:lost")
    outcomes = page.evaluate(
        "[...new Set([...diagram.filter.ways].map((way) => diagram.model.deliveries.outcome[way]))]"
    )
    assert sorted(outcomes) == [0, 1]


def test_terms_can_be_chosen(page: Page) -> None:
    page.evaluate("""(() => {
        const box = document.querySelector("#term-from");
        box.value = 3;
        box.dispatchEvent(new Event("input"));
    })()""")
    page.settle()
    terms = page.evaluate(
        "[...new Set([...diagram.filter.ways].map((way) => diagram.model.deliveries.term[way]))].sort()"
    )
    assert terms
    assert min(terms) == 3


def test_hidden_selection_is_dropped(page: Page, trace: list[Event]) -> None:
    page.evaluate(f"diagram.select({serial(trace, 'commit')})")
    tick(page, "kind:commit")
    assert selected(page) is None


def test_events_in_view_are_listed(page: Page, trace: list[Event]) -> None:
    page.press("#tab-events")
    assert "zoom in for the others" in page.text("#events")
    number = serial(trace, "truncate")
    approach(page, number, 1)
    start, end = shown(page)
    listed = page.evaluate(
        "[...document.querySelectorAll('#events button')].map((button) => Number(button.dataset.event))"
    )
    assert listed == [event["n"] for event in trace if start <= event["t"] * 1e6 <= end]
    page.press(f'#events [data-event="{number}"]')
    assert selected(page) == number
    assert page.evaluate("document.querySelector('#events [aria-current]').dataset.event") == str(number)


def test_list_leaves_out_what_is_hidden(page: Page, trace: list[Event]) -> None:
    page.press("#tab-events")
    approach(page, serial(trace, "truncate"), 100)
    read = "[...document.querySelectorAll('#events button')].map((button) => Number(button.dataset.event))"
    before = page.evaluate(read)
    assert {"append", "truncate"} <= {trace[number]["kind"] for number in before}
    tick(page, "kind:append to the log")
    assert page.evaluate(read) == [number for number in before if trace[number]["kind"] != "append"]


def search(page: Page, query: str) -> None:
    page.evaluate(f"diagram.elements.query.value = {json.dumps(query)}; diagram.search()")
    page.settle()


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        (
            "RequestVote n3",
            lambda event: (
                {"RequestVote", "RequestVoteReply"} & {event.get("type")}
                and "n3" in (event.get("to"), event.get("node"), event.get("sender"))
            ),
        ),
        ("kind=commit index=2", lambda event: event["kind"] == "commit" and event["index"] == 2),
        ("node=n2 term=2", lambda event: event.get("node") == "n2" and event.get("term") == 2),
        ("PARTITION", lambda event: "partition" in json.dumps(event)),
        ("no such thing", lambda event: False),
    ],
)
def test_search_finds_what_has_all_the_words(page: Page, trace: list[Event], query: str, wanted: Any) -> None:
    search(page, query)
    found = page.evaluate("diagram.matches")
    assert found == [event["n"] for event in trace if wanted(event)]
    assert page.text("#found") == f"{len(found):,}"


def test_search_is_stepped_through_with_keys(page: Page, trace: list[Event]) -> None:
    page.key("/")
    assert page.evaluate("document.activeElement.id") == "query"
    for letter in "kind=snapshot":
        page.key(letter)
    numbers = [event["n"] for event in trace if event["kind"] == "snapshot"]
    assert page.evaluate("diagram.matches") == numbers
    page.press("#found-after")
    assert selected(page) == numbers[0]
    page.press("#found-after")
    assert selected(page) == numbers[1]
    assert page.text("#found") == f"2 of {len(numbers)}"
    page.press("#found-before")
    assert selected(page) == numbers[0]
