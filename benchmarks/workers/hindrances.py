"""What keeps a node of raft_actors from being fast: commands that take long, a slow disk, a long way to the others."""

from __future__ import annotations

import functools
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs
import trio
from typing_extensions import override

from raft_actors.persistence.sqlite.database import Database
from raft_actors.raft.messages import Message
from raft_actors.transports import TcpTransport
from raft_actors.transports.abc import Endpoint

_pause = threading.Event()


def slow_down_disk(times: int) -> None:
    """Have every write of this process's stores take so many times as long as it does."""

    def slowed(write: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(write)
        def slow(*arguments: Any) -> Any:
            began = time.perf_counter()
            result = write(*arguments)
            _pause.wait((time.perf_counter() - began) * (times - 1))  # on the storage's own thread
            return result

        return slow

    for name in ("append", "transact", "note_commit"):
        setattr(Database, name, slowed(getattr(Database, name)))


@attrs.define(eq=False)
class FarTransport(TcpTransport):
    """TCP over a long way: what comes in comes late, in its order."""

    delay_s: float = attrs.field(default=0.0, kw_only=True)

    @override
    async def run(  # noqa: ASYNC128 - what it extends calls `started`
        self, endpoint: Endpoint, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        under_way: deque[tuple[float, str, Message]] = deque()
        sent = trio.lowlevel.ParkingLot()

        def deliver(sender: str, message: Message) -> bool:
            under_way.append((trio.current_time() + self.delay_s, sender, message))
            sent.unpark_all()
            return True

        async def arrive() -> None:
            while True:
                if not under_way:
                    await sent.park()
                await trio.sleep_until(under_way[0][0])
                _, sender, message = under_way.popleft()
                endpoint.deliver(sender, message)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(arrive)
            await super().run(attrs.evolve(endpoint, deliver=deliver), task_status=task_status)
            nursery.cancel_scope.cancel()
