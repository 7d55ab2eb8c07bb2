"""`with_qt.py` of docs/embedding.md: its window is clicked and closed, its node fails, and it leads among three."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_embedding import FILES

pytest.importorskip("PySide6.QtWidgets", reason="there is no PySide6, which with_qt.py is about", exc_type=ImportError)

#: Stands in for the user: when the window shows a text, it does what the argument says. It is text because there is no
#: PySide6 where types are checked.
USER = '''
import logging
import sys
from contextlib import asynccontextmanager
import trio
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QPushButton
from count import Count
from raft_actors import ClusterConfig, NodeConfig, open_node
from raft_actors.errors import StorageFailed
from raft_actors.persistence import MemoryStorage
from raft_actors.transports import MemoryNetwork
from with_qt import run

PLAN = sys.argv[1]

class Window(QPushButton):
    def setText(self, text):
        super().setText(text)
        print(text, flush=True)
        QTimer.singleShot(0, lambda: self.use(text))

    def use(self, text):
        if PLAN == "quits":
            application.quit()
        elif PLAN == "fails" and text == "click":
            Storage.broken = True
            self.click()
        elif PLAN in ("clicks", "leads") and text != "2":
            self.click()
        elif PLAN in ("clicks", "leads"):
            self.close()

class Storage(MemoryStorage):
    broken = False
    async def write(self, writes):
        if self.broken:
            raise StorageFailed("no disk")
        await super().write(writes)

def opened(name, voters=("n1",), network=None, election_timeout_s=(0.15, 0.3), heartbeat_interval_s=0.05):
    return open_node(
        name,
        cluster=ClusterConfig("c", {voter: "memory" for voter in voters}),
        state_machine=Count,
        storage=Storage(),
        transport=(network or MemoryNetwork()).transport(name),
        config=NodeConfig(election_timeout_s=election_timeout_s, heartbeat_interval_s=heartbeat_interval_s),
    )

class Told(logging.Handler):
    def emit(self, record):
        if "handed leadership" in record.getMessage():
            print(record.getMessage())

async def others(open_other, ready):
    async with open_other("n2"), open_other("n3"):
        ready.set()
        await trio.sleep_forever()

@asynccontextmanager
async def leader_of_three():
    """Only n1 stands for election by itself, so that it leads."""
    network, voters, ready = MemoryNetwork(), ["n1", "n2", "n3"], trio.Event()
    late = lambda name: opened(name, voters, network, election_timeout_s=(600, 1200))
    trio.lowlevel.spawn_system_task(others, late, ready)
    await ready.wait()
    async with opened("n1", voters, network) as node:
        yield node
    window.click()  # too late

logging.basicConfig(level=logging.INFO, handlers=[Told()])
application, window = QApplication([]), Window()
run(application, window, leader_of_three() if PLAN == "leads" else opened("n1"))
print("closed")
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("count.py", "with_qt.py"):
        (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    (tmp_path / "user.py").write_text(USER, encoding="utf-8")
    return tmp_path


def start(folder: Path, plan: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "user.py", plan],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )


def end(process: subprocess.Popen[str]) -> tuple[list[str], str]:
    try:
        printed, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    return printed.splitlines(), errors


def test_clicks_are_proposals_and_closing_the_window_closes_the_node(folder: Path) -> None:
    with start(folder, "clicks") as process:
        printed, errors = end(process)
    assert (process.returncode, printed, errors) == (0, ["click", "1", "2", "closed"], "")


def test_who_leads_hands_over_when_the_window_is_closed(folder: Path) -> None:
    with start(folder, "leads") as process:
        printed, errors = end(process)
    assert (process.returncode, errors) == (0, "")
    handed_over = [f"node n1: has handed leadership to {name}, and stops" for name in ("n2", "n3")]
    assert printed in [["click", "1", "2", line, "closed"] for line in handed_over]


def test_a_node_is_closed_before_an_application_that_is_told_to_quit(folder: Path) -> None:
    with start(folder, "quits") as process:
        printed, errors = end(process)
    assert (process.returncode, printed, errors) == (0, ["click", "closed"], "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_the_window(folder: Path, number: signal.Signals) -> None:
    with start(folder, "waits") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "click\n"
        process.send_signal(number)
        printed, errors = end(process)
    assert (process.returncode, printed, errors) == (0, ["closed"], "")


def test_what_ends_the_node_ends_the_application(folder: Path) -> None:
    with start(folder, "fails") as process:
        printed, errors = end(process)
    assert (process.returncode, printed[0], "closed" in printed) == (1, "click", False)
    assert errors.splitlines()[-1] == "raft_actors.errors.StorageFailed: no disk"
