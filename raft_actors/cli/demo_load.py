"""The demo's clients: threads that each write a line, wait for the reply, and write the next.

A line that was not acknowledged is written again, to whoever leads by then. Writing it twice does no harm: the key and
the value are the same.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from itertools import cycle

import redis

from raft_actors.cli.demo_cluster import connect
from raft_actors.cli.demo_text import DemoError, key_of
from raft_actors.records import frozen

_RETRY_PAUSE_S = 0.02
_TEMPORARY = ("CLUSTERDOWN", "NOTLEADER", "UNKNOWN", "OVERLOADED", "SHUTDOWN")
_LEADER = re.compile(r"the leader is (\S+)")


@frozen
class Acknowledgement:
    """One line that the cluster took.

    Attributes:
        at_s: when, by the monotonic clock.
        began_s: when its client had begun the attempt that it acknowledges.
    """

    at_s: float
    began_s: float


class Loader:
    """Writes all lines, with some connections at a time. As a context manager it leaves no thread behind.

    The last quarter is held back until `release`, so that the failure meets clients at work however short the text is.

    Attributes:
        acknowledged: for each line, whether a reply said that it is stored.
        acknowledgements: the replies, in the order in which they came.
        retries: how many times a line had to be written again, or a leader looked for.
    """

    def __init__(self, ports: Mapping[str, int], lines: Sequence[bytes], connections: int) -> None:
        self.acknowledged: list[bool] = [False] * len(lines)
        self.acknowledgements: list[Acknowledgement] = []
        self.retries: int = 0
        self._ports = ports
        self._lines = lines
        self._numbers = iter(range(len(lines)))
        self._held_from = min(len(lines) * 3 // 4, len(lines) - 1)
        self._released = threading.Event()
        self._awaited = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._progress = threading.Condition(self._lock)
        self._error: Exception | None = None
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"demo client {number}", daemon=True)
            for number in range(connections)
        ]

    def __enter__(self) -> Loader:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._released.set()
        for thread in self._threads:
            thread.join()

    @property
    def count(self) -> int:
        """How many lines are acknowledged."""
        return len(self.acknowledgements)

    def release(self) -> None:
        """Go on with the lines that were held back."""
        self._released.set()

    def wait_count(self, count: int, timeout_s: float) -> int:
        """Wait until so many lines are acknowledged, or the time is over; return how many are.

        Raises:
            DemoError: a client met something that trying again can't help.
        """
        with self._progress:
            self._awaited = count
            self._progress.wait_for(lambda: self.count >= count or self._error is not None, timeout_s)
            if self._error is not None:
                raise DemoError(f"a client failed: {self._error}") from self._error
            return self.count

    def _work(self, number: int) -> None:
        writer = _Writer(self._ports, first=number)
        try:
            while not self._stop.is_set():
                with self._lock:
                    line = next(self._numbers, None)
                if line is None:
                    return
                if line >= self._held_from:
                    self._released.wait()
                self._write(writer, line)
        except Exception as error:  # noqa: BLE001 - the main thread raises it
            with self._progress:
                self._error = error
                self._progress.notify_all()
        finally:
            writer.close()

    def _write(self, writer: _Writer, number: int) -> None:
        while not self._stop.is_set():
            began_s = time.monotonic()
            if writer.write(key_of(number), self._lines[number]):
                with self._progress:
                    self.acknowledged[number] = True
                    self.acknowledgements.append(Acknowledgement(time.monotonic(), began_s))
                    if self.count >= self._awaited:
                        self._progress.notify_all()
                return
            with self._lock:
                self.retries += 1
            self._stop.wait(_RETRY_PAUSE_S)


class _Writer:
    """One connection, to a node that is thought to be there: any will do, and looks for the leader itself."""

    def __init__(self, ports: Mapping[str, int], first: int) -> None:
        self._ports = ports
        self._others = cycle(ports)
        for _ in range(first % len(ports)):
            next(self._others)
        self.node_id = next(self._others)
        self._client: redis.Redis | None = None

    def write(self, key: bytes, value: bytes) -> bool:
        """Write once. False: it may or may not be stored; the next attempt goes to another node.

        Raises:
            redis.ResponseError: the service refuses it for good.
        """
        if self._client is None:
            self._client = connect(self._ports[self.node_id])
        try:
            self._client.set(key, value)
        except (redis.ConnectionError, redis.TimeoutError):
            self._turn_to(None)
        except redis.ResponseError as error:
            if not str(error).startswith(_TEMPORARY):
                raise
            leader = _LEADER.search(str(error))
            self._turn_to(leader[1] if leader else None)
        else:
            return True
        return False

    def _turn_to(self, node_id: str | None) -> None:
        self.close()
        self.node_id = node_id if node_id is not None and node_id in self._ports else next(self._others)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._client is not None:
            self._client.close()
            self._client = None
