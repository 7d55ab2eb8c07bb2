"""The proxies by themselves, before nodes that say back what they are told."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, closing

import attrs
import trio
import trio.testing

from raft_actors.transports.wire.client_handshake import client_hello
from raft_actors.transports.wire.frames import frame
from raft_actors.transports.wire.handshake import THIS_VERSION, Hello
from tests.links.network import Network, Way, open_proxies
from tests.processes.ports import reserve_port


@attrs.define(eq=False)
class Lab:
    """Proxies, and connections through them.

    Attributes:
        places: node → where its proxy is.
    """

    network: Network
    places: dict[str, str]
    streams: AsyncExitStack

    async def call(self, receiver: str, hello: Hello) -> trio.SocketStream:
        """Connect with a node, and greet it."""
        host, port = self.places[receiver].split(":")
        stream = await self.streams.enter_async_context(await trio.open_tcp_stream(host, int(port)))
        await stream.send_all(frame(hello.encode()))
        return stream

    async def meet(self, sender: str, receiver: str) -> trio.SocketStream:
        """A connection on which the greeting came back."""
        hello = Hello("processes", sender, receiver)
        stream = await self.call(receiver, hello)
        expected = frame(hello.encode())
        assert await _hear(stream, len(expected)) == expected
        return stream


@asynccontextmanager
async def _open_lab() -> AsyncGenerator[Lab, None]:
    with closing(reserve_port()) as one, closing(reserve_port()) as two:
        async with trio.open_nursery() as nursery, AsyncExitStack() as streams:
            echoes = [(await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] for _ in range(2)]
            ports = [echo.socket.getsockname()[1] for echo in echoes]
            await nursery.start(trio.serve_listeners, _echo, echoes)
            places = {"n1": one.address, "n2": two.address}
            listen = {node: f"127.0.0.1:{port}" for node, port in zip(places, ports, strict=True)}
            yield Lab(await open_proxies(places, listen, nursery), places, streams)
            nursery.cancel_scope.cancel()


async def _echo(stream: trio.SocketStream) -> None:
    async with stream:
        async for data in stream:
            await stream.send_all(data)


async def _hear(stream: trio.SocketStream, count: int) -> bytes:
    heard = b""
    while len(heard) < count and (data := await stream.receive_some()):
        heard += data
    return heard


async def test_a_broken_link_has_no_connection_until_it_is_mended() -> None:
    async with _open_lab() as lab:
        there, back = await lab.meet("n1", "n2"), await lab.meet("n2", "n1")
        assert lab.network.is_whole()
        lab.network.turn([("n1", "n2")], Way.BROKEN)
        assert await there.receive_some() == b""
        assert await (await lab.call("n2", Hello("processes", "n1", "n2"))).receive_some() == b""
        await back.send_all(b"the other direction")
        assert await _hear(back, 19) == b"the other direction"
        assert not lab.network.is_whole()
        lab.network.mend()
        await lab.meet("n1", "n2")
        assert lab.network.is_whole()


async def test_what_is_said_on_a_silent_link_is_lost_and_in_the_end_its_connection() -> None:
    async with _open_lab() as lab:
        old = await lab.meet("n1", "n2")
        lab.network.turn([("n1", "n2")], Way.SILENT)
        await old.send_all(b"lost")
        new = await lab.call("n2", Hello("processes", "n1", "n2"))
        await lab.network.wait_lost(("n1", "n2"), 2)
        lab.network.mend()
        assert (await old.receive_some(), await new.receive_some()) == (b"", b"")
        await lab.meet("n1", "n2")


async def test_a_silent_link_on_which_nothing_was_said_stands_when_it_is_mended() -> None:
    async with _open_lab() as lab:
        there = await lab.meet("n1", "n2")
        lab.network.turn([("n1", "n2")], Way.SILENT)
        lab.network.mend()
        await there.send_all(b"heard")
        assert await _hear(there, 5) == b"heard"


async def test_what_is_late_arrives_before_what_is_sent_after_it() -> None:
    async with _open_lab() as lab:
        there = await lab.meet("n1", "n2")
        lab.network.turn([("n1", "n2")], Way.LATE)
        await there.send_all(b"late, ")
        await trio.testing.wait_all_tasks_blocked(0.01)  # the proxy has it
        lab.network.mend()
        await there.send_all(b"in time")
        assert await _hear(there, 13) == b"late, in time"


async def test_clients_are_let_through() -> None:
    async with _open_lab() as lab:
        lab.network.turn([("n1", "n2"), ("n2", "n1")], Way.BROKEN)
        hello = client_hello("processes", "n1", THIS_VERSION)
        expected = frame(hello.encode())
        assert await _hear(await lab.call("n2", hello), len(expected)) == expected
