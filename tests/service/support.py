"""A replica without a cluster, and talking to a service as bytes."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import attrs
import pytest
import trio

from raft_actors import NodeState, NodeStatus, ProposalError, RoleName
from raft_actors.node.members import ChangePhase, MembersStatus, MemberStatus
from raft_actors.service.connection import Context, ServiceConfig, Session
from raft_actors.service.keyvalue import KeyValue
from raft_actors.service.pipeline import answer_run
from raft_actors.service.replies import encode
from raft_actors.service.resp import RequestParser
from raft_actors.service.server import Service, open_listeners

T = TypeVar("T")

ADDRESSES = {"n1": "127.0.0.1:6379", "n2": "127.0.0.1:6380"}


def tool(name: str) -> str:
    """The path of a program that not every machine has."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (Debian: apt install redis-server redis-tools)")
    return path


@attrs.define
class LoneReplica:
    """Applies at once what is proposed, or fails as it was told to.

    `calls` lists what was asked, with how many of it. With a `gate`, everything waits there until it is opened.
    """

    machine: KeyValue = attrs.field(factory=KeyValue)
    error: Exception | None = None
    calls: list[tuple[str, int]] = attrs.field(factory=list)
    applied: int = 0
    leader: str | None = "n1"
    numbered: int = 0
    gate: trio.Event | None = None
    waiting: trio.Event = attrs.field(factory=trio.Event)

    async def propose(self, command: bytes, *, forward: bool = True) -> Any:
        (result,) = await self.propose_many([command])
        if isinstance(result, ProposalError):
            raise result
        return result

    async def propose_many(self, commands: Sequence[bytes], *, forward: bool = True) -> list[Any]:
        self.calls.append(("write", len(commands)))
        await self._pass()
        self.applied += len(commands)
        return [self.machine.apply(command) for command in commands]

    @asynccontextmanager
    async def session(self, *, end: bool = True) -> AsyncGenerator[LoneSession]:
        yield LoneSession(self)

    @asynccontextmanager
    async def while_leading(self) -> AsyncGenerator[None]:
        await trio.lowlevel.checkpoint()
        if self.leader != "n1":
            await trio.sleep_forever()
        yield

    async def read(self, query: Callable[[Any], T]) -> T:
        self.calls.append(("read", 1))
        await self._pass()
        return query(self.machine)

    async def _pass(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.gate is not None:
            self.waiting.set()
            await self.gate.wait()
        if self.error is not None:
            raise self.error

    async def wait_leader(self) -> str:
        await self._pass()
        return "n1"

    async def wait_applied(self, index: int) -> None:
        await self._pass()

    def members(self) -> MembersStatus:
        return MembersStatus(
            config=0,
            committed=True,
            phase=ChangePhase.STABLE,
            voters=frozenset(ADDRESSES),
            learners=frozenset(),
            outgoing=frozenset(),
            goal_voters=frozenset(ADDRESSES),
            goal_learners=frozenset(),
            members={
                node_id: MemberStatus(address=None, metadata={}, is_voter=True, match_index=self.applied)
                for node_id in ADDRESSES
            },
        )

    def status(self) -> NodeStatus:
        return NodeStatus(
            node_id="n1",
            cluster_id="kv",
            state=NodeState.RUNNING,
            role=RoleName.LEADER if self.leader == "n1" else RoleName.FOLLOWER,
            term=3,
            voted_for="n1",
            leader=self.leader,
            voters=("n1", "n2"),
            commit_index=self.applied,
            applied_index=self.applied,
            durable_index=self.applied,
            first_index=1,
            last_index=self.applied,
            snapshot_index=0,
            snapshot_term=0,
        )


@attrs.frozen
class LoneSession:
    """Counts what is proposed by way of it."""

    replica: LoneReplica

    async def propose(self, command: bytes) -> Any:
        self.replica.numbered += 1
        return await self.replica.propose(command)


@attrs.define
class Conversation:
    """One client of a replica, without sockets: requests in, reply bytes out. It waits for no leader."""

    replica: LoneReplica = attrs.field(factory=LoneReplica)
    config: ServiceConfig = attrs.field(factory=lambda: ServiceConfig(addresses=ADDRESSES, patience_s=0.05))
    session: Session = attrs.field(factory=lambda: Session(1))
    context: Context | None = None

    async def say(self, asked: bytes) -> bytes:
        """The replies to all requests in `asked`, which must be whole."""
        parser = RequestParser(self.config.limits)
        requests = parser.feed(asked)
        assert parser.error is None
        if self.context is None:
            self.context = Context(self.replica, self.replica.machine, self.config)
        wire, position = b"", 0
        while position < len(requests) and not self.session.closing:
            replies = await answer_run(self.context, self.session, requests, position)
            position += len(replies)
            wire += b"".join(piece for reply in replies for piece in encode(reply, self.session.protocol))
        return wire

    async def ask(self, *arguments: bytes | str) -> bytes:
        """The reply to one request."""
        return await self.say(request(*arguments))


def request(*arguments: bytes | str) -> bytes:
    """A request as an array of bulk strings."""
    encoded = [item.encode() if isinstance(item, str) else item for item in arguments]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(item), item) for item in encoded)


@attrs.define
class Served:
    """A service that listens."""

    service: Service
    port: int
    ended: trio.Event = attrs.field(factory=trio.Event)
    _streams: list[trio.SocketStream] = attrs.field(factory=list)

    async def connect(self) -> trio.SocketStream:
        """A client's end of a new connection."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        self._streams.append(stream)
        return stream

    def close(self) -> None:
        for stream in self._streams:
            stream.socket.close()


@asynccontextmanager
async def serve(
    node: Any,
    machine: KeyValue,
    config: ServiceConfig | None = None,
) -> AsyncGenerator[Served]:
    """Serve a node on a free port for the length of the block."""
    service = Service(node, machine, config or ServiceConfig(addresses=ADDRESSES))
    (listener,) = await open_listeners("127.0.0.1", 0)
    served = Served(service, listener.socket.getsockname()[1])

    async def run(*, task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC128 - the service calls started()
        await service.run([listener], task_status=task_status)
        served.ended.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        try:
            yield served
        finally:
            served.close()
        nursery.cancel_scope.cancel()


async def receive_exactly(stream: trio.abc.ReceiveStream, count: int) -> bytes:
    """The next `count` bytes, or what came before the end."""
    received = b""
    while len(received) < count and (data := await stream.receive_some(count - len(received))):
        received += data
    return received


async def receive_all(stream: trio.abc.ReceiveStream) -> bytes:
    """All bytes to the end."""
    return b"".join([data async for data in stream])
