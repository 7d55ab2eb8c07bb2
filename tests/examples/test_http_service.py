"""examples/http_service as three processes, one of them by the other framework; a lost leader, and what is refused."""

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

import pytest

ROOT = Path(__file__).parents[2]
FRAMEWORKS = {"n1": "quart", "n2": "fastapi", "n3": "quart"}
MODULE = "examples.http_service.__main__".removesuffix(".__main__")


class Client:
    """Asks one node, and again as long as that says it can't do it now."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self.addresses = addresses

    def ask(self, method: str, node: str, path: str, body: Any = None) -> tuple[int, Any]:
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up:
            with contextlib.closing(http.client.HTTPConnection(self.addresses[node], timeout=10)) as connection:
                text = None if body is None else json.dumps(body)
                connection.request(method, path, text, {"Content-Type": "application/json"})
                response = connection.getresponse()
                found = json.loads(response.read())
                if response.status != 503:
                    return response.status, found
                assert response.getheader("Retry-After") == "1"
        raise AssertionError(f"{method} {path}: nobody answered")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Client, dict[str, subprocess.Popen[str]]]]:
    names = tuple(FRAMEWORKS)
    with contextlib.ExitStack() as stack:  # all are held until the last is known, so that no two are the same
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2 * len(names))]
        ports = [str(one.getsockname()[1]) for one in held]
    raft, served = ports[: len(names)], ports[len(names) :]
    options = [f"--raft-ports={','.join(raft)}", f"--http-ports={','.join(served)}", f"--folder={tmp_path}"]
    running: dict[str, subprocess.Popen[str]] = {}
    try:
        for name, framework in FRAMEWORKS.items():
            command = [sys.executable, "-m", MODULE, name, f"--framework={framework}", *options]
            running[name] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for name, port in zip(names, served, strict=True):
            output = running[name].stdout
            assert output is not None
            assert output.readline() == f"{name} serves http://127.0.0.1:{port}\n"
        yield Client({name: f"127.0.0.1:{port}" for name, port in zip(names, served, strict=True)}), running
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
    for node in ("n1", "n2"):  # either framework
        stale = {"value": "10.0.0.2", "if_revision": 0}
        refused = {"error": "db/host was changed at revision 1, not 0"}
        assert client.ask("PUT", node, "/config/db/host", stale) == (409, refused)
        for wrong in ({"wrong": 1}, [1], {"value": "\ud800"}, {"value": "x", "if_revision": 1 << 70}, None):
            assert client.ask("PUT", node, "/config/db/host", wrong)[0] == 422
        assert client.ask("PUT", node, "/config/db/host", {"value": "x" * 9_000_000})[0] == 413
        assert client.ask("GET", node, "/config/web/port")[0] == 404
        assert client.ask("GET", node, "/config/db/host") == (200, {"revision": 1, "value": "10.0.0.1"})
    assert client.ask("PUT", "n3", "/config/web/port", {"value": "80", "if_revision": None}) == (200, {"revision": 2})
    _, health = client.ask("GET", "n2", "/health")

    leader = health["leader"]
    process = running.pop(leader)
    process.send_signal(signal.SIGTERM)
    with process:
        assert process.wait() == 0
    for revision, (other, key) in enumerate(zip(running, ("web/port", "db/host"), strict=True), 3):
        assert client.ask("GET", other, "/config/db/host") == (200, {"revision": 1, "value": "10.0.0.1"})
        assert client.ask("DELETE", other, f"/config/{key}") == (200, {"revision": revision})
