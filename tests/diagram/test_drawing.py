"""A diagram in a real browser: what is drawn, and what is left out where it is too much."""

from __future__ import annotations

import pytest

from tests.diagram.browser import Page
from tests.diagram.conftest import Show
from tests.diagram.looking import colours, has, middle, rows_of, selected, serial
from tests.diagram.synthetic import Event, make_trace


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_roles_faults_and_the_failure_have_their_colours(show: Show, trace: list[Event], dark: bool) -> None:
    page = show(trace, dark=dark)
    for name in ("paper", "leader", "follower", "fault", "loss", "broken", "append", "call-ok"):
        assert has(page, name) > 50, name
    assert rows_of(page.screenshot()) > 100
    assert (page.evaluate("diagram.palette.get('paper')") == "#12171e") == dark


def test_theme_can_be_turned(page: Page) -> None:
    light = colours(page)
    page.press("#theme")
    dark = colours(page)
    assert max(light, key=light.__getitem__) != max(dark, key=dark.__getitem__)
    page.press("#theme")
    assert colours(page) == light


def test_sharp_screens_get_more_pixels(show: Show, trace: list[Event]) -> None:
    once, twice = (show(trace, scale=scale).evaluate("diagram.elements.picture.width") for scale in (1, 2))
    assert twice == 2 * once


def test_zoomed_out_messages_are_bars_and_zoomed_in_arrows(show: Show) -> None:
    page = show(make_trace(seconds=60, calls_per_second=20))
    assert "too close together for arrows" in page.text("#density")
    dense, drawn = page.evaluate("[diagram.picture.messages.dense, diagram.picture.messages.lines.ways.length]")
    assert dense > 5000 > drawn
    page.evaluate("diagram.view.centre(30e6, 1e6)")
    page.settle()
    assert page.evaluate("diagram.picture.messages.dense") == 0
    assert page.evaluate("diagram.picture.messages.lines.ways.length") > 50
    assert "messages in view" in page.text("#density")


def test_what_is_out_of_view_is_not_looked_at(show: Show) -> None:
    page = show(make_trace(seconds=60, calls_per_second=20))
    page.evaluate("diagram.view.centre(30e6, 1e5)")
    page.settle()
    from_, to = page.evaluate("diagram.filter.intervals.touching(diagram.view.start, diagram.view.end)")
    assert 0 < to - from_ < 300


def test_intervals_that_touch_a_range_are_all_found(page: Page, trace: list[Event]) -> None:
    # Against looking at every one of them.
    assert (
        page.evaluate("""(() => {
        const {starts, ends} = diagram.filter.intervals;
        for (let from = 0; from < 8e6; from += 37123) {
            const [first, last] = diagram.filter.intervals.touching(from, from + 2000);
            for (let position = 0; position < starts.length; position++) {
                const touches = ends[position] >= from && starts[position] <= from + 2000;
                if (touches && !(position >= first && position < last)) return [from, position];
            }
        }
        return "all";
    })()""")
        == "all"
    )


def test_big_trace_works(show: Show) -> None:
    trace = make_trace(seconds=60, calls_per_second=100, nodes=7)
    assert sum(event["kind"] == "send" for event in trace) > 10_000
    page = show(trace)
    x, y = middle(page)
    for _ in range(10):
        page.wheel(x, y, -300)
    for _ in range(10):
        page.wheel(x, y, 400)
    page.press("#failure")
    assert selected(page) == serial(trace, "broken")
    assert page.complaints() == []
