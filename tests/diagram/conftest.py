"""A browser for the tests that look at a page, and the pages they look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raft_actors.observe.diagram import write_diagram
from tests.diagram.browser import NAMES, Browser, Page, find_browser, open_browser
from tests.diagram.synthetic import Event, make_trace

Show = Callable[..., Page]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if find_browser() is None:
        pytest.skip(f"no browser is installed: any of {', '.join(NAMES)} would do")
    with open_browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Show]:
    """A function that writes the diagram of a trace, and opens it."""

    pages: list[Page] = []

    def show_trace(events: list[Event], *, title: str = "a run", address: str = "", **settings: object) -> Page:
        path = tmp_path / "out.html"
        write_diagram(events, path, title=title)
        pages.append(browser.open(path.as_uri() + address, **settings))  # type: ignore[arg-type]
        return pages[-1]

    yield show_trace
    for page in pages:
        page.close()


@pytest.fixture(scope="session")
def trace() -> list[Event]:
    return make_trace()


@pytest.fixture
def page(show: Show, trace: list[Event]) -> Page:
    return show(trace)
