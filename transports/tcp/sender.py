"""The way out: one task per peer that keeps a connection to it and writes what is queued.

The queue belongs to one attempt to connect. Messages are taken while an attempt is under way or has succeeded, and
refused while the sender waits to try again; what a failed attempt or a broken connection leaves in the queue is
dropped. Raft repeats whatever still matters, with newer contents, so an old message is worth less than the bandwidth it
takes, and a sender that is told at once can do better than wait for an answer.

The hot path is: where nothing is queued, `send_nowait` hands the message to the kernel itself. What the kernel does not
take, and all that comes meanwhile, is left to the task, which encodes what is queued and writes it with one call. So no
message waits for a task's turn, nor for another one to be answered, and many share a write where the peer is slow.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable

import attrs
import trio

from raft_actors.errors import ProtocolError
from raft_actors.node_log import NodeLog
from raft_actors.raft.messages import AppendEntries, InstallSnapshot, Message
from raft_actors.records import define
from raft_actors.transports.abc import PeerStatistics, TransportStatistics
from raft_actors.transports.greeting import Admit, Refusal, Refused, anybody, never_mind
from raft_actors.transports.sockets.direct import DirectStream, unsent
from raft_actors.transports.tcp.backoff import Backoff
from raft_actors.transports.tcp.outgoing import OutgoingQueue
from raft_actors.transports.tls.failures import TlsFailure, Trouble
from raft_actors.transports.tls.stream import TlsStream
from raft_actors.transports.wire.codec import encode, encode_parts, size_bound
from raft_actors.transports.wire.frames import FrameParser, pack_length
from raft_actors.transports.wire.handshake import MAX_ANSWER_BYTES, Answer, ProtocolRange, Verdict, other_version

_WRITE_BYTES = 256 * 1024
"""A write takes no more messages once it has this many bytes, so that encoding holds up no other task for long."""

_PART_BYTES = 16 * 1024
"""Entries of so many bytes in each batch, and chunks of a snapshot, are sent from where they lie."""

Connect = Callable[[], Awaitable[trio.abc.Stream]]
"""Opens a stream to the peer; OSError where it can't."""


def _nobody_minds() -> None: ...


