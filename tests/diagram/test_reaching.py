"""A diagram in a real browser: everybody can use it, with a keyboard, a screen reader or a narrow window."""

from __future__ import annotations

from tests.diagram.browser import Page
from tests.diagram.conftest import Show
from tests.diagram.synthetic import Event


def test_every_control_has_a_name_and_can_be_reached(page: Page) -> None:
    nameless = page.evaluate("""[...document.querySelectorAll("button, input, canvas:not([aria-hidden])")]
        .filter((one) => !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length))
        .map((one) => one.outerHTML)""")
    assert nameless == []
    nodes = page.ask("Accessibility.getFullAXTree")["nodes"]
    roles = {(node["role"]["value"], node.get("name", {}).get("value")) for node in nodes if not node["ignored"]}
    assert ("application", "Space-time diagram") in roles
    assert ("searchbox", "Search the events: words that must all occur, or field=value") in roles
    assert ("button", "Zoom in") in roles
    reached = set()
    for _ in range(60):
        page.ask("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"query", "zoom-in", "fit", "picture", "tab-details", "show-all", "verdict"} <= reached


def test_tabs_turn_with_arrow_keys(page: Page) -> None:
    page.evaluate("document.querySelector('#tab-details').focus()")
    page.key("ArrowRight")
    assert page.evaluate("document.querySelector('#details').hidden && !document.querySelector('#events').hidden")
    assert page.evaluate("document.activeElement.id") == "tab-events"


def test_help_opens_and_closes(page: Page) -> None:
    page.key("?")
    assert page.evaluate("document.querySelector('#help').open")
    page.press("#help form button")
    assert not page.evaluate("document.querySelector('#help').open")


def test_narrow_window_shows_all_parts_one_below_the_other(show: Show, trace: list[Event]) -> None:
    page = show(trace, width=600, height=900)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("diagram.view.width") > 400
