"""What is fed with bytes: every place where bytes from elsewhere are taken apart, and what it may say to them.

The targets of the service, of clients and of operators, which have state, are in files of their own.
"""

from __future__ import annotations

import contextlib
import ssl
import struct
import zlib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from typing_extensions import override

from raft_actors.errors import ConfigurationError, ProtocolError, StorageCorrupt, StorageError
from raft_actors.persistence.abc import StoreIdentity
from raft_actors.persistence.sqlite.files import Files
from raft_actors.persistence.sqlite.mark import Mark, MarkedCommit, mark_path, read_mark
from raft_actors.persistence.sqlite.segments import resolve
from raft_actors.persistence.sqlite.store_row import StoreRow, row_of
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.membership import Configuration, Member
from raft_actors.raft.membership_codec import decode_configuration, encode_configuration
from raft_actors.raft.persistent_state import HardState, SnapshotMetadata, StoredConfiguration, TermRun
from raft_actors.service.operations import decode as decode_command
from raft_actors.service.operations import describe, set_value, transaction
from raft_actors.service.resp import RequestLimits, RequestParser
from raft_actors.service.users import PasswordHash, Rights, User, lines_of, parse_users
from raft_actors.transports import decode, encode
from raft_actors.transports.conversation import Right
from raft_actors.transports.sockets.addresses import Address
from raft_actors.transports.tls.credentials import make_contexts
from raft_actors.transports.tls.failures import TlsFailure, failure_of
from raft_actors.transports.tls.naming import DEFAULT_RULE, NameRule
from raft_actors.transports.tls.rights import DEFAULT_CLIENTS, caller_of, client_rules
from raft_actors.transports.wire.frames import FrameParser, frame
from raft_actors.transports.wire.handshake import Answer, Hello, ProtocolRange, Verdict
from tests.fuzz import clients, operators, service
from tests.fuzz.target import Target
from tests.tls.certificates import node_files
from tests.transports.support import SAMPLES

# --- the wire ------------------------------------------------------------------------------------------------

_FRAMES = frame(b"") + frame(b"one") + frame(bytes(300))


def _frames(data: bytes) -> object:
    """In one piece and in several: what comes out must be the same."""

    def payloads(*pieces: bytes) -> list[bytes] | None:
        parser = FrameParser(1000)
        try:
            return [payload for piece in pieces for payload in parser.feed(piece)]
        except ProtocolError:
            return None

    third = len(data) // 3
    whole = payloads(data)
    if whole != payloads(data[:third], data[third : 2 * third], data[2 * third :]):
        raise AssertionError("pieces make a difference")
    return whole


def _message(data: bytes) -> object:
    """What is taken for a message is one: it can be sent on, and is the same then."""
    message = decode(data)
    if decode(encode(message)) != message:
        raise AssertionError("another message comes back")
    return message


_SMALL = RequestLimits(max_arguments=64, max_bulk_bytes=1000, max_inline_bytes=500, max_request_bytes=3000)


def _resp(data: bytes) -> object:
    parser = RequestParser(_SMALL)
    half = len(data) // 2
    requests = parser.feed(data[:half]) + parser.feed(data[half:])
    if any(not request for request in requests) or parser.bound_bytes < 0:
        raise AssertionError("no request")
    return requests


_COMMAND = EntryBatch.encode(7, 3, EntryKind.COMMAND, [b"one", b"", b"three"])
_MEMBERS = {"a": Member("h:1", {"zone": "x"}), "c": Member("h:2")}
_CONFIGURATION = Configuration({"a", "b"}, frozenset("c"), members=_MEMBERS)


def _with_checksum(data: bytes) -> bytes:
    """The same with the checksum that it should have: else hardly anything would get past it."""
    return struct.pack(">I", zlib.crc32(data[4:])) + data[4:]


def _batch(data: bytes) -> object:
    batch = EntryBatch.decode(_with_checksum(data))
    if len(batch.commands()) != len(batch) or EntryBatch.decode(batch.data) != batch:
        raise AssertionError("not what it says")
    return batch


