"""The service's connections: accept, read requests, write replies, close.

One task serves one client, and it does one thing at a time: it reads, answers all that it has read, and only
then reads on. So a client that sends without reading its replies fills the buffers of its own connection, the
task waits in `TcpStream.send`, and nobody else notices. What a connection holds is bounded by the request limits on
the way in and, on the way out, by `send_bytes` and one value.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import count

import trio

from raft_actors.errors import ConfigurationError
from raft_actors.service.connection import LARGEST_READ, SMALLEST_READ, Context, ServiceConfig, Session
from raft_actors.service.door import UNKNOWN_CLIENT_BYTES, Door
from raft_actors.service.keyvalue import KeyValue
from raft_actors.service.memory import FREE_BYTES, Claim, GivenUp
from raft_actors.service.pipeline import answer_run, takes_time
from raft_actors.service.replica import Replica
from raft_actors.service.replies import LARGE_BYTES, ErrorReply, encode
from raft_actors.service.resp import Request, RequestParser
from raft_actors.service.timekeeping import keep_time
from raft_actors.transports.sockets import listening
from raft_actors.transports.sockets.accepting import serve_listeners
from raft_actors.transports.sockets.direct import DirectStream
from raft_actors.transports.sockets.stream import TcpStream
from raft_actors.transports.tls.failures import TlsFailure

_logger = logging.getLogger(__name__)

_TOO_SLOW = ErrorReply("ERR the rest of this request took too long while other clients waited for memory")
_TOO_MANY = ErrorReply("ERR max number of clients reached").encoded
_TOO_LARGE_FOR_STRANGERS = ErrorReply("NOAUTH Authentication required: log in before you send so much")
_LINGER_S = 1.0
_FAIR_SHARE = 64


async def open_listeners(host: str, port: int) -> list[trio.SocketListener]:
    """Listen for clients.

    Raises:
        ListenError: the address is taken, not allowed, or not of this machine.
    """
    try:
        return await listening.open_listeners(host, port)
    except (OSError, UnicodeError) as error:
        raise listening.listen_error(f"for Redis clients at {host}:{port}", error) from error


class Service:
    """Serves the Redis clients of one node. It runs once.

    Attributes:
        context: settings, counters and open connections.
    """

    def __init__(self, node: Replica, machine: KeyValue, config: ServiceConfig) -> None:
        self.context: Context = Context(node, machine, config)
        self._door = Door(self.context)
        self._numbers = count(1)
        self._accepting = trio.CancelScope()

    async def run(
        self,
        listeners: Sequence[trio.SocketListener],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until `drain` has ended it or it is cancelled. Closes the listeners in any case.

        Raises:
            ConfigurationError: the files of certificates or users are of no use.
        """
        try:
            await self._door.open()
        except ConfigurationError:
            for listener in listeners:
                await trio.aclose_forcefully(listener)
            raise
        async with self.context.any_node.gathered.open(), trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                accepting.start_soon(self._door.watch)
                accepting.start_soon(keep_time, self.context)
                # Listeners close as soon as nothing more is accepted: other nodes' clients then see it at
                # once.
                with self._accepting:
                    task_status.started()
                    await self._accept(listeners, connections)
                accepting.cancel_scope.cancel()
            connections.cancel_scope.deadline = trio.current_time() + self.context.config.drain_timeout_s

    def drain(self) -> None:
        """Accept no more, let requests under way be answered (within `drain_timeout_s`), close all
        connections.

        Returns at once; `run` ends when it is done.
        """
        self.context.draining = True
        self.context.memory.close()
        self._accepting.cancel()
        for stream in self.context.sessions.values():
            # A task that waits for requests meets the end of the stream; one that answers some is left to
            # finish.
            stream.end_receiving()

    async def _accept(self, listeners: Sequence[trio.SocketListener], connections: trio.Nursery) -> None:
        async def serve(stream: trio.SocketStream) -> None:
            listening.tune(stream, self.context.config.dead_client_timeout_s)
            await self._serve(TcpStream(stream))

        await serve_listeners(serve, listeners, self._door.budget, connections, _logger)

    async def _serve(self, stream: TcpStream) -> None:
        """One client, from its first byte to its last.

        Whatever goes wrong here ends this connection and no other.
        """
        door = self._door
        session = Session(next(self._numbers))
        session.want_moved(self.context.config.moved)
        self.context.statistics.accepted_connections += 1
        async with stream:
            try:
                cause = door.let_in(session, stream)
                if cause is not None:
                    door.reject(stream, cause)
                    if door.keeper is None:
                        await stream.send(_TOO_MANY)
                    return
                with session.life:
                    async with await door.secure(session, stream) as secured:
                        await self._converse(secured, session)
                if session.life.cancelled_caught:
                    why = "others needed its place" if session.displaced else "that took too long"
                    door.reject(stream, session.displaced or "LOGIN_TIMEOUT", f"it has not said who it is: {why}")
            except trio.BrokenResourceError:
                pass  # the client went away
            except TlsFailure as failure:
                if not self.context.draining:
                    door.reject(stream, failure.trouble.name, str(failure))
            except Exception:
                _logger.exception("a client's request met a bug: its connection is closed")
            finally:
                door.let_out(session, stream)

    async def _converse(self, stream: DirectStream, session: Session) -> None:
        claim = Claim()
        try:
            error = await self._answer_all(stream, session, claim)
        except GivenUp:
            error = _TOO_SLOW
            _logger.warning("closed a client's connection: others waited for the memory that its request held")
        finally:
            self.context.memory.release(claim)
        if error is not None:
            await stream.send(error.encoded)
            await _linger(stream)

    async def _answer_all(self, stream: DirectStream, session: Session, claim: Claim) -> ErrorReply | None:
        """Read and answer until the client or the service ends it; return what to say last, where it is an error.

        Raises:
            GivenUp: others wait for the memory that a request of this client holds.
        """
        context = self.context
        parser = RequestParser(context.config.limits)
        while not (session.closing or context.draining):
            count = max(SMALLEST_READ, min(parser.missing_bytes, LARGEST_READ))
            if claim.size:
                with claim.may_be_given_up():
                    data = await stream.receive_some(count)
            else:
                data = await stream.receive_some(count)
            if not data:
                return None
            await self._answer(stream, session, parser.feed(data))
            if parser.error is not None and not session.closing:
                context.statistics.protocol_errors += 1
                return ErrorReply(f"ERR Protocol error: {parser.error}")
            if session.user is None and parser.bound_bytes > UNKNOWN_CLIENT_BYTES:
                return _TOO_LARGE_FOR_STRANGERS
            needed = parser.bound_bytes + session.queued_bound_bytes(context.config.max_command_bytes)
            if needed > FREE_BYTES or claim.size:
                await context.memory.resize(claim, needed)
        return None

    async def _answer(self, stream: DirectStream, session: Session, requests: list[Request]) -> None:
        """Answer requests in order; replies leave together, except where a client would wait for the next request's."""
        pieces: list[bytes] = []
        size = position = 0
        while position < len(requests) and not session.closing:
            if pieces and takes_time(session, requests[position]):
                await _send(stream, pieces)
                pieces, size = [], 0
            replies = await answer_run(self.context, session, requests, position)
            position += len(replies)
            if position % _FAIR_SHARE == 0:
                await trio.lowlevel.checkpoint()  # requests that need no other node would never yield
            for reply in replies:
                for piece in encode(reply, session.protocol):
                    pieces.append(piece)
                    size += len(piece)
                    if size >= self.context.config.send_bytes:
                        await _send(stream, pieces)
                        pieces, size = [], 0
        self.context.statistics.requests += position
        if pieces:
            await _send(stream, pieces)


async def _send(stream: DirectStream, pieces: list[bytes]) -> None:
    """Send pieces; large values as they are, so that a client which is slow to take one costs no copy of it."""
    if len(pieces) == 1:
        await stream.send(pieces[0])
    elif max(map(len, pieces)) >= LARGE_BYTES:
        await stream.send_parts(pieces)
    else:
        await stream.send(b"".join(pieces))


async def _linger(stream: DirectStream) -> None:
    """Wait a moment for the client to close first.

    Closing with unread bytes makes the kernel send a reset, which can overtake the error that explains it.
    """
    with trio.move_on_after(_LINGER_S):
        stream.end_sending()
        while await stream.receive_some(LARGEST_READ):
            pass
