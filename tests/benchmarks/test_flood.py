"""The strangers of the question `flood`: they come, are refused and counted, and leave."""

from __future__ import annotations

import select
import time

import trio

from benchmarks.workers.flooder import flood
from raft_actors.transports import TcpTransport
from tests.transports.support import Member, wait_until


async def test_strangers_are_refused_and_counted(nursery: trio.Nursery) -> None:
    transport = TcpTransport("127.0.0.1:0", max_connects_per_address_s=8)
    node = Member.make(transport, "a", {})
    await node.start(nursery)
    assert transport.address is not None
    end = time.monotonic() + 0.5

    def is_over() -> bool:
        select.select([], [], [], 0.005)
        return time.monotonic() > end

    said = await trio.to_thread.run_sync(flood, transport.address, 400.0, 2, is_over)
    await wait_until(lambda: transport.statistics().refused_by_reason["TOO_MANY"] >= 10)
    await wait_until(lambda: transport.statistics().protocol_errors > 0)
    assert said["opened"] >= 100