# --- the store -----------------------------------------------------------------------------------------------


class _OneFile(Files):
    """A file system that holds these bytes, whatever it is asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @override
    def read(self, path: Path) -> bytes | None:
        return self._data

    @override
    def read_part(self, path: Path, offset: int, size: int) -> bytes | None:
        return self._data[offset : offset + size]


_STORE = Path("store.db")
_SLOT_BYTES = struct.calcsize(">8s16sQQQQ")


def _mark(data: bytes) -> object:
    """Both slots have the checksum that they should have."""
    for offset in (0, 4096):
        slot = data[offset : offset + _SLOT_BYTES]
        data = data[: offset + len(slot)] + struct.pack(">I", zlib.crc32(slot)) + data[offset + len(slot) + 4 :]
    return read_mark(_STORE, _OneFile(data))


@cache
def _marks() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        mark = Mark(path)
        for number in (1, 2):
            mark.write(MarkedCommit("0123456789abcdef", number, 1, 10, 9))
        mark.close()
        return mark_path(path).read_bytes()


_ROW = StoreRow(
    StoreIdentity("orders", "n1", ("n1", "n2")),
    "0123456789abcdef",
    HardState(7, "n2"),
    first_index=3,
    last_index=9,
    term_runs=(TermRun(2, 3), TermRun(7, 8)),
    snapshot_id=1,
    snapshot=SnapshotMetadata(4, 2),
    snapshot_chunks=2,
    snapshot_bytes=100,
    commit_number=12,
    configurations=(StoredConfiguration(5, b"members"),),
)


_COLUMNS = tuple(_ROW.columns())


def _cell(data: bytes) -> object:
    kind, text = data[:1], data[1:].decode("utf-8", "replace")
    try:
        return None if kind == b"n" else int(text) if kind == b"i" else float(text) if kind == b"f" else text
    except ValueError:
        return -1


def _store_row(data: bytes) -> object:
    """Columns by turns, the first letter of each saying of which type it is: the checksum is right for them."""
    columns = {name: _cell(cell) for name, cell in zip(_COLUMNS, data.split(b"\0"), strict=False)}
    row = row_of(columns, _STORE)
    if row_of(row.columns(), _STORE) != row:
        raise AssertionError("another row comes back")
    return row


def _cells(row: StoreRow) -> bytes:
    letters: dict[type, str] = {int: "i", str: "t", type(None): "n"}
    return b"\0".join(f"{letters[type(value)]}{value}".encode() for value in row.columns().values())


def _segment(data: bytes) -> object:
    """A row that refers to a segment of a few bytes; the row's size is the input's last one."""
    size = data[-1] if data else 0
    return resolve(_STORE, _OneFile(b"0123456789" * 10), data[:-1], size)


# --- people's files and names --------------------------------------------------------------------------------

_CLIENTS = client_rules(DEFAULT_CLIENTS)
_RULES = tuple(map(NameRule.parse, (DEFAULT_RULE, "dns:{node}.{cluster}.example.org", "cn:{node}")))

_WANTED = tuple((rule, rule.name_of("orders", "n1").lower()) for rule in _RULES)


def _names(data: bytes) -> object:
    """A certificate with these names, one a line, is nobody's unless it says so: no node's, client's or operator's."""
    names = data.decode("latin-1").split("\n")
    kinds = ("URI", "DNS", "IP Address", "email")
    certificate: dict[str, Any] = {
        "subject": tuple((("commonName", name),) for name in names),
        "subjectAltName": tuple((kinds[number % 4], name) for number, name in enumerate(names)),
    }
    for rule, wanted in _WANTED:
        try:
            rule.check(certificate, "orders", "n1")
        except TlsFailure:
            continue
        if not any(wanted == name.lower() for name in names):
            raise AssertionError("a name that is not there")
    try:
        caller = caller_of(certificate, "orders", _CLIENTS, _RULES[0], "a node")
    except TlsFailure:
        return None
    role = "raft" if caller.speaks_for else "raft-operator" if Right.OPERATE in caller.rights else "raft-client"
    gives = [name for name in names if name.startswith(f"{role}://orders/")]
    if not gives or not (caller.speaks_for or caller.name in gives):
        raise AssertionError("rights that no name gives")
    return None


@cache
def _server() -> ssl.SSLContext:
    with TemporaryDirectory() as folder:
        return make_contexts(node_files(Path(folder), "n1"))[0]


def _handshake(data: bytes) -> object:
    """What a stranger says instead of a TLS handshake ends in one of the names that there are for it."""
    said, answered = ssl.MemoryBIO(), ssl.MemoryBIO()
    said.write(data)
    try:
        _server().wrap_bio(said, answered, server_side=True).do_handshake()
    except ssl.SSLWantReadError:
        return None
    except ssl.SSLError as error:
        raise failure_of(error) from error
    raise AssertionError("a stranger got in")


@cache
def _client_hello() -> bytes:
    context = ssl.create_default_context()
    nothing, said = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(nothing, said, server_hostname="n1").do_handshake()
    return said.read()


def _users(data: bytes) -> object:
    return parse_users(data.decode("latin-1"), "users")


def _address(data: bytes) -> object:
    address = Address.parse(data.decode("latin-1"))
    if Address.parse(str(address)) != address:
        raise AssertionError("another address comes back")
    return address


def _command(data: bytes) -> object:
    describe(data)
    return decode_command(data)


def _user_lines() -> bytes:
    users = (User("alice", Rights.READ, PasswordHash.of(b"x", cost=4)), User("default", Rights.ALL))
    return "\n".join(lines_of({user.name: user for user in users})).encode()


_HELLO = Hello("orders", "n1", "n2", ProtocolRange(3, 4, frozenset({"a", "b"})), bytes(16), (50, 400))
_ANSWER = Answer(Verdict.OTHER_CLUSTER, ProtocolRange(3, 4, frozenset({"a"})), "why")

TARGETS: dict[str, Target] = (
    service.TARGETS
    | clients.TARGETS
    | operators.TARGETS
    | {
        "hello": Target(Hello.decode, (ProtocolError,), (_HELLO.encode(), b"RAFT\0\2")),
        "answer": Target(Answer.decode, (ProtocolError,), (_ANSWER.encode(ProtocolRange(3, 4)), b"RAFT\0\2\1")),
        "frames": Target(_frames, (), (_FRAMES,)),
        "message": Target(_message, (ProtocolError,), tuple(map(encode, SAMPLES.values()))),
        "batch": Target(_batch, (ValueError,), (_COMMAND.data,)),
        "configuration": Target(decode_configuration, (ValueError,), (encode_configuration(_CONFIGURATION),)),
        "resp": Target(
            _resp,
            (),
            (
                b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nvv\r\n",
                b"GET k\r\nSET \"a b\" '\\''\r\n",
                b"*-1\r\n*0\r\nPING\r\n",
            ),
        ),
        "command": Target(
            _command, (ValueError, TypeError), (set_value(b"k", b"v"), transaction([set_value(b"k", b"v")]))
        ),
        "mark": Target(_mark, (), (_marks(),), most_bytes=4200),
        "store-row": Target(_store_row, (StorageCorrupt,), (_cells(_ROW), _cells(StoreRow(_ROW.identity, "")))),
        "segment": Target(_segment, (StorageError,), (struct.pack(">IQB", 1, 10, 20), b"a batch of its own\x12")),
        "users": Target(_users, (ConfigurationError,), (_user_lines(),)),
        "names": Target(
            _names,
            (),
            (
                b"raft://orders/n1\nn1.orders.example.org\nn1",
                b"raft://orders/n2\n*\n*",
                b"raft-client://orders/billing\nbilling",
                b"raft-operator://orders/alice\nalice",
            ),
        ),
        "address": Target(_address, (ConfigurationError,), (b"db1.example.org:7000", b"[::1]:7000"), most_bytes=300),
        "handshake": Target(_handshake, (TlsFailure,), (_client_hello(),), memory_factor=1000),
    }
)
