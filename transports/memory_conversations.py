"""Conversations of clients with the nodes of a `MemoryNetwork`: in order, whole, as late as the network is, or cut.

As over TCP nothing is lost between two ends that stay, and a link that is cut delivers nothing and says nothing.
"""

from __future__ import annotations

import contextlib
import operator
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import attrs
import trio
from typing_extensions import override

from raft_actors.errors import ProtocolError, TransportError, Unreachable
from raft_actors.raft.features import CLIENTS
from raft_actors.records import define, frozen
from raft_actors.transports.abc import Endpoint
from raft_actors.transports.callers import REPLY_GRACE_S, OpenCallers
from raft_actors.transports.conversation import ALL_RIGHTS, Caller, Conversation, Converse, Dialer, Right
from raft_actors.transports.greeting import NOT_A_MEMBER, Denied, everybody


@define(eq=False)
class _Pipe:
    """One direction: what is on its way, by when it is there."""

    due: Callable[[], float | None]
    """When what is sent now arrives; None: never."""
    payloads_under_way: deque[tuple[float, bytes]] = attrs.field(factory=deque[tuple[float, bytes]])
    waiting: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    ended: bool = False
    stuck: bool = False
    """What was sent while the link was cut will not arrive, nor anything behind it: the connection is dead."""
    last_due: float = 0.0

    def put(self, payloads: Sequence[bytes]) -> None:
        due = self.due()
        if due is None or self.stuck:
            self.stuck = True
            return
        self.last_due = max(self.last_due, due)
        self.payloads_under_way += [(self.last_due, payload) for payload in payloads]
        self.waiting.unpark_all()

    def end(self) -> None:
        if self.due() is not None:  # else nobody learns of it
            self.ended = True
            self.waiting.unpark_all()

    async def take(self) -> list[bytes]:
        await trio.lowlevel.checkpoint()
        while True:
            now = trio.current_time()
            taken: list[bytes] = []
            while self.payloads_under_way and self.payloads_under_way[0][0] <= now:
                taken.append(self.payloads_under_way.popleft()[1])
            if taken or (self.ended and not self.payloads_under_way):
                return taken
            with trio.CancelScope(deadline=self.payloads_under_way[0][0] if self.payloads_under_way else float("inf")):
                await self.waiting.park()


@define(eq=False)
class MemoryConversation(Conversation):
    """One side's view."""

    incoming: _Pipe
    outgoing: _Pipe
    closed: bool = False

    @override
    async def send(self, payloads: Sequence[bytes]) -> None:
        await trio.lowlevel.checkpoint()
        if self.closed or self.incoming.ended:
            raise Unreachable("the connection broke")
        self.outgoing.put(payloads)

    @override
    async def receive(self) -> list[bytes]:
        if self.closed:
            raise Unreachable("the connection broke")
        return await self.incoming.take()

    def end(self) -> None:
        """Hang up."""
        if not self.closed:
            self.closed = True
            self.outgoing.end()
            self.incoming.ended = True
            self.incoming.waiting.unpark_all()

    @override
    async def aclose(self) -> None:
        self.end()
        await trio.lowlevel.checkpoint()


