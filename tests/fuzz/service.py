"""Targets of the Redis service: what its clients say, what the log brings to its state machine, and its snapshots."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any, TypeVar

import attrs
import trio
from typing_extensions import override

from raft_actors.errors import NotLeader
from raft_actors.service import keyvalue
from raft_actors.service.commands import COMMANDS
from raft_actors.service.connection import Context, ServiceConfig, Session
from raft_actors.service.kept import KEPT_REPLIES
from raft_actors.service.keyvalue import KeyValue
from raft_actors.service.logins import Logins
from raft_actors.service.operations import (
    Operation,
    SetOption,
    UnknownOperation,
    many,
    operation,
    pipeline,
    set_value,
    transaction,
)
from raft_actors.service.pipeline import answer_run
from raft_actors.service.replies import encode
from raft_actors.service.resp import RequestLimits, RequestParser
from raft_actors.service.users import User
from tests.fuzz.target import Target
from tests.service.support import ADDRESSES, LoneReplica, request

T = TypeVar("T")


@contextmanager
def _few_buckets() -> Generator[None]:
    """State machines of 16 buckets, not of 16,384: to make those is what would take most of the time."""
    many_buckets = keyvalue.BUCKETS
    keyvalue.BUCKETS = 16
    try:
        yield
    finally:
        keyvalue.BUCKETS = many_buckets


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    raise AssertionError("it waits")


async def pieces(data: bytes, count: int) -> AsyncIterator[bytes]:  # noqa: ASYNC900 - it waits for nothing
    """Bytes in so many pieces."""
    size = len(data) // count + 1
    for start in range(0, max(1, len(data)), size):
        yield data[start : start + size]


@cache
def _first() -> KeyValue:
    """The state machine that each input begins with. Nothing is applied to it: see `_machine`."""
    machine = KeyValue()
    machine.pass_time(1000)
    for command in (
        set_value(b"a", b"41"),
        set_value(b"b", b"text"),
        operation(Operation.SET_FOR, b"c", b"soon", 0, 5000),
    ):
        machine.apply(command)
    return machine


def _machine() -> KeyValue:
    """One as `_first`, to which anything may be done: to copy that takes a tenth of the time to make it."""
    machine, first = KeyValue(), _first()
    machine._buckets = [bucket.copy() for bucket in first._buckets]
    machine.deadlines.replace(first.deadlines.now_ms, first.deadlines.at.copy())
    return machine


@cache
def _first_state() -> str:
    return repr(_state(_first()))


def _state(machine: KeyValue) -> object:
    return (
        sorted((key, machine.get(key)) for key in machine.list_keys()),
        machine.deadlines.now_ms,
        machine.deadlines.at,
    )


def _copied(machine: KeyValue) -> KeyValue:
    """Another machine that a snapshot was restored by; it has to be in the same state."""
    copy = _of_snapshot(b"".join(machine.snapshot()))
    if _state(copy) != _state(machine):
        raise AssertionError("a snapshot of it is another state")
    return copy


def _of_snapshot(snapshot: bytes) -> KeyValue:
    copy = KeyValue()
    try:
        run(copy.restore(pieces(snapshot, 3)))
    except ValueError as error:
        raise AssertionError("a snapshot of it is none") from error
    return copy


@lru_cache(maxsize=64)
def _state_of_snapshot(snapshot: bytes) -> object:
    """The state that a snapshot restores. Most inputs change nothing, so that their snapshots are the same bytes."""
    return _state(_of_snapshot(snapshot))


def _check_copy(machine: KeyValue) -> None:
    """As `_copied`, where nobody goes on with the other machine."""
    if _state_of_snapshot(b"".join(machine.snapshot())) != _state(machine):
        raise AssertionError("a snapshot of it is another state")


# --- commands of the log -------------------------------------------------------------------------------------


def _apply(data: bytes) -> object:
    """What a client hands in at the nodes' own port ends no node, is done or refused as a whole, and can be kept."""
    with _few_buckets():
        command = KeyValue.commands.decode(data)
        machine = _machine()
        try:
            reply = machine.apply(command)
        except UnknownOperation as error:
            raise AssertionError("every node would end") from error
        except ValueError:
            if repr(_state(machine)) != _first_state():
                raise AssertionError("refused, and something has changed") from None
            return None
        for protocol in (2, 3):
            _check_replies(b"".join(encode(reply, protocol)), 1)
        KEPT_REPLIES.decode(KEPT_REPLIES.encode(reply))
        copy = _copied(machine)
        copy.pass_time(10**9)
        return copy.snapshot()


