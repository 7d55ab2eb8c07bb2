"""Requests of the Redis protocol (RESP2 and RESP3 share them), taken out of a stream of bytes without any
I/O.

A request is an array of bulk strings, `*2\\r\\n$3\\r\\nGET\\r\\n$1\\r\\nk\\r\\n`, or an inline line for
people with a terminal, `GET k\\r\\n`, with quotes and escapes as Redis has them. What is longer than the
limits is refused as soon as its header says so, before it is buffered; so is what is no request. After such a
protocol error nothing more is read from that peer: where the next request would start is anybody's guess.

The outcome does not depend on how the bytes were cut into pieces on their way.
"""

from __future__ import annotations

import re

from raft_actors.config import KIB, MIB
from raft_actors.errors import ProtocolError
from raft_actors.records import frozen
from raft_actors.service.memory import ARGUMENT_BYTES, FREE_BYTES

Request = list[bytes]
"""The command's name, as the client spelt it, and its arguments. Never empty."""

_ASTERISK, _DOLLAR = b"*$"
_CRLF = b"\r\n"
_LONGEST_COUNT = 32
"""Bytes of a line `*…` or `$…`, its end included; the largest honest one needs far fewer."""

_SMALL_NUMBERS = {b"%d" % number: number for number in range(2048)}
_NUMBER = re.compile(rb"0|-?[1-9][0-9]{0,17}")
"""As Redis reads numbers: no plus sign, blanks or leading zeros."""

_SHORT_BYTES = 999
_SHORT = re.compile(
    rb"\*([23])\r\n\$(\d{1,3})\r\n([^\r]{0,999})\r\n\$(\d{1,3})\r\n([^\r]{0,999})\r\n"
    rb"(?:\$(\d{1,3})\r\n([^\r]{0,999})\r\n)?"
)
"""Most requests there are: two or three short arguments without a line break, as if their lengths were no matter."""


@frozen
class RequestLimits:
    """What one client may make the service hold.

    Attributes:
        max_arguments: arguments of one request, its name included.
        max_bulk_bytes: one argument.
        max_inline_bytes: one inline request.
        max_request_bytes: one request as it arrives, framing included.
    """

    max_arguments: int = 1024 * 1024
    max_bulk_bytes: int = 16 * MIB
    max_inline_bytes: int = 64 * KIB
    max_request_bytes: int = 32 * MIB


def _number(digits: bytes) -> int | None:
    small = _SMALL_NUMBERS.get(digits)
    if small is not None:
        return small
    return int(digits) if _NUMBER.fullmatch(digits) else None


def _short_request(found: re.Match[bytes]) -> Request | None:
    """The request, if it is what it looks like to `_SHORT`: a length decides where an argument ends."""
    count, size, name, other_size, argument, last_size, last = found.groups()
    number = _SMALL_NUMBERS.get
    if number(size) != len(name) or number(other_size) != len(argument):
        return None
    if last is None:
        return [name, argument] if count == b"2" else None
    return [name, argument, last] if count == b"3" and number(last_size) == len(last) else None


