"""An asyncio server whose state is replicated: `python -m examples.guest_mode`."""

from __future__ import annotations

import asyncio  # noqa: TID251 - the host's, in which Trio is a guest

from examples.counter.counter import Add, Counter
from examples.guest_mode.guest import GuestNode, open_guest_node
from raft_actors import ClusterConfig, open_node
from raft_actors.persistence import MemoryStorage
from raft_actors.transports import MemoryNetwork


async def serve(node: GuestNode[Counter], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Each line is a number to add; the answer is the sum."""
    client, number = str(writer.get_extra_info("peername")), 0
    while line := await reader.readline():
        number += 1
        writer.write(b"%d\n" % await node.propose(Add(client, number, int(line))))
        await writer.drain()
    writer.close()


async def main() -> None:
    """Serve on asyncio, and be a client of it."""
    async with open_guest_node(
        lambda: open_node(
            "n1",
            cluster=ClusterConfig("guest", voters={"n1": "memory"}),
            state_machine=Counter,
            storage=MemoryStorage(),
            transport=MemoryNetwork().transport("n1"),
        )
    ) as node:
        print("leader:", await node.wait_leader())
        server = await asyncio.start_server(lambda reader, writer: serve(node, reader, writer), "127.0.0.1", 0)
        async with server:
            host, port = server.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(host, port)
            for amount in (5, 3, -1):
                writer.write(b"%d\n" % amount)
                print("sum:", int(await reader.readline()))
            writer.close()
            await writer.wait_closed()
        print("read:", await node.read(lambda counter: counter.value))


asyncio.run(main())