@define(eq=False, kw_only=True)
class PeerSender:
    """Sends to one peer.

    Attributes:
        peer: the peer's id.
        log: of the node that sends.
        connect: opens a stream to it.
        hello: makes the framed handshake to start with.
        protocol: what it says that this node speaks.
        statistics: where this sender counts; the queue's length is left to `fill_in`.
        totals: where to count protocol errors.
        max_message_bytes: a message that is larger once encoded is refused.
        max_queue_messages, max_queue_bytes: how much may wait: see `OutgoingQueue`.
        connect_timeout_s: limit of one attempt, handshake included.
        backoff: the waits between attempts.
        lost, reached: called when a connection has ended on which the handshake was over, and when it is.
        admit: this node's word on a peer that has accepted it.
        refused: called when the peer will have nothing to do with this node's incarnation.
    """

    peer: str
    log: NodeLog = attrs.field(repr=False)
    connect: Connect
    hello: Callable[[], bytes]
    protocol: ProtocolRange
    statistics: PeerStatistics
    totals: TransportStatistics
    max_message_bytes: int
    max_queue_messages: int
    max_queue_bytes: int
    connect_timeout_s: float
    backoff: Backoff
    lost: Callable[[], None] = _nobody_minds
    reached: Callable[[], None] = _nobody_minds
    admit: Admit = anybody
    refused: Refused = never_mind
    _queue: OutgoingQueue = attrs.field(init=False, repr=False)
    _direct: DirectStream | None = attrs.field(default=None, init=False, repr=False)
    """The connection, while nothing is queued for it."""
    _rest: list[memoryview] = attrs.field(factory=list[memoryview], init=False, repr=False)
    """What the kernel did not take of a message that was sent directly."""
    _taking: bool = attrs.field(default=True, init=False)
    _idle: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot, init=False, repr=False)
    _hurry: trio.Event = attrs.field(factory=trio.Event, init=False, repr=False)
    _last_trouble: str = attrs.field(default="", init=False)
    _refused: bool = attrs.field(default=False, init=False)
    """Whether the peer refused the last attempt, or what was sent in it, and not only for want of knowing this node."""
    _connected_at: float = attrs.field(default=math.inf, init=False)
    _life: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._queue = OutgoingQueue(self.max_queue_messages, self.max_queue_bytes)

    def send_nowait(self, message: Message) -> bool:
        """Queue a message, or count it as dropped."""
        size = size_bound(message)
        if size > self.max_message_bytes:
            size = len(encode(message))  # the bound is a little high, and this is rare
            if size > self.max_message_bytes:
                self._note_too_large(message, size)
        if (
            not self._taking
            or size > self.max_message_bytes
            or (self._direct is None and not self._queue.has_room(message, size))
        ):
            self.statistics.dropped_messages += 1
            return False
        if self._direct is not None and self._send_directly(self._direct, message, size):
            return True
        self._queue.put(message, size)
        if self._idle:
            self._idle.unpark()
        return True

    def _send_directly(self, stream: DirectStream, message: Message, size: int) -> bool:
        """Hand a message to the kernel; what it leaves of it is for the task. False: it took nothing."""
        parts = _framed(message, size)
        sent = stream.send_now(parts[0]) if len(parts) == 1 else stream.send_parts_now(parts)
        total = sum(map(len, parts))
        if sent < total or stream.holds_back:
            self._direct = None
            if not sent:
                return False
            self._rest = unsent(parts, sent)
            self._idle.unpark()
        self.statistics.sent_messages += 1
        self.statistics.sent_bytes += total
        return True

    def hurry(self) -> None:
        """The peer has just been heard of: end a wait between attempts.

        Not after a refusal, which stays what it was: two nodes that refuse each other would hurry each other on. But
        after one for a stranger: a peer that connects knows this node by now, as one that it has just made a member.
        """
        if not self._refused:
            self.backoff.reset()
            self._hurry.set()

    def fill_in(self) -> PeerStatistics:
        """Return a copy of the counters, complete."""
        return attrs.evolve(
            self.statistics,
            refusals_by_reason=Counter(self.statistics.refusals_by_reason),
            queued_messages=len(self._queue),
            queued_bytes=self._queue.bytes,
        )

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Keep a connection to the peer, and send, until stopped or cancelled."""
        try:
            with self._life:
                while True:
                    self._taking, self._refused, self._connected_at = True, False, math.inf
                    await self._attempt()
                    self._taking = False
                    self._note_end()
                    self._drop_queue()
                    self._hurry = trio.Event()
                    with trio.move_on_after(self.backoff.next_s()):
                        await self._hurry.wait()
        finally:
            self._end()

    def stop(self) -> None:
        """End for good: the connection is closed, what waits is dropped, and nobody is told."""
        self.lost = _nobody_minds
        self._end()
        # Another sender to the same peer may count from now on.
        self.statistics = PeerStatistics()
        self._life.cancel()

    def _end(self) -> None:
        self._taking = False
        self.statistics.connected = False
        self._direct = None
        self._drop_queue()

    def _note_end(self) -> None:
        """Start over with short waits after a connection that was of use.

        One that stood for less than the longest wait, or that the peer closed for what came over it, has yet to prove
        that the next one would fare better: else the same megabytes would be sent as fast as the network can.
        """
        if not self._refused and trio.current_time() - self._connected_at >= self.backoff.longest_s:
            self.backoff.reset()
            self._last_trouble = ""

    async def _attempt(self) -> None:
        """Connect, and send until the connection breaks. Returns where it could not, or broke."""
        try:
            with trio.move_on_after(self.connect_timeout_s) as attempt:
                await self._connect_and_send(attempt)
            if attempt.cancelled_caught:
                self._note_trouble(f"no answer within {self.connect_timeout_s} s")
        except trio.BrokenResourceError as error:
            if isinstance(error.__cause__, TlsFailure):
                self._note_unsecured(error.__cause__)
            else:
                self._note_trouble(f"the connection broke: {error.__cause__ or error}")
        except TlsFailure as failure:
            self._note_unsecured(failure)
        except ProtocolError as error:
            self.totals.protocol_errors += 1
            self._note_trouble(str(error))
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that can't be one
            self._note_trouble(f"no connection: {error}")

    def _note_unsecured(self, failure: TlsFailure) -> None:
        """Count a connection that TLS did not secure, by whoever refused it."""
        self._refused = True  # whatever the peer manages to connect, this will be no better for it
        self.totals.refused_by_reason[failure.trouble.name] += 1
        if failure.trouble is Trouble.REFUSED_HERE:
            self._count_refusal(Verdict.NOT_PROVEN)
        else:
            self.totals.refused_handshakes += 1
        self._note_trouble(f"no connection over TLS: {failure}")

    async def _connect_and_send(self, attempt: trio.CancelScope) -> None:
        stream = await self.connect()
        try:
            if await self._shake_hands(stream):
                attempt.deadline = float("inf")
                await self._use(stream)
        finally:
            with trio.CancelScope(shield=True):  # else a bug in what has stopped this sender would be lost in Cancelled
                await trio.aclose_forcefully(stream)

    async def _shake_hands(self, stream: trio.abc.Stream) -> bool:
        """Say hello; return whether the peer accepted."""
        await stream.send_all(self.hello())
        answer = await _hear(stream)
        if answer is not None:
            return self._takes(answer)
        self._note_trouble("it closed the connection during the handshake")
        return False

    def _takes(self, answer: Answer) -> bool:
        """Note what the peer answered; return whether it accepted."""
        statistics, agreement = self.statistics, self.protocol.agree(answer.protocol)
        verdict, detail = answer.verdict, answer.detail
        if agreement is None:
            verdict, detail = Verdict.OTHER_VERSION, other_version(self.protocol, answer.protocol)
        elif verdict is Verdict.ACCEPTED:
            statistics.version, statistics.features = agreement.version, agreement.features
            return self._admits(answer)
        self._count_refusal(verdict)
        # The detail comes from elsewhere: it must not pass for lines of this log, nor for anything else in it.
        said = detail if agreement is None else repr(detail)
        self._note_trouble(f"it refused this node: {verdict.name}" + (f": {said}" if detail else ""))
        if verdict in (Verdict.OTHER_INCARNATION, Verdict.LACKS_FEATURE):
            newest = (answer.configuration_index, answer.configuration_term)
            self.refused(self.peer, Refusal(verdict.name, detail, *newest))
        return False

    def _admits(self, answer: Answer) -> bool:
        """Whether this node takes the peer for the one that it knows by that id."""
        if (refusal := self.admit(answer.greeting(self.peer, self.statistics.address))) is None:
            self.statistics.incarnation = answer.incarnation
            return True
        self._refused = True
        self.totals.refused_handshakes += 1
        self.totals.refused_by_reason[refusal.reason] += 1
        self._note_trouble(f"this node refuses it: {refusal.reason}: {refusal.detail}")
        return False

    def _count_refusal(self, verdict: Verdict) -> None:
        self._refused = verdict is not Verdict.UNKNOWN_NODE
        self.statistics.refusals += 1
        self.statistics.refusals_by_reason[verdict.name] += 1
        self.statistics.last_refusal = verdict.name

    async def _use(self, stream: trio.abc.Stream) -> None:
        """Send what is queued until the connection breaks or the peer closes it."""
        self._connected_at = trio.current_time()
        self.statistics.encrypted = isinstance(stream, TlsStream)
        self.statistics.connects += 1
        self.statistics.connected = True
        self.log.debug("connected to %s", self.peer)
        self.reached()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, stream, nursery.cancel_scope)
                await self._write_queue(stream)
                nursery.cancel_scope.cancel()
        finally:
            self.statistics.connected = False
            self._direct, self._rest = None, []
            self.lost()

    async def _write_queue(self, stream: trio.abc.Stream) -> None:
        direct = stream if isinstance(stream, DirectStream) else None
        try:
            while True:
                while not self._queue and not self._rest and not (direct and direct.holds_back):
                    self._direct = direct
                    await self._idle.park()
                self._direct = None
                parts: list[bytes | memoryview] = [*self._rest, *self._take()]
                self._rest = []
                if direct is not None:
                    await direct.send_all_parts(parts)
                else:
                    await stream.send_all(b"".join(parts))
        except trio.BrokenResourceError as error:
            self._note_trouble(f"the connection broke: {error.__cause__ or error}")

    @trio.lowlevel.enable_ki_protection
    async def _watch(self, stream: trio.abc.Stream, connection: trio.CancelScope) -> None:
        """End the connection when the peer does; a write would notice only the second time, and lose the first.

        All that a peer may say before is why.
        """
        try:
            said = await _hear(stream)
            if said is None:
                self._note_trouble("it closed the connection")
            else:
                self._count_refusal(said.verdict)
                self._note_trouble(f"it refused what this node sent: {said.verdict.name}: {said.detail!r}")
        except ProtocolError:
            self.totals.protocol_errors += 1
            self._note_trouble("it spoke out of turn")
        except trio.BrokenResourceError as error:
            self._note_trouble(f"the connection broke: {error.__cause__ or error}")
        connection.cancel()

    def _take(self) -> list[bytes]:
        """Take messages off the queue, as the parts to write next."""
        parts: list[bytes] = []
        small: list[bytes] = []  # which are put together
        size = count = 0
        while self._queue and size < _WRITE_BYTES:
            message, bound = self._queue.take()
            framed = _framed(message, bound)
            if len(framed) == 1:
                small += framed
            else:
                parts += (b"".join(small), *framed)
                small = []
            size += sum(map(len, framed))
            count += 1
        self.statistics.sent_messages += count
        self.statistics.sent_bytes += size
        return [*parts, b"".join(small)]

    def _drop_queue(self) -> None:
        self.statistics.dropped_messages += len(self._queue)
        self._queue.clear()

    def _note_too_large(self, message: Message, size: int) -> None:
        """Count a message that can't be sent, now or later; tell of the first one."""
        if not self.statistics.too_large_messages:
            self.log.error(
                "peer %s: dropped a %s of %d bytes, where %d are allowed, as all such: it will not get what it lacks",
                *(self.peer, type(message).__name__, size, self.max_message_bytes),
            )
        self.statistics.too_large_messages += 1

    def _note_trouble(self, trouble: str) -> None:
        """Log what is wrong with the peer, once until it changes or a connection succeeds."""
        if trouble != self._last_trouble:
            self._last_trouble = trouble
            self.log.warning("peer %s: %s", self.peer, trouble)


async def _hear(stream: trio.abc.Stream) -> Answer | None:
    """What the peer answers next; None where it says no more.

    Raises:
        ProtocolError: it said something else.
        trio.BrokenResourceError: as it comes.
    """
    parser = FrameParser(MAX_ANSWER_BYTES)
    while data := await stream.receive_some(MAX_ANSWER_BYTES):
        for payload in parser.feed(data):
            return Answer.decode(payload)
    return None


def _framed(message: Message, size: int) -> list[bytes]:
    """A message of about `size` bytes as a frame: in one part, or where copying it would be dear, in several."""
    if (type(message) is InstallSnapshot and size >= _PART_BYTES) or (
        type(message) is AppendEntries and message.entries and size >= _PART_BYTES * len(message.entries)
    ):
        parts = encode_parts(message)
        return [pack_length(sum(map(len, parts))) + parts[0], *parts[1:]]
    payload = encode(message)
    return [pack_length(len(payload)) + payload]