_COMMANDS = (
    set_value(b"k", b"v"),
    operation(Operation.SET_WITH_OPTIONS, b"a", b"v", int(SetOption.RETURN_OLD)),
    many(Operation.SET_MANY, [b"k", b"v", b"l", b"w"]),
    many(Operation.DELETE, [b"a", b"k"]),
    operation(Operation.INCREMENT, b"a", -7),
    operation(Operation.APPEND, b"a", b"v"),
    operation(Operation.CLEAR),
    many(Operation.GET_MANY, [b"a", b"k"]),
    operation(Operation.SET_FOR, b"a", b"v", int(SetOption.IF_PRESENT), 2**40),
    operation(Operation.EXPIRE, b"a", 2**62, 0),
    operation(Operation.GET_AND_EXPIRE, b"c", 0),
    operation(Operation.TIME_LEFT, b"c", 1000),
    transaction([set_value(b"k", b"v"), operation(Operation.GET, b"a")]),
    pipeline([operation(Operation.APPEND, b"a", b"v"), operation(Operation.LENGTH, b"a")]),
)


# --- snapshots -----------------------------------------------------------------------------------------------


def _restore(data: bytes) -> object:
    """A snapshot is one however it is cut, and the state that it brings is one to go on with."""
    with _few_buckets():
        machine = _restored(data, 1)
        others = _restored(data, 3)
        if (machine is None) != (others is None):
            raise AssertionError("pieces make a difference")
        if machine is None:
            raise ValueError("no snapshot")
        machine, other = _copied(machine), _copied(machine)
        machine.pass_time(2**62)
        for command in _COMMANDS:
            machine.apply(command)
            other.apply(command)
        return _copied(machine), _copied(other)


def _restored(data: bytes, count: int) -> KeyValue | None:
    machine = _machine()
    try:
        run(machine.restore(pieces(data, count)))
    except ValueError:
        if repr(_state(machine)) != _first_state():
            raise AssertionError("refused, and something has changed") from None
        return None
    return machine


def _snapshots() -> tuple[bytes, ...]:
    with _few_buckets():
        plain = KeyValue()
        plain.apply(set_value(b"key", b"value"))
        return b"".join(_machine().snapshot()), b"".join(plain.snapshot()), b"".join(KeyValue().snapshot())


# --- requests of clients -------------------------------------------------------------------------------------


@attrs.define(eq=False)
class _NoThreads(Logins):
    """Nobody has a password: comparing one takes 50 ms, on purpose."""

    @override
    async def log_in(self, address: str, name: str, password: bytes) -> User | None:
        await trio.lowlevel.checkpoint()
        return self.users.get(name)


_SMALL = RequestLimits(max_arguments=64, max_bulk_bytes=1000, max_inline_bytes=500, max_request_bytes=3000)
_LOGINS = _NoThreads()  # one for all inputs: whoever logs in is not counted there
_CONFIG = ServiceConfig(addresses=ADDRESSES, patience_s=0.05, max_command_bytes=2000)
_STRANGER, _MOVED, _LED_ELSEWHERE, _NO_LEADER = 1, 2, 4, 8


