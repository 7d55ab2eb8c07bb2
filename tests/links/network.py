"""The links between real processes, broken on command: a proxy before each node.

The nodes tell each other the addresses of the proxies, and listen elsewhere. A node sends on the connections that it
opens, and begins each by saying who calls whom (`transports.tcp`, `transports.wire.handshake`). So a connection is one
direction of one pair, and its first frame tells a proxy which. What is said against that direction on it, the answer to
the greeting, shares its fate: a cut of one direction is what a firewall does that lets only the other side connect.

Clients and operators, who greet otherwise, are always let through.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from itertools import permutations

import attrs
import trio

from raft_actors.errors import ProtocolError
from raft_actors.transports.wire.frames import FrameParser, frame
from raft_actors.transports.wire.handshake import MAX_HELLO_BYTES, Hello
from tests.connectivity.graphs import Link
from tests.processes.harness import Cluster

_CHUNK_BYTES = 64 * 1024
_UNDER_WAY = 1_024
"""Chunks that are delayed at a time on one connection; then its sender has to wait."""

_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


class Way(enum.StrEnum):
    """What becomes of a link's connections."""

    OPEN = "open"
    BROKEN = "broken"
    """They are closed, as new ones are: both sides know at once."""
    SILENT = "silent"
    """What is sent is lost, and nobody is told."""
    LATE = "late"
    """What is sent arrives `LATE_S` later."""


LATE_S = 0.1


@attrs.define(eq=False)
class _Connection:
    """One connection of a link.

    Attributes:
        holed: whether something was lost on it: a stream of bytes has no use for the rest then.
    """

    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    holed: bool = False


@attrs.define(eq=False)
class _Line:
    """The state of one direction.

    Attributes:
        lost: chunks that were lost.
        losses: where to wait for more.
    """

    way: Way = Way.OPEN
    lost: int = 0
    losses: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    connections: set[_Connection] = attrs.field(factory=set[_Connection])

    def turn(self, way: Way) -> None:
        self.way = way
        for connection in self.connections:
            if way is Way.BROKEN or (connection.holed and way is not Way.SILENT):
                connection.scope.cancel()

    def lose(self, connection: _Connection) -> None:
        connection.holed = True
        self.lost += 1
        self.losses.unpark_all()


@attrs.define(eq=False)
class Network:
    """All links between nodes that listen elsewhere than where they are reached. Made by `open_proxies`."""

    _listen: Mapping[str, str]
    _lines: dict[Link, _Line]

    def turn(self, links: Iterable[Link], way: Way) -> None:
        """Break these directions, each (sender, receiver), or have them carry everything again."""
        for link in links:
            self._lines[link].turn(way)

    def mend(self) -> None:
        """Have all links carry everything, in time."""
        self.turn(self._lines, Way.OPEN)

    def is_whole(self) -> bool:
        """Whether each direction has a connection that carries it."""
        return all(
            any(not connection.holed for connection in line.connections) and line.way is Way.OPEN
            for line in self._lines.values()
        )

    async def wait_lost(self, link: Link, count: int) -> None:
        """Wait until so many chunks were lost in this direction."""
        line = self._lines[link]
        while line.lost < count:
            await line.losses.park()

    async def serve(self, receiver: str, stream: trio.SocketStream) -> None:
        """Carry one connection to a node until it ends."""
        with suppress(*_GONE):
            async with stream:
                first = await _first_frame(stream)
                if first is not None:
                    line = self._lines.get((_caller(first), receiver), _Line())
                    await self._carry(line, frame(first), stream, receiver)

    async def _carry(self, line: _Line, first: bytes, stream: trio.SocketStream, receiver: str) -> None:
        if line.way is Way.BROKEN:
            return
        connection = _Connection()
        line.connections.add(connection)
        try:
            with connection.scope:
                if line.way is Way.SILENT:
                    line.lose(connection)
                    await _wait_for_the_end(stream)  # whoever calls gives it up
                    return
                host, port = self._listen[receiver].split(":")
                with suppress(OSError):  # nobody is there, as if nobody were here
                    await _both_ways(line, connection, first, stream, await trio.open_tcp_stream(host, int(port)))
        finally:
            line.connections.discard(connection)


async def stand_between(cluster: Cluster) -> Network:
    """Open the proxies of a cluster (`open_cluster(…, apart=True)`), until it ends."""
    return await open_proxies(cluster.voters, cluster.listen, cluster.nursery)


async def open_proxies(places: Mapping[str, str], listen: Mapping[str, str], nursery: trio.Nursery) -> Network:
    """Open a proxy for each node, by its id: at its place, to where it listens."""
    network = Network(listen, {link: _Line() for link in permutations(places, 2)})
    for node_id, place in places.items():
        host, port = place.split(":")
        listeners = await trio.open_tcp_listeners(int(port), host=host)
        nursery.start_soon(trio.serve_listeners, partial(network.serve, node_id), listeners)
    return network


async def _first_frame(stream: trio.SocketStream) -> bytes | None:
    parser = FrameParser(MAX_HELLO_BYTES)
    async for data in stream:
        for payload in parser.feed(data):
            return payload  # whoever calls waits for an answer to it: nothing can follow yet
    return None


def _caller(first: bytes) -> str:
    """The id of the node that calls; "" for who is none."""
    try:
        hello = Hello.decode(first)
    except ProtocolError:
        return ""
    return "" if hello.client else hello.sender


async def _both_ways(
    line: _Line, connection: _Connection, first: bytes, caller: trio.SocketStream, called: trio.SocketStream
) -> None:
    async with called:
        await called.send_all(first)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_pass_on, line, connection, caller, called)
            nursery.start_soon(_pass_on, line, connection, called, caller)


async def _pass_on(line: _Line, connection: _Connection, source: trio.SocketStream, sink: trio.SocketStream) -> None:
    """Pass on what comes, in order and late; end the connection where one side does, unless nobody is to be told."""
    send, receive = trio.open_memory_channel[tuple[float, bytes]](_UNDER_WAY)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_deliver, receive, sink)
        async with send:
            with suppress(*_GONE):
                while data := await source.receive_some(_CHUNK_BYTES):
                    if line.way is Way.SILENT:
                        line.lose(connection)
                    else:
                        late_s = LATE_S if line.way is Way.LATE else 0.0
                        await send.send((trio.current_time() + late_s, data))
    if line.way is Way.SILENT:
        line.lose(connection)
        await trio.sleep_forever()
    connection.scope.cancel()


async def _deliver(chunks: trio.MemoryReceiveChannel[tuple[float, bytes]], sink: trio.SocketStream) -> None:
    async with chunks:
        with suppress(*_GONE):
            async for due, data in chunks:
                await trio.sleep_until(due)
                await sink.send_all(data)


async def _wait_for_the_end(stream: trio.SocketStream) -> None:
    with suppress(*_GONE):
        while await stream.receive_some(_CHUNK_BYTES):
            pass
