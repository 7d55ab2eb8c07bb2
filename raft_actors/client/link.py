"""The connection to one node: made again whenever it breaks, and given up when the node says nothing any more."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import attrs
import trio

from raft_actors.client.board import Board, Line
from raft_actors.errors import ConfigurationError, TransportError, Unreachable
from raft_actors.node.client_messages import Ask, pack
from raft_actors.records import define
from raft_actors.transports.conversation import Conversation, Dialer
from raft_actors.transports.tcp.backoff import Backoff


@define(eq=False)
class Link:
    """Keeps up one line of the board.

    Attributes:
        board: what is known of all nodes.
        dialer: how nodes are reached.
        address: where this one is.
        cluster_id: whose member it must be.
        node_id: which one it must be, when it is dialled next; None: any.
        silence_s: a node that says nothing for so long while something is asked of it, or of nobody, is given up.
        scope: cancelled when it is not needed any more.
    """

    board: Board
    dialer: Dialer
    address: str
    cluster_id: str
    node_id: str | None
    silence_s: float
    rng: Random
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    line: Line = attrs.field(init=False)
    _waiting: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot, init=False)
    _heard_at: float = attrs.field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self.line = Line(self.address, self._wake)

    def _wake(self) -> None:
        if self._waiting:
            self._waiting.unpark_all()

    async def run(self, reconnect_delay_s: tuple[float, float]) -> None:
        """Keep it up until it is not needed any more."""
        backoff = Backoff(*reconnect_delay_s, self.rng)
        self.board.lines[self.address] = self.line
        try:
            with self.scope:
                while True:
                    await self._be_connected(backoff)
                    await trio.sleep(backoff.next_s())
        finally:
            if self.board.lines.get(self.address) is self.line:
                del self.board.lines[self.address]
            self.board.troubles.pop(self.address, None)

    async def _be_connected(self, backoff: Backoff) -> None:
        """Connect, and converse until that ends."""
        board, line = self.board, self.line
        why = "the connection is closed"
        conversation: Conversation | None = None
        try:
            conversation = await self.dialer.dial(self.address, self.cluster_id, self.node_id)
            await self._converse(conversation, backoff)
        except (TransportError, ConfigurationError) as error:
            why = str(error)
        finally:
            # First of all: what was under way here goes elsewhere.
            board.lost(line, why)
            if conversation is not None:
                with trio.CancelScope(shield=True):  # it does not wait
                    await conversation.aclose()

    async def _converse(self, conversation: Conversation, backoff: Backoff) -> None:
        failures: list[TransportError] = []

        async def until_it_fails(function: Callable[[Conversation], object]) -> None:
            try:
                await function(conversation)  # type: ignore[misc]
            except TransportError as error:
                failures.append(error)
            nursery.cancel_scope.cancel()

        self._heard_at = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(until_it_fails, self._send)
            nursery.start_soon(until_it_fails, self._watch)
            await until_it_fails(lambda conversation: self._receive(conversation, backoff))
        raise failures[0] if failures else Unreachable("the node closed the connection")

    async def _receive(self, conversation: Conversation, backoff: Backoff) -> None:
        while payloads := await conversation.receive():
            self._heard_at = trio.current_time()
            for payload in payloads:
                self.board.heard(self.line, payload)
            backoff.reset()

    async def _send(self, conversation: Conversation) -> None:
        line = self.line
        while True:
            while not line.outgoing:
                await self._waiting.park()
            outgoing, line.outgoing = line.outgoing, []
            await conversation.send(outgoing)

    def _is_needed(self) -> bool:
        return bool(self.line.calls) or self.board.waits

    async def _watch(self, _conversation: Conversation) -> None:
        """Ask a node that is silent whether it is there, as long as something is asked of it, or waits for a node that
        can answer it: this one may be gone without a word, and what it said last not be so any more.
        """
        line, pause_s = self.line, self.silence_s / 4
        while True:
            began = trio.current_time()
            await trio.sleep(pause_s)
            if not self._is_needed() and line.notice is not None:
                while not self._is_needed():
                    await self._waiting.park()
                self._heard_at = max(self._heard_at, trio.current_time())
                continue
            now = trio.current_time()
            if now - began > 2 * pause_s:
                self._heard_at = min(now, self._heard_at + now - began)  # this process was held up itself
            if now - self._heard_at > self.silence_s:
                raise Unreachable(f"the node has said nothing for {self.silence_s} s")
            if now - self._heard_at >= pause_s:
                line.outgoing.append(pack(Ask.PING, 0))
                self._wake()
