"""A diagram in a real browser: mouse, fingers and keys move it and zoom."""

from __future__ import annotations

import pytest

from tests.diagram.browser import Page
from tests.diagram.conftest import Show
from tests.diagram.looking import middle, selected, serial, shown
from tests.diagram.synthetic import Event, make_trace

SHIFT = 8


def test_wheel_zooms_around_the_pointer(page: Page) -> None:
    x, y = middle(page)
    before = shown(page)
    time = page.evaluate(f"diagram.view.time({x - 200} - diagram.elements.picture.getBoundingClientRect().left)")
    page.wheel(x - 200, y, -400)
    after = shown(page)
    assert after[1] - after[0] < (before[1] - before[0]) * 0.7
    same = page.evaluate(f"diagram.view.time({x - 200} - diagram.elements.picture.getBoundingClientRect().left)")
    assert same == pytest.approx(time, rel=1e-6)
    page.wheel(x, y, 5000)
    assert shown(page) == before


def test_wheel_with_shift_and_dragging_move(page: Page) -> None:
    x, y = middle(page)
    page.wheel(x, y, -800)
    start, end = shown(page)
    page.wheel(x, y, 100, modifiers=SHIFT)
    later = shown(page)
    assert later[0] > start
    assert later[1] - later[0] == pytest.approx(end - start)
    page.drag((x, y), (x + 100, y))
    assert shown(page)[0] == pytest.approx(start)
    assert selected(page) is None


def test_dragging_with_shift_zooms_to_what_was_marked(page: Page) -> None:
    x, y = middle(page)
    step = page.evaluate("diagram.view.step")
    page.drag((x - 100, y), (x + 100, y), modifiers=SHIFT)
    start, end = shown(page)
    assert end - start == pytest.approx(200 * step)


def test_two_fingers_zoom(page: Page) -> None:
    x, y = middle(page)
    before = shown(page)
    page.ask("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
    for kind, apart in (("touchStart", 50), ("touchMove", 75), ("touchMove", 100), ("touchEnd", 0)):
        points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}] if apart else []
        page.ask("Input.dispatchTouchEvent", type=kind, touchPoints=points)
    page.settle()
    after = shown(page)
    assert after[1] - after[0] == pytest.approx((before[1] - before[0]) / 2, rel=0.05)


def test_keys_and_buttons_zoom_move_and_fit(page: Page) -> None:
    whole = shown(page)
    page.key("+")
    zoomed = shown(page)
    assert zoomed[1] - zoomed[0] == pytest.approx((whole[1] - whole[0]) * 0.6)
    page.key("ArrowRight")
    assert shown(page)[0] > zoomed[0]
    page.key("ArrowLeft")
    assert shown(page) == pytest.approx(zoomed)
    page.key("-")
    page.press("#zoom-in")
    page.press("#fit")
    assert shown(page) == whole
    page.press("#zoom-in")
    page.press("#zoom-out")
    assert shown(page) == pytest.approx(whole)


def test_overview_moves_and_stretches_the_frame(page: Page) -> None:
    page.evaluate("diagram.view.show(2e6, 4e6)")
    page.settle()
    left, right, y = page.evaluate("""(() => {
        const box = diagram.elements.overview.getBoundingClientRect();
        return [box.left + diagram.picture.overview.x(2e6), box.left + diagram.picture.overview.x(4e6), box.top + 30];
    })()""")
    page.drag(((left + right) / 2, y), ((left + right) / 2 + (right - left) / 2, y))
    assert shown(page) == pytest.approx((3e6, 5e6), rel=1e-3)
    page.drag((right + (right - left) / 2, y), (right, y))
    assert shown(page) == pytest.approx((3e6, 4e6), rel=1e-2)


def test_failure_is_told_and_jumped_to(page: Page, trace: list[Event]) -> None:
    assert "state-machine safety at 8.0" in page.text("#verdict")
    page.key("!")
    assert selected(page) == serial(trace, "broken")
    start, end = shown(page)
    assert end - start < 1e6
    assert start < trace[selected(page) or 0]["t"] * 1e6 < end
    assert "with different commands" in page.text("#details h2")


def test_good_run_has_no_failure_to_jump_to(show: Show) -> None:
    page = show(make_trace(seconds=1, broken=False))
    assert page.evaluate("document.querySelector('#verdict').hidden && document.querySelector('#failure').disabled")
