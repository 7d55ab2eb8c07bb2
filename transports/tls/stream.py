"""A connection over TLS that can be used without a task, as `TcpStream` can.

`trio.SSLStream` sends only from a task, and keeps to itself the alert by which a side that refuses a certificate tells
the other why. Here the ssl module works between two buffers in memory: what it wants sent is handed to the kernel there
and then, alerts as well, and one read of the socket feeds many of its records.

What a stranger can make this side hold is bounded: `MAX_HANDSHAKE_BYTES` on the way in, and as much on the way out.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from operator import index
from typing import Any, NoReturn, TypeVar

import trio
from typing_extensions import override

from raft_actors.transports.sockets.direct import DirectStream, unsent
from raft_actors.transports.sockets.stream import TcpStream
from raft_actors.transports.tls.failures import TlsFailure, Trouble, failure_of

T = TypeVar("T")

MAX_HANDSHAKE_BYTES = 64 * 1024
"""What the other side may say until the handshake is over. Certificates with their chain take some thousand bytes."""

_HANDSHAKE_READ_BYTES = 16 * 1024
_READ_BYTES = 256 * 1024
_WRITE_BYTES = 256 * 1024
"""Encrypted at a time: what is not sent yet takes no more memory than this, and no other task is held up for long."""
_MOST_UNASKED_BYTES = 64 * 1024
"""Of answers that TLS itself wants sent while data are received, and that the other side does not take."""
_LINGER_S = 1.0


class TlsStream(DirectStream):
    """TLS over a TCP connection. Nothing may be sent or received before `do_handshake` has returned.

    Attributes:
        peer_host: as of `TcpStream`.
        certificate: what the other side's certificate says, as `ssl.SSLSocket.getpeercert` tells it; empty where it
            showed none, or none was asked for.
    """

    def __init__(self, tcp: TcpStream, context: ssl.SSLContext, *, server_side: bool) -> None:
        """Take over the connection; it is closed with this one."""
        self._tcp = tcp
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        # Any: what `read` returns depends on whether it is given a buffer.
        self._tls: Any = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self._encrypted = memoryview(b"")  # taken from `_outgoing`, and not sent yet
        self._failure: ssl.SSLError | None = None
        self._sending = self._closed = False
        self.peer_host: str = tcp.peer_host
        self.certificate: dict[str, Any] = {}

    async def do_handshake(self) -> None:
        """Agree on keys, and check the other side's certificate. Set a time limit around it.

        Raises:
            TlsFailure: the two did not agree; the other side was told why, as far as TLS has words for it.
            trio.BrokenResourceError: as it comes.
        """
        try:
            await self._shake_hands()
            self.certificate = self._peer_certificate()
        except TlsFailure as caught:
            failure = caught
        else:
            return
        if failure.trouble is not Trouble.ENDED:  # else there is nobody to tell
            self._flush_now()  # the alert
            await self._linger()
        raise failure

    async def _shake_hands(self) -> None:
        heard = 0
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
            except ssl.SSLError as error:
                raise failure_of(error) from error
            else:
                await self._flush()
                return
            data = await self._tcp.receive_some(_HANDSHAKE_READ_BYTES)
            heard += len(data)
            if not data:
                raise TlsFailure(Trouble.ENDED)
            if heard > MAX_HANDSHAKE_BYTES:
                raise TlsFailure(Trouble.TOO_MUCH, f"more than {MAX_HANDSHAKE_BYTES} bytes")
            self._incoming.write(data)

    def _peer_certificate(self) -> dict[str, Any]:
        try:
            return dict(self._tls.getpeercert() or {})
        except (ValueError, ssl.SSLError) as error:  # UnicodeDecodeError among them: names are any bytes
            raise TlsFailure(Trouble.BAD_CERTIFICATE, f"it can't be read: {error}") from error

    async def _linger(self) -> None:
        """Wait a moment for the other side to close first: a reset for what was not read would overtake the alert."""
        self._tcp.end_sending()
        heard = 0
        with trio.move_on_after(_LINGER_S):
            while True:
                data = await self._tcp.receive_some(_HANDSHAKE_READ_BYTES)
                heard += len(data)
                if not data or heard > MAX_HANDSHAKE_BYTES:
                    break

    # --- sending ---------------------------------------------------------------------------------------------

    @property
    @override
    def holds_back(self) -> bool:
        return bool(self._encrypted) or bool(self._outgoing.pending)

    @override
    def send_parts_now(self, parts: Sequence[bytes | memoryview]) -> int:
        # As long as something waits, nothing more is encrypted: it would only wait too.
        if self._closed or self._failure is not None or not self._flush_now():
            return 0
        data = _first_of(parts, _WRITE_BYTES)
        try:
            self._encrypt(data)
        except trio.BrokenResourceError:
            return 0
        self._flush_now()
        return len(data)

    @override
    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.send_all_parts([data])

    @override
    async def send_all_parts(self, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        with self._only_sender():
            await trio.lowlevel.checkpoint()
            self._check_open()
            await self._flush()
            rest: Sequence[bytes | bytearray | memoryview] = parts
            while data := _first_of(rest, _WRITE_BYTES):
                rest = unsent(rest, len(data))
                self._encrypt(data)
                await self._flush()

    @override
    async def wait_send_all_might_not_block(self) -> None:
        await self._tcp.wait_send_all_might_not_block()

    @contextmanager
    def _only_sender(self) -> Generator[None]:
        if self._sending:
            raise trio.BusyResourceError("another task sends on this connection")
        self._sending = True
        try:
            yield
        finally:
            self._sending = False

    def _encrypt(self, data: bytes) -> None:
        written, view = 0, memoryview(data)
        while written < len(data):
            try:
                written += self._tls.write(view[written:])
            except ssl.SSLError as error:
                self._fail(error)

    def _flush_now(self) -> bool:
        """Hand to the kernel what it takes; return whether that was all."""
        while self._encrypted or self._outgoing.pending:
            if not self._encrypted:
                self._encrypted = memoryview(self._outgoing.read())
            sent = self._tcp.send_now(self._encrypted)
            if not sent:
                return False
            self._encrypted = self._encrypted[sent:]
        return True

    async def _flush(self) -> None:
        while not self._flush_now():
            await self._tcp.wait_writable()
            # Not what had to wait: answers to what was received may have been sent meanwhile, and that with them.
            self._encrypted = self._encrypted[self._tcp.try_send(self._encrypted) :]

    # --- receiving -------------------------------------------------------------------------------------------

    @override
    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        size = _READ_BYTES if max_bytes is None else index(max_bytes)
        if size < 1:
            raise ValueError(f"max_bytes must be at least 1, not {size}")
        return await self._receive(lambda: self._tls.read(size), b"")

    @override
    async def receive_into(self, buffer: memoryview) -> int:
        count = await self._receive(lambda: self._tls.read(len(buffer), buffer), 0)
        # A record holds 16 KiB at most, and there may be more of them.
        while count and self._incoming.pending and count < len(buffer):
            rest = buffer[count:]
            try:
                count += self._tls.read(len(rest), rest)
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                break
            except ssl.SSLError as error:
                self._failure = error  # which the next call tells
                break
        return count

    async def _receive(self, read: Callable[[], T], nothing: T) -> T:
        self._check_open()
        while True:
            if self._failure is not None:
                self._fail(self._failure)
            try:
                got = read()
            except ssl.SSLWantReadError:
                self._answer()
            except ssl.SSLZeroReturnError:
                return nothing
            except ssl.SSLError as error:
                self._fail(error)
            else:
                self._answer()
                return got
            data = await self._tcp.receive_some(_READ_BYTES)
            if not data:
                # An end without a word: a process was killed. What is cut off that way is no whole frame or request.
                return nothing
            self._check_open()
            self._incoming.write(data)

    def _answer(self) -> None:
        """Send what TLS itself wants sent, such as new keys; what the kernel does not take goes with the next data."""
        if self._outgoing.pending and not self._flush_now() and self._outgoing.pending > _MOST_UNASKED_BYTES:
            self._fail(ssl.SSLError("the other side asks for new keys, and takes none"))

    def _fail(self, error: ssl.SSLError) -> NoReturn:
        self._failure = error
        self._flush_now()  # an alert
        failure = failure_of(error)
        raise trio.BrokenResourceError(str(failure)) from failure

    # --- ending ----------------------------------------------------------------------------------------------

    @override
    def other_end_left(self) -> bool:
        return self._tcp.other_end_left()

    @override
    def end_sending(self) -> None:
        self._say_end()
        self._tcp.end_sending()

    @override
    def end_receiving(self) -> None:
        self._tcp.end_receiving()

    @override
    async def aclose(self) -> None:
        if not self._closed:
            self._say_end()
            self._closed = True
        await self._tcp.aclose()

    def _say_end(self) -> None:
        """Tell the other side in words of TLS, where that takes no waiting."""
        # Raised because it waits for the other side's answer, or there was no handshake.
        with suppress(ssl.SSLError, ValueError):
            self._tls.unwrap()
        self._flush_now()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this connection was closed by this process")


def _first_of(parts: Sequence[bytes | bytearray | memoryview], most: int) -> bytes:
    """The first bytes of the parts, put together: at most so many."""
    if len(parts) == 1 and len(parts[0]) <= most:
        return bytes(parts[0])
    first: list[bytes | bytearray | memoryview] = []
    for part in parts:
        first.append(part if len(part) <= most else memoryview(part)[:most])
        most -= len(first[-1])
        if not most:
            break
    return b"".join(first)