async def _serve(data: bytes) -> None:
    """As many replies as requests, each a whole one. The first byte says who the client is, and who leads."""
    circumstances = data[0] if data else 0
    parser = RequestParser(_SMALL)
    requests = parser.feed(data[1:])
    with _few_buckets():
        replica = LoneReplica(_machine())
        if circumstances & _LED_ELSEWHERE:
            replica.leader = None if circumstances & _NO_LEADER else "n2"
            replica.error = NotLeader(replica.leader) if circumstances & _NO_LEADER else None
        wire, count = await _answer(replica, requests, circumstances)
        _check_replies(wire, count)
        _check_copy(replica.machine)


async def _answer(replica: LoneReplica, requests: Sequence[list[bytes]], circumstances: int) -> tuple[bytes, int]:
    session = Session(1)
    context = Context(replica, replica.machine, _CONFIG, logins=_LOGINS)
    if circumstances & _STRANGER:
        session.become(None)
    session.want_moved(bool(circumstances & _MOVED))
    replies: list[Any] = []
    wire = b""
    while len(replies) < len(requests) and not session.closing:
        found = await answer_run(context, session, requests, len(replies))
        if not found:
            raise AssertionError("a request without a reply")
        replies += found
        wire += b"".join(piece for reply in found for piece in encode(reply, session.protocol))
    if len(replies) > len(requests):
        raise AssertionError("more replies than requests")
    return wire, len(replies)


def _check_replies(wire: bytes, count: int) -> None:
    """See that these are so many replies."""
    position = 0
    for _ in range(count):
        position = _behind(wire, position)
    if position != len(wire):
        raise AssertionError("more than the replies")


def _behind(wire: bytes, position: int) -> int:
    """Where the reply at a position ends."""
    kind, newline = wire[position : position + 1], wire.index(b"\r\n", position)
    rest, position = wire[position + 1 : newline], newline + 2
    if kind in b"$=":
        size = int(rest)
        if size >= 0 and wire[position + size : position + size + 2] != b"\r\n":
            raise AssertionError("a bulk string does not end where its length says")
        return position + (size + 2 if size >= 0 else 0)
    if kind in b"*~%":
        for _ in range(int(rest) * (2 if kind == b"%" else 1)):
            position = _behind(wire, position)
        return position
    if kind not in b"+-:_":
        raise AssertionError(f"no reply begins with {kind!r}")
    return position


def _requests() -> Iterator[bytes]:
    """Each command, with the fewest arguments; some with all that they can have; and some in a row."""
    for command in COMMANDS.values():
        yield b"\0" + request(command.name, *["a", "1", "2", "3"][: command.fewest - 1])
    for words in (
        "SET a 1 NX GET EX 100",
        "SET a 1 XX KEEPTTL",
        "GETEX a PXAT 99999999999999",
        "EXPIRE a 10 GT",
        "SCAN 0 MATCH [a-z]* COUNT 3 TYPE string",
        "HELLO 3 AUTH default x SETNAME me",
        "CLIENT SETINFO lib-name x",
        "CONFIG GET max*",
        "COMMAND INFO get nothing",
        "CLUSTER KEYSLOT {a}b",
        "RAFT.LOCAL MGET a b",
        "RAFT.WAIT APPLIED 0",
        "INFO server everything",
        "MSET a 1 b 2",
    ):
        yield b"\0" + request(*words.split())
    for circumstances in range(16):
        lines = "MULTI|GET a|INCR a|APPEND b x|EXEC|GET b|SET c d PX 5|TTL c|"
        yield bytes([circumstances]) + lines.replace("|", "\r\n").encode()


_PACKER_BYTES = 1_200_000  # the buffer of what makes a snapshot

TARGETS: dict[str, Target] = {
    "redis": Target(
        _serve, (), tuple(_requests()), memory_factor=200, free_bytes=_PACKER_BYTES, inputs_in_test=2_000, waits=True
    ),
    "apply": Target(_apply, (ValueError,), _COMMANDS, free_bytes=_PACKER_BYTES),
    "key-values": Target(_restore, (ValueError,), _snapshots(), free_bytes=_PACKER_BYTES),
}
