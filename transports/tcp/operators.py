"""Connections of operators, and of nodes that want to join: one request, one reply (see `wire.operating`).

A request may take long: a change of members waits until newcomers have caught up. Who hangs up meanwhile waits no more;
what was begun goes on. Only so many are served at a time: more are turned away, so that nobody's patience costs the
node's memory.
"""

from __future__ import annotations

import contextlib

import attrs
import trio

from raft_actors.errors import ProtocolError, Unreachable
from raft_actors.records import define
from raft_actors.transports.conversation import Caller
from raft_actors.transports.greeting import Denied, Operate
from raft_actors.transports.wire.frames import FrameParser, frame
from raft_actors.transports.wire.operating import MAX_REPLY_BYTES, seal, unseal

_MOST_AT_A_TIME = 64
_RECEIVE_BYTES = 64 * 1024


@define(eq=False)
class Operators:
    """Answers those who ask a node to do something.

    Attributes:
        operate: does it.
        reply_timeout_s: how long who asked may take to read the reply.
        serving: how many are served now.
    """

    operate: Operate
    reply_timeout_s: float
    serving: int = attrs.field(default=0, init=False)

    async def serve(self, stream: trio.abc.Stream, payload: bytes, caller: Caller) -> None:
        """Do what a connection that began with this payload asks for, and reply. Who calls this closes the connection.

        Raises:
            ProtocolError: it is of another version, or there are too many already.
            Denied: it may not have that done, and has been told so.
        """
        request, denied = unseal(payload), None
        if self.serving >= _MOST_AT_A_TIME:
            raise ProtocolError(f"{self.serving} operators are served already: try again later")
        self.serving += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_watch, stream, nursery.cancel_scope)
                try:
                    reply = await self.operate(request, caller)
                except Denied as error:
                    denied, reply = error, error.reply
                nursery.cancel_scope.deadline = trio.current_time() + self.reply_timeout_s
                with contextlib.suppress(trio.BrokenResourceError):  # who asked is gone: nobody is left to be told
                    await stream.send_all(frame(seal(reply)))
                nursery.cancel_scope.cancel()
        finally:
            self.serving -= 1
        if denied is not None:
            raise denied


async def _watch(stream: trio.abc.Stream, waiting: trio.CancelScope) -> None:
    """End the wait when who asked hangs up, or says more, which nobody has to."""
    with contextlib.suppress(trio.BrokenResourceError):
        await stream.receive_some(1)
    waiting.cancel()


async def ask(stream: trio.abc.Stream, request: bytes) -> bytes:
    """Ask the node at the other end; return its reply. The caller closes the connection.

    Raises:
        Unreachable: the connection broke, or was closed without a reply.
        ProtocolError: what answered is no node of this library, or of another version.
    """
    parser = FrameParser(MAX_REPLY_BYTES)
    try:
        await stream.send_all(frame(seal(request)))
        while data := await stream.receive_some(_RECEIVE_BYTES):
            for payload in parser.feed(data):
                return unseal(payload)
    except trio.BrokenResourceError as error:
        raise Unreachable(f"the connection broke: {error.__cause__ or error}") from error
    raise Unreachable("the connection was closed without a reply")
