"""What nodes and certificates say of themselves does nothing to the terminal that shows it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from raft_actors.cli import serve
from raft_actors.cli.main import main
from raft_actors.cli.tables import table
from raft_actors.node.asking import encode
from raft_actors.transports import TcpTransport

HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b2J\r\nn9  voter\u202e"
SPELLED = r"\x1b]0;title\x07\x1b[2J\x9b2J\r\nn9  voter\u202e"
ORDINARY = "Zürich, 東京, naïve — 100 € 🚲"
MEMBER = {"role": "voter", "address": HOSTILE, "behind": 0, "silent_s": None, "incarnation": HOSTILE}
DONE: dict[str, Any] = {
    "node_id": "n1",
    "node": HOSTILE,
    "index": 1,
    "term": 1,
    "leader": HOSTILE,
    "role": HOSTILE,
    "cluster_id": HOSTILE,
    "config": 1,
    "phase": HOSTILE,
    "peers": {},
    "members": {"n1": {**MEMBER, "metadata": {"zone": HOSTILE, "place": ORDINARY}}},
}


def answering(monkeypatch: pytest.MonkeyPatch, reply: dict[str, Any]) -> None:
    async def ask(_self: TcpTransport, _address: str, _request: bytes) -> bytes:
        return encode(reply)

    monkeypatch.setattr(TcpTransport, "ask", ask)


def lines(told: str) -> list[str]:
    found = told.removesuffix("\n").split("\n")
    assert all(line.isprintable() for line in found)
    return found


@pytest.mark.parametrize(("command", "count"), [("status", 3), ("members", 3), ("transfer", 1), ("snapshot", 1)])
def test_what_a_node_says_is_spelled_out(
    command: str, count: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch, {"done": DONE})
    main([command, "127.0.0.1:7000"])
    out = capsys.readouterr().out
    assert len(lines(out)) == count
    assert SPELLED in out
    main([command, "127.0.0.1:7000", "--json"])
    out = capsys.readouterr().out
    assert len(lines(out)) > 1
    assert json.dumps(HOSTILE) in json.dumps(json.loads(out))


@pytest.mark.parametrize("command", ["status", "snapshot"])
def test_why_a_node_refuses_is_spelled_out(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch, {"error": {"kind": "ChangeRefused", "text": HOSTILE}})
    assert main([command, "127.0.0.1:7000"]) == 1
    (line,) = lines(capsys.readouterr().err)
    assert SPELLED in line


def test_a_cell_keeps_ordinary_text_and_spells_the_rest_out() -> None:
    assert table(("A",), [(ORDINARY,), (HOSTILE,)]) == f"A\n{ORDINARY}\n{SPELLED}"


def test_a_line_of_a_nodes_log_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: list[logging.Handler] = []
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: handlers.extend(settings["handlers"]))
    serve._log_to_stderr()
    record = logging.LogRecord("raft_actors", logging.ERROR, __file__, 1, "%s: refused", (HOSTILE,), None)
    assert handlers[0].format(record) == f"raft-actors: {SPELLED}: refused"


def test_what_a_certificate_says_is_spelled_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certs", "init", str(tmp_path / "ca"), "--name=a\x9b2Jb"]) == 0
    capsys.readouterr()
    assert main(["certs", "show", str(tmp_path / "ca" / "ca.pem")]) == 0
    out = capsys.readouterr().out
    assert lines(out)
    assert r"a\x9b2Jb" in out
