"""A headless Chromium, driven through its DevTools protocol over a pair of pipes: no port, no driver, no package."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE_S = 120  # until a browser that says nothing is taken to hang; nothing is measured
# Chromium reads commands from file descriptor 3 and answers on 4: a small program puts the pipes there.
PUT_PIPES = """
import os, sys
source, target = (os.dup(int(number)) for number in sys.argv[1:3])
high = [os.dup2(number, 100 + place) for place, number in enumerate((source, target))]
for place, number in enumerate(high): os.dup2(number, 3 + place)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find_browser() -> str | None:
    """The path of one that is installed."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@attrs.define
class Pipe:
    """Commands out, answers and events in: JSON texts that end with a zero byte."""

    write_to: int
    read_from: int
    rest: bytes = b""
    number: int = 0
    events: list[dict[str, Any]] = attrs.field(factory=list[dict[str, Any]])

    def ask(self, method: str, session: str | None = None, /, **params: object) -> dict[str, Any]:
        """The answer to a command. Events that come before it are kept."""
        self.number += 1
        command: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if session is not None:
            command["sessionId"] = session
        self._write(json.dumps(command).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self.number:
                assert "error" not in answer, (method, answer["error"])
                return dict(answer["result"])
            self.events.append(answer)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.write_to, data) :]

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_S
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.read_from], [], [], max(0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            chunk = os.read(self.read_from, 1 << 20)
            assert chunk, "the browser has gone"
            self.rest += chunk
        text, _, self.rest = self.rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(text)
        return answer


@attrs.define
class Page:
    """One page in the browser."""

    pipe: Pipe
    session: str

    def ask(self, method: str, /, **params: object) -> dict[str, Any]:
        return self.pipe.ask(method, self.session, **params)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, once it is there if it is a promise."""
        answer = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def close(self) -> None:
        self.ask("Page.close")

    def settle(self) -> None:
        """Wait until what was asked for has been painted."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def mouse(self, kind: str, x: float, y: float, **more: object) -> None:
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x: float, y: float) -> None:
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, button="left", clickCount=1, buttons=1)
        self.mouse("mouseReleased", x, y, button="left", clickCount=1)
        self.settle()

    def drag(self, start: tuple[float, float], end: tuple[float, float], modifiers: int = 0) -> None:
        self.mouse("mouseMoved", *start)
        self.mouse("mousePressed", *start, button="left", clickCount=1, buttons=1, modifiers=modifiers)
        for share in (0.25, 0.5, 0.75, 1):
            x, y = (one + (other - one) * share for one, other in zip(start, end, strict=True))
            self.mouse("mouseMoved", x, y, button="left", buttons=1, modifiers=modifiers)
        self.mouse("mouseReleased", *end, button="left", clickCount=1, modifiers=modifiers)
        self.settle()

    def wheel(self, x: float, y: float, turned: float, modifiers: int = 0) -> None:
        self.mouse("mouseWheel", x, y, deltaX=0, deltaY=turned, modifiers=modifiers)
        self.settle()

    def key(self, key: str) -> None:
        text = {"text": key} if len(key) == 1 else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)
        self.settle()

    def press(self, selector: str) -> None:
        """Click on an element."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
        self.settle()

    def text(self, selector: str) -> str:
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def screenshot(self) -> bytes:
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])

    def complaints(self) -> list[str]:
        """What stood in the console, and errors that nothing caught."""
        self.evaluate("0")  # events that were under way have come before the answer
        loud = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}
        return [
            json.dumps(event["params"])
            for event in self.pipe.events
            if event.get("sessionId") == self.session and event["method"] in loud
        ]

    def requests(self) -> list[str]:
        """The addresses of everything that the page loaded, or tried to."""
        sent = [event for event in self.pipe.events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent if event.get("sessionId") == self.session]


@attrs.define
class Browser:
    """A running browser."""

    pipe: Pipe

    def open(self, address: str, *, width: int = 1500, height: int = 900, dark: bool = False, scale: float = 1) -> Page:
        target = self.pipe.ask("Target.createTarget", url="about:blank")["targetId"]
        page = Page(self.pipe, self.pipe.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.ask(f"{domain}.enable")
        page.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.ask("Emulation.setEmulatedMedia", features=[scheme])
        page.ask("Page.navigate", url=address)
        page.evaluate(READY)
        page.settle()
        return page


# Resolves once the page has taken its trace apart, or failed to.
READY = """
new Promise((done) => {
  const look = () => (document.documentElement?.dataset.ready || document.querySelector("#summary")?.textContent
    ? done(true) : setTimeout(look, 10));
  look();
})
"""


@contextmanager
def open_browser(profile: Path) -> Generator[Browser]:
    """Start the installed browser with this folder for its files, and end it at the end."""
    path = find_browser()
    assert path is not None
    their_end, write_to = os.pipe()
    read_from, their_other_end = os.pipe()
    arguments = ["--headless", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run"]
    arguments += ["--disable-gpu", "--hide-scrollbars", "--disable-background-networking", "--no-default-browser-check"]
    if os.geteuid() == 0:
        arguments += ["--no-sandbox", "--disable-dev-shm-usage"]  # as containers need
    with subprocess.Popen(
        [sys.executable, "-c", PUT_PIPES, str(their_end), str(their_other_end), path, *arguments],
        pass_fds=(their_end, their_other_end),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(their_end)
        os.close(their_other_end)
        try:
            yield Browser(Pipe(write_to, read_from))
        finally:
            os.close(write_to)  # it takes this as its sign to leave
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
            os.close(read_from)
