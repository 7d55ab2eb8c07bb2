"""examples/http_service as three processes: a client that follows redirects, a lost leader, and what is refused."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("n1", "n2", "n3")
MODULE = "examples.http_service.__main__".removesuffix(".__main__")


class Client:
    """Asks one node, and goes where it sends it."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self.addresses = addresses

    def ask(self, method: str, node: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The answer of whoever answers in the end; 503 says to try again."""
        give_up = time.monotonic() + 30
        address = self.addresses[node]
        while time.monotonic() < give_up:
            with contextlib.closing(http.client.HTTPConnection(address, timeout=10)) as connection:
                text = None if body is None else json.dumps(body)
                try:
                    connection.request(method, path, text, {"Content-Type": "application/json"})
                    response = connection.getresponse()
                    found = json.loads(response.read())
                except OSError:  # a node that is gone: the others learn of it in a moment
                    found, status, location = {}, 503, None
                else:
                    status, location = response.status, response.getheader("Location")
            if location is not None:
                address = urlsplit(location).netloc
            elif status == 503:
                address = self.addresses[node]
            else:
                return status, found
        raise AssertionError(f"{method} {path}: nobody answered")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Client, dict[str, subprocess.Popen[str]]]]:
    with contextlib.ExitStack() as stack:  # all are held until the last is known, so that no two are the same
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2 * len(NAMES))]
        ports = [str(one.getsockname()[1]) for one in held]
    raft, served = ports[: len(NAMES)], ports[len(NAMES) :]
    options = [f"--raft-ports={','.join(raft)}", f"--http-ports={','.join(served)}", f"--folder={tmp_path}"]
    running: dict[str, subprocess.Popen[str]] = {}
    try:
        for name in NAMES:
            command = [sys.executable, "-m", MODULE, name, *options]
            running[name] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for name, port in zip(NAMES, served, strict=True):
            output = running[name].stdout
            assert output is not None
            assert output.readline() == f"{name} serves http://127.0.0.1:{port}\n"
        yield Client({name: f"127.0.0.1:{port}" for name, port in zip(NAMES, served, strict=True)}), running
    finally:
        for process in running.values():
            process.kill()
            with process:
                process.wait()


def test_what_was_answered_outlives_the_leader(
    service: tuple[Client, dict[str, subprocess.Popen[str]]],
) -> None:
    client, running = service
    assert client.ask("PUT", "n1", "/config/db/host", {"value": "10.0.0.1"}) == (200, {"revision": 1})
    stale = {"value": "10.0.0.2", "if_revision": 0}
    assert client.ask("PUT", "n2", "/config/db/host", stale) == (
        409,
        {"error": "db/host was changed at revision 1, not 0"},
    )
    assert client.ask("PUT", "n2", "/config/db/host", {"wrong": 1})[0] == 400
    assert client.ask("GET", "n3", "/config/web/port")[0] == 404
    _, health = client.ask("GET", "n3", "/health")

    leader = health["leader"]
    process = running.pop(leader)
    process.send_signal(signal.SIGTERM)
    with process:
        assert process.wait() == 0
    other = next(iter(running))
    assert client.ask("GET", other, "/config/db/host") == (200, {"value": "10.0.0.1", "revision": 1})
    assert client.ask("DELETE", other, "/config/db/host") == (200, {"revision": 2})
