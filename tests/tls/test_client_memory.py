"""The bound on what all clients of a node hold, over TCP."""

from __future__ import annotations

import trio

from raft_actors.transports import TcpTransport
from raft_actors.transports.tcp.dialer import TcpDialer
from raft_actors.transports.wire.frames import pack_length
from tests.tls.test_clients import client_at, served
from tests.transports.support import wait_until


async def test_a_flood_of_half_sent_requests_gives_itself_up_and_others_go_on() -> None:
    transport = TcpTransport("127.0.0.1:0", max_client_memory_bytes=2_500_000)
    async with served(transport) as (_, address), client_at(address, None) as client:
        await client.propose(b"before")
        hogs = [await TcpDialer().dial(address, "test") for _ in range(4)]
        for hog in hogs:
            stream: trio.abc.Stream = hog._stream  # type: ignore[attr-defined]
            await stream.send_all(pack_length(1_000_000) + bytes(900_000))
        await wait_until(lambda: transport.statistics().refused_by_reason["CLIENT_MEMORY"] == 2)
        await wait_until(lambda: transport.statistics().clients == 3)
        await client.propose(b"after")
        for hog in hogs:
            await hog.aclose()
