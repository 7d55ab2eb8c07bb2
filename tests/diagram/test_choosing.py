"""A diagram in a real browser: what a click or a key chooses, and all that is told of it."""

from __future__ import annotations

import json

import pytest

from tests.diagram.browser import Page
from tests.diagram.conftest import Show
from tests.diagram.looking import approach, colours, place_of, selected, serial
from tests.diagram.synthetic import Event

CHOICES = ["commit", "apply", "append", "durable", "snapshot", "crash", "start", "fault", "call", "lose"]


@pytest.mark.parametrize("kind", CHOICES)
def test_click_tells_all_about_what_is_there(page: Page, trace: list[Event], kind: str) -> None:
    number = serial(trace, kind)
    approach(page, number, 4)
    page.click(*place_of(page, number))
    chosen = selected(page)
    assert chosen is not None
    event = trace[chosen]
    sent = kind == "lose" and event["kind"] == "send" and event["id"] == trace[number]["id"]
    assert sent or event["kind"] == kind, event
    details = page.text("#details")
    for name, value in event.items():
        if name not in ("t", "n", "kind"):
            assert name in details
            assert str(value) in details or json.dumps(value, separators=(",", ":")) in details
    assert f"event {chosen} " in details


def test_click_on_an_arrow_shows_both_ends(page: Page, trace: list[Event]) -> None:
    number = serial(trace, "send", type="RequestVote")
    received = serial(trace, "receive", id=trace[number]["id"])
    approach(page, number, 10)
    start, end = place_of(page, number), place_of(page, received)
    bare = colours(page, "overlay")
    page.click(start[0] + (end[0] - start[0]) * 0.5, start[1] + (end[1] - start[1]) * 0.5)
    assert selected(page) == number
    assert "received" in page.text("#details .links")
    assert colours(page, "overlay") != bare
    page.key("o")
    assert selected(page) == received
    page.press("#details .links button")
    assert selected(page) == number


def test_duplicates_and_losses_are_told(page: Page, trace: list[Event]) -> None:
    ids = [event["id"] for event in trace if event["kind"] == "receive"]
    twice = next(number for number in ids if ids.count(number) == 2)
    page.evaluate(f"diagram.select({serial(trace, 'send', id=twice)})")
    page.settle()
    assert "received again" in page.text("#details .links")
    lost = serial(trace, "lose")
    page.evaluate(f"diagram.select({lost})")
    page.settle()
    assert f"lost: {trace[lost]['why']}" in page.text("#details h2")


def test_details_tell_what_every_node_had_told_of_itself(page: Page, trace: list[Event]) -> None:
    last = {
        (event["node"], event["kind"]): event
        for event in trace
        if event["t"] < 5 and event["kind"] in ("role", "commit", "apply", "append")
    }
    upto = max(event["n"] for event in trace if event["t"] < 5)
    page.evaluate(f"diagram.select({upto})")
    page.settle()
    rows = page.evaluate(
        "[...document.querySelectorAll('#details tbody tr')].map((row) => [...row.cells].map((cell) => cell.innerText))"
    )
    assert [row[0] for row in rows] == ["n1", "n2", "n3", "n4", "n5"]
    for name, role, term, _, commit, applied in rows:
        told = last[name, "role"]
        assert (role, term) == (told["role"], str(told["term"]))
        assert commit == str(last[name, "commit"]["index"])
        assert applied == str(last[name, "apply"]["last_index"])


def test_keys_step_from_event_to_event(page: Page, trace: list[Event]) -> None:
    page.key("n")
    assert selected(page) == 0
    page.key("n")
    assert selected(page) == 1
    page.key("N")
    assert trace[selected(page) or 0]["node"] == trace[1]["node"]
    page.key("P")
    page.key("p")
    assert selected(page) == 0
    assert trace[0]["node"] in page.text("#announcer")
    page.key("Escape")
    assert selected(page) is None


def test_selection_is_in_the_address_and_comes_from_it(show: Show, trace: list[Event]) -> None:
    page = show(trace, address="#n=40")
    assert selected(page) == 40
    page.key("n")
    assert page.evaluate("location.hash") == "#n=41"


def test_hover_shows_what_it_is(page: Page, trace: list[Event]) -> None:
    number = serial(trace, "commit")
    approach(page, number)
    assert page.evaluate("diagram.elements.tip.hidden")
    page.mouse("mouseMoved", *place_of(page, number))
    page.settle()
    assert "committed up to" in page.text("#tip")
