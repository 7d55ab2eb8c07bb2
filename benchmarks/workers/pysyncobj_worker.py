# pyright: reportMissingTypeStubs=false, reportPrivateUsage=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
# (PySyncObj has no types; its own way to ask who leads is `_getLeader`)
"""A node of PySyncObj that the driver loads: `python -m benchmarks.workers.pysyncobj_worker`.

PySyncObj runs its own thread and answers with callbacks on it. A proposer here is a chain of callbacks: each answer
asks for the next command, on that thread, which is the least that PySyncObj can be made to pay for a proposer.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated  # type: ignore[import-untyped]

from benchmarks.workers.wire import Reply, Request, Window, clock, describe, folder_bytes, payload_of

_RETRY_S = 0.002
_FILL_IN_FLIGHT = 4096
_TRY_S = 0.5


class Counter(SyncObj):  # type: ignore[misc] # PySyncObj has no types
    """Counts the commands."""

    def __init__(self, address: str, others: list[str], conf: Any) -> None:
        self.value = 0
        super().__init__(address, others, conf)

    @replicated  # type: ignore[untyped-decorator]
    def _take(self, command: bytes) -> int:
        """Count one command; its result is its number."""
        self.value += 1
        return self.value

    def take(self, command: bytes, answered: Callable[[int | None, int], None]) -> None:
        """Have one command counted; `answered` gets its number and PySyncObj's error code."""
        replicate: Any = self._take
        replicate(command, callback=answered)


class CommandLost(Exception):
    """PySyncObj answered that a command was not carried out."""


class Proposers:
    """Keeps a number of commands in flight until told otherwise, then sets `idle`."""

    def __init__(self, counter: Counter, payload: bytes, in_flight: int) -> None:
        self.counter = counter
        self.payload = payload
        self.in_flight = in_flight
        self.idle = threading.Event()
        self.failure: str | None = None
        self._lock = threading.Lock()

    def run(self) -> None:
        """Begin, and wait for the end."""
        for _ in range(self.in_flight):
            self._propose()
        self.idle.wait()
        if self.failure is not None:
            raise CommandLost(self.failure)

    def acknowledged(self, started: float) -> bool:
        """Count one; return whether to propose another in its place."""
        raise NotImplementedError

    def _propose(self) -> None:
        started = clock()

        def answered(_: int | None, error: int) -> None:
            if error != FAIL_REASON.SUCCESS:
                self.failure = f"PySyncObj's FAIL_REASON {error}"
            elif self.acknowledged(started) and self.failure is None:
                self._propose()
                return
            with self._lock:
                self.in_flight -= 1
                if not self.in_flight:
                    self.idle.set()

        self.counter.take(self.payload, answered)


class _Load(Proposers):
    def __init__(self, counter: Counter, request: Request) -> None:
        super().__init__(counter, payload_of(request), request["proposers"] * request["batch"])
        self.window = Window.of(request)

    def acknowledged(self, started: float) -> bool:
        return self.window.count(started, 1)


class _Fill(Proposers):
    def __init__(self, counter: Counter, payload: bytes, commits: int) -> None:
        super().__init__(counter, payload, min(commits, _FILL_IN_FLIGHT))
        self.left = commits - self.in_flight

    def acknowledged(self, started: float) -> bool:
        self.left -= 1
        return self.left >= 0


@attrs.define
class Worker:
    """One node, and what the driver may ask of it."""

    folder: str = ""
    _counter: Counter | None = None

    @property
    def counter(self) -> Counter:
        """The node, once started."""
        if self._counter is None:
            raise ValueError("not started")
        return self._counter

    def handle(self, request: Request) -> Reply:
        """Do what the driver asks."""
        match request["command"]:
            case "start":
                return self.start(request)
            case "status":
                return self.status()
            case "load":
                load = _Load(self.counter, request)
                load.run()
                return load.window.result()
            case "fill":
                began = clock()
                _Fill(self.counter, payload_of(request), request["commits"]).run()
                return {"commits": request["commits"], "seconds": clock() - began}
            case "first_commit":
                return self.first_commit()
            case "stop":
                self.counter.destroy_synchronous()
                return {}
            case unknown:
                raise ValueError(f"unknown command {unknown!r}")

    def start(self, request: Request) -> Reply:
        """Start the node, with its journal in the folder."""
        self.folder = request["folder"]
        addresses = dict(request["addresses"])
        own = addresses.pop(request["node"])
        files: dict[str, str] = {}
        if request["storage"] == "disk":
            folder = Path(self.folder)
            files = {"journalFile": str(folder / "journal"), "fullDumpFile": str(folder / "dump")}
        conf = SyncObjConf(autoTick=True, **files, **request["options"])
        self._counter = Counter(own, list(addresses.values()), conf)
        return {}

    def status(self) -> Reply:
        """What the driver needs to know."""
        counter = self.counter
        leader = counter._getLeader()
        return {
            "leading": leader is not None and leader == counter.selfNode and counter.isReady(),
            "leader_known": leader is not None,
            "term": counter.raftCurrentTerm,
            "applied": counter.raftLastApplied,
            "stored_bytes": folder_bytes(self.folder),
        }

    def first_commit(self) -> Reply:
        """Commit one command, as soon as this node leads."""
        counter = self.counter
        pause = threading.Event()
        while True:
            if counter._getLeader() == counter.selfNode:
                done, errors = threading.Event(), list[int]()

                def answered(
                    _: int | None, error: int, done: threading.Event = done, errors: list[int] = errors
                ) -> None:
                    errors.append(error)
                    done.set()

                counter.take(b"first", answered)
                if done.wait(_TRY_S) and errors == [FAIL_REASON.SUCCESS]:
                    return {"at_ns": time.time_ns()}
            pause.wait(_RETRY_S)


def main() -> None:
    """Serve the driver."""
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer: Reply = {"ok": worker.handle(request)}
        except Exception as error:  # noqa: BLE001 - the driver reports it
            answer = {"error": describe(error)}
        print(json.dumps(answer), flush=True)
        if request["command"] == "stop":
            return


if __name__ == "__main__":
    main()
