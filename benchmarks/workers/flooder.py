"""Somebody who floods a port: `python -m benchmarks.workers.flooder ADDRESS PER_S SOURCES`.

Opens so many connections a second, says nothing that a node takes, and leaves, until its standard input ends; then says
what came of it, as a line of JSON. It comes from so many addresses of the loopback network, in turn: each has a budget
of its own at the other side. What it costs in CPU it costs the machine, so on few cores it takes from who is flooded.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import time
from collections.abc import Callable

_GARBAGE = b"\x16\x03\x01\x02\x00GET / HTTP/1.1\r\n"
_MOST_OPEN = 512
_TURN_S = 0.005


def flood(address: str, per_s: float, sources: int, is_over: Callable[[], bool]) -> dict[str, float]:
    """Do so until it is over, which is asked every few milliseconds, and may take as long."""
    host, _, port = address.rpartition(":")
    began, opened, open_ = time.monotonic(), 0, list[socket.socket]()
    failed = 0
    while not is_over():
        due = int((time.monotonic() - began) * per_s)
        opened = max(opened, due - int(per_s))  # what could not be done in time is not made up for without end
        while opened < due:
            opened += 1
            connection = socket.socket()
            connection.setblocking(False)
            try:
                if sources > 1:
                    connection.bind((_source(opened % sources), 0))
                with contextlib.suppress(BlockingIOError):
                    connection.connect((host, int(port)))
                connection.send(_GARBAGE)
            except OSError:  # not through yet, or refused, or out of ports: it is left as it is
                failed += 1
            open_.append(connection)
            if len(open_) > _MOST_OPEN:
                open_.pop(0).close()
            if opened % 64 == 0 and time.monotonic() - began > due / per_s + _TURN_S:
                break
    took = time.monotonic() - began
    for connection in open_:
        connection.close()
    return {"opened": opened, "not_through": failed, "seconds": took, "cpu_s": time.process_time()}


def _has_ended() -> bool:
    """Whether standard input has, within a short while."""
    return bool(select.select([sys.stdin], [], [], _TURN_S)[0])


def _source(number: int) -> str:
    """An address of the loopback network."""
    return f"127.1.{number // 250}.{number % 250 + 1}"


if __name__ == "__main__":
    print(json.dumps(flood(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), _has_ended)))
