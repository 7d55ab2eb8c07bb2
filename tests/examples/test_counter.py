"""examples/counter, as its README has a reader run it: three processes, a client, and nodes that are killed."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.counter.counter import Add, Counter, read_members
from raft_actors.testing import check_state_machine

ROOT = Path(__file__).parents[2]
NAMES = ("n1", "n2", "n3")


class Processes:
    """The nodes that run, and the command line of their clients."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._members = folder / "members.json"
        with contextlib.ExitStack() as stack:  # all are held until the last is known, so that no two are the same
            held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2 * len(NAMES))]
            ports = [one.getsockname()[1] for one in held]
        addresses = [f"127.0.0.1:{port}" for port in ports]
        members = {name: {"raft": addresses.pop(), "clients": addresses.pop()} for name in NAMES}
        self._members.write_text(json.dumps(members), encoding="utf-8")
        self.running: dict[str, subprocess.Popen[str]] = {}

    def _command(self, module: str, *arguments: str) -> list[str]:
        return [
            sys.executable,
            "-W",
            "error",
            "-m",
            module,
            f"--members={self._members}",
            *arguments,
        ]

    def start(self, name: str) -> None:
        command = self._command("examples.counter.node", f"--folder={self._folder}", name)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self.running[name] = process
        assert process.stdout is not None
        assert process.stdout.readline() == f"{name} is ready\n"

    def end(self, name: str, number: signal.Signals) -> int:
        process = self.running.pop(name)
        process.send_signal(number)
        with process:
            return process.wait()

    def ask(self, *arguments: str) -> tuple[int, str]:
        """What the client prints: the number, and who said it."""
        done = subprocess.run(
            self._command("examples.counter.client", *arguments), capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr
        found = re.fullmatch(r"(-?\d+) \((\w+)\)\n", done.stdout)
        assert found is not None, done.stdout
        return int(found[1]), found[2]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    all_of_them = Processes(tmp_path)
    try:
        yield all_of_them
    finally:
        for name in list(all_of_them.running):
            all_of_them.end(name, signal.SIGKILL)


def test_the_number_outlives_who_has_answered(processes: Processes) -> None:
    for name in NAMES:
        processes.start(name)
    assert processes.ask("add", "5")[0] == 5
    value, first = processes.ask("read")
    assert value == 5

    processes.end(first, signal.SIGKILL)
    value, second = processes.ask("add", "3")
    assert (value, second != first) == (8, True)

    processes.start(first)
    assert processes.end(second, signal.SIGTERM) == 0
    assert processes.ask("read")[0] == 8
    assert processes.ask("add", "-8")[0] == 0


def test_a_request_that_comes_twice_counts_once() -> None:
    counter = Counter()
    assert [counter.apply(Add("a", 1, 5)), counter.apply(Add("a", 1, 5)), counter.apply(Add("b", 1, 1))] == [5, 5, 6]


def test_replicas_agree() -> None:
    check_state_machine(Counter, [Add("a", 1, 5), Add("b", 1, 1), Add("a", 1, 5), Add("a", 2, -3)])


def test_the_members_that_come_with_it_can_be_read() -> None:
    assert tuple(read_members(ROOT / "examples" / "counter" / "members.json")) == NAMES