class RequestParser:
    """Collects bytes and hands out requests.

    Attributes:
        error: what was wrong with the stream, once something was; nothing is handed out any more.
    """

    def __init__(self, limits: RequestLimits | None = None) -> None:
        self.error: ProtocolError | None = None
        self._limits = limits or RequestLimits()
        self._takes_short = (
            self._limits.max_arguments >= 3
            and self._limits.max_bulk_bytes >= _SHORT_BYTES
            and self._limits.max_request_bytes >= 4 * _SHORT_BYTES
        )
        self._pending = bytearray()
        self._wanted = 0  # how long `pending` must get before looking at it again is worth while
        # The request under way: its arguments so far, how many are missing, how many of its bytes were
        # consumed.
        self._arguments: Request = []
        self._missing = 0
        self._consumed = 0

    @property
    def missing_bytes(self) -> int:
        """How many bytes at least the request under way still needs; a hint for the size of the next read."""
        return max(0, self._wanted - len(self._pending))

    @property
    def bound_bytes(self) -> int:
        """How large the request under way may become, as far as can be told by now; 0 while there is none.

        That is its bytes as they arrive, and what Python takes for each argument.
        """
        there, missing = len(self._arguments), self._missing
        here = self._consumed * bool(missing) + max(self._wanted, len(self._pending)) + there * ARGUMENT_BYTES
        # Only of the last argument is it known that nothing comes behind it.
        if missing <= 1 or here <= FREE_BYTES:
            return here
        return self._limits.max_request_bytes + (there + missing) * ARGUMENT_BYTES

    def feed(self, data: bytes) -> list[Request]:
        """Take bytes as they came and return the requests that are complete now, in order.

        After a protocol error `error` is set; the requests before it are still returned.
        """
        if self.error is not None:
            return []
        if self._pending:
            self._pending += data
            if len(self._pending) < self._wanted:
                return []
            data = bytes(self._pending)
            self._pending.clear()
        requests: list[Request] = []
        try:
            position = self._take(data, requests)
        except ProtocolError as error:
            self.error = error
            self._arguments = []
        else:
            self._pending += data[position:]
        return requests

    def _take(self, data: bytes, requests: list[Request]) -> int:
        """Move complete requests from `data` to `requests`; return where the incomplete rest starts."""
        position, end, takes_short = 0, len(data), self._takes_short
        self._wanted = 0
        while position < end:
            if not self._missing:
                if takes_short and (short := _SHORT.match(data, position)) and (request := _short_request(short)):
                    requests.append(request)
                    position = short.end()
                    continue
                start = position
                if data[position] == _ASTERISK:
                    position = self._take_header(data, position)
                else:
                    position = self._take_inline(data, position, requests)
                if position == start:
                    break
                continue
            position, complete = self._take_arguments(data, position)
            if not complete:
                break
            requests.append(self._arguments)
            self._arguments = []
        return position

    def _take_header(self, data: bytes, position: int) -> int:
        newline = data.find(_CRLF, position, position + _LONGEST_COUNT)
        if newline < 0:
            if len(data) - position >= _LONGEST_COUNT:
                raise ProtocolError("too big mbulk count string")
            return position
        count = _number(data[position + 1 : newline])
        if count is None or count > self._limits.max_arguments:
            raise ProtocolError("invalid multibulk length")
        self._missing = max(0, count)  # nothing is asked by an empty or a null array
        self._consumed = newline + 2 - position
        return newline + 2

    def _take_arguments(self, data: bytes, position: int) -> tuple[int, bool]:
        """Take the bulk strings that are there; return the position after them, and whether none is missing."""
        arguments, missing, end = self._arguments, self._missing, len(data)
        consumed = self._consumed
        while missing:
            newline = data.find(_CRLF, position, position + _LONGEST_COUNT)
            if newline < 0:
                self._check_bulk_start(data, position)
                break
            if data[position] != _DOLLAR:
                self._check_bulk_start(data, position)
            length = _number(data[position + 1 : newline])
            if length is None or not 0 <= length <= self._limits.max_bulk_bytes:
                raise ProtocolError("invalid bulk length")
            start = newline + 2
            stop = start + length
            consumed += stop + 2 - position
            if consumed > self._limits.max_request_bytes:
                raise ProtocolError("too big request")
            if stop + 2 > end:
                self._wanted = stop + 2 - position
                consumed -= self._wanted
                break
            if data[stop : stop + 2] != _CRLF:
                raise ProtocolError("a bulk string does not end where its length says")
            arguments.append(data[start:stop])
            position = stop + 2
            missing -= 1
        self._missing, self._consumed = missing, consumed
        return position, not missing

    def _check_bulk_start(self, data: bytes, position: int) -> None:
        if position < len(data) and data[position] != _DOLLAR:
            raise ProtocolError(f"expected '$', got '{chr(data[position])}'")
        if len(data) - position >= _LONGEST_COUNT:
            raise ProtocolError("too big bulk count string")

    def _take_inline(self, data: bytes, position: int, requests: list[Request]) -> int:
        limit = self._limits.max_inline_bytes
        newline = data.find(b"\n", position, position + limit)
        if newline < 0:
            if len(data) - position >= limit:
                raise ProtocolError("too big inline request")
            return position
        arguments = split_inline(data[position:newline])
        if len(arguments) > self._limits.max_arguments:
            raise ProtocolError("invalid multibulk length")
        if arguments:
            requests.append(arguments)
        return newline + 1


_BLANKS = b" \t\n\r\x0b\x0c"
_ESCAPES = {ord("n"): b"\n", ord("r"): b"\r", ord("t"): b"\t", ord("b"): b"\b", ord("a"): b"\a"}
_HEXADECIMAL = re.compile(rb"x([0-9a-fA-F]{2})")


def split_inline(line: bytes) -> Request:
    """The arguments of an inline request, separated by blanks.

    `"…"` may hold blanks and the escapes `\\n \\r \\t \\b \\a \\xHH`; `'…'` may hold blanks and `\\'`.

    Raises:
        ProtocolError: a quote is not closed, or something other than a blank follows it.
    """
    if b'"' not in line and b"'" not in line:
        return line.split()
    arguments: Request = []
    position = 0
    while True:
        while position < len(line) and line[position] in _BLANKS:
            position += 1
        if position == len(line):
            return arguments
        argument, position = _inline_argument(line, position)
        arguments.append(argument)


def _inline_argument(line: bytes, position: int) -> tuple[bytes, int]:
    """The argument that starts at `position`, and where it ends. A quote may also start in its middle."""
    argument = bytearray()
    while position < len(line) and line[position] not in _BLANKS:
        character = line[position]
        if character not in b"\"'":
            argument.append(character)
            position += 1
            continue
        position = _quoted(line, position, argument)
        if position < len(line) and line[position] not in _BLANKS:
            raise ProtocolError("unbalanced quotes in request")
    return bytes(argument), position


def _quoted(line: bytes, position: int, argument: bytearray) -> int:
    """Append what stands in the quotes that open at `position`; return the position after them."""
    quote = line[position]
    position += 1
    while position < len(line):
        character = line[position]
        if character == quote:
            return position + 1
        following = line[position + 1 : position + 2]
        if character != ord("\\") or not following or (quote == ord("'") and following != b"'"):
            argument.append(character)
            position += 1
        elif quote == ord('"') and (hexadecimal := _HEXADECIMAL.match(line, position + 1)):
            argument.append(int(hexadecimal[1], 16))
            position += 4
        else:
            argument += _ESCAPES.get(following[0], following) if quote == ord('"') else following
            position += 2
    raise ProtocolError("unbalanced quotes in request")