@define(eq=False)
class MemoryClients:
    """Those that one node serves.

    Attributes:
        vanish: whether they are not told when the node ends: it stands for a machine that has lost its power.
        refused: how many of them, and of operators, were, by cause.
    """

    vanish: bool = False
    refused: Counter[str] = attrs.field(factory=Counter[str])
    _nursery: trio.Nursery | None = None
    _endpoint: Endpoint | None = None
    _callers: OpenCallers = attrs.field(factory=lambda: OpenCallers(everybody))

    @asynccontextmanager
    async def serving(self, endpoint: Endpoint) -> AsyncGenerator[None, None]:
        """Let clients come for the length of the block."""
        async with trio.open_nursery() as nursery:
            self._nursery, self._endpoint, self.vanish = nursery, endpoint, False
            self._callers = OpenCallers(endpoint.trusts)
            self.refused.clear()
            try:
                yield
            finally:
                self._nursery = self._endpoint = None
                nursery.cancel_scope.cancel()

    def serve(self, conversation: MemoryConversation, caller: Caller) -> None:
        """Have the node serve a client. Only dialers call this."""
        if self._nursery is None or self._endpoint is None or self._endpoint.converse is None:
            conversation.end()
        else:
            self._nursery.start_soon(self._converse, self._endpoint.converse, conversation, caller)

    async def _converse(self, converse: Converse, conversation: MemoryConversation, caller: Caller) -> None:
        try:
            with self._callers.serving(caller) as serving, contextlib.suppress(TransportError):
                await converse(conversation, caller)
            self.refused[NOT_A_MEMBER] += serving.cancelled_caught
        finally:
            if not self.vanish:
                conversation.end()

    async def operate(self, request: bytes, caller: Caller) -> bytes:
        """Have the node do something; return its reply.

        Raises:
            Unreachable: it does nothing for operators, or this one lost its trust.
        """
        if self._endpoint is None or self._endpoint.operate is None:
            raise Unreachable("the node does nothing for operators")
        reply = b""
        with self._callers.serving(caller, grace_s=REPLY_GRACE_S, newcomers=True) as serving:
            try:
                reply = await self._endpoint.operate(request, caller)
            except Denied as denied:
                self.refused[denied.refusal.reason] += 1
                reply = denied.reply
        if serving.cancelled_caught:
            self.refused[NOT_A_MEMBER] += 1
            raise Unreachable("the connection was closed without a reply")
        return reply

    def review(self) -> None:
        """Look at all of them again; see `Endpoint.trusts`."""
        self._callers.review()


@frozen
class FoundNode:
    """A node that runs on a network."""

    node_id: str
    endpoint: Endpoint
    clients: MemoryClients
    features: frozenset[str]


@define(eq=False)
class MemoryDialer(Dialer):
    """A client's way to the nodes of a network; made by `MemoryNetwork.dialer`. Its links are cut like nodes' are, by
    its name.

    Attributes:
        name: the client's.
        find: finds a node by its address or its id.
        is_open: whether messages from one can reach the other.
        delay_s: draws how long one is under way now.
        rights: what nodes let it do.
        certified_as: the node whose certificate it shows; None: one of its own.
        connect_timeout_s: after so long nobody answers.
    """

    name: str
    find: Callable[[str], FoundNode | None]
    is_open: Callable[[str, str], bool]
    delay_s: Callable[[], float]
    rights: frozenset[Right] = ALL_RIGHTS
    certified_as: str | None = None
    connect_timeout_s: float = 2.0

    @override
    async def dial(self, address: str, cluster_id: str, node_id: str | None = None) -> MemoryConversation:
        """Connect with a node (see `Dialer.dial`): by its address, or its id."""
        await trio.lowlevel.checkpoint()
        found = self.find(address)
        if found is None:
            raise Unreachable(f"nobody answers at {address}")
        name, other, endpoint = self.name, found.node_id, found.endpoint
        if not (self.is_open(name, other) and self.is_open(other, name)):
            await trio.sleep(self.connect_timeout_s)
            raise Unreachable(f"nobody answers at {address}: no connection within {self.connect_timeout_s} s")
        if endpoint.converse is None or CLIENTS not in found.features:
            raise ProtocolError(f"{other!r} is of a version that serves no clients: upgrade it")
        if endpoint.cluster_id != cluster_id or node_id not in (None, other):
            raise ProtocolError(f"{other!r} of cluster {endpoint.cluster_id!r} answers at {address}")
        speaks_for = None if self.certified_as is None else partial(operator.eq, self.certified_as)
        caller = Caller(name, self.rights, speaks_for)
        if not endpoint.trusts(caller):
            found.clients.refused[NOT_A_MEMBER] += 1
            raise ProtocolError(f"it refuses: NOT_PROVEN: {self.certified_as!r} is no member, as far as it knows")
        there, back = _Pipe(self._arrival(name, other)), _Pipe(self._arrival(other, name))
        found.clients.serve(MemoryConversation(there, back), caller)
        return MemoryConversation(back, there)

    def _arrival(self, sender: str, receiver: str) -> Callable[[], float | None]:
        def due() -> float | None:
            return trio.current_time() + self.delay_s() if self.is_open(sender, receiver) else None

        return due
