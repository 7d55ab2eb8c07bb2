"""The commands that a node answers by itself, without the log: the connection's, and what clients ask to get going."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import trio

from raft_actors.config import KIB
from raft_actors.service.authentication import NOAUTH_HELLO, log_in
from raft_actors.service.connection import Context, Session
from raft_actors.service.data import SYNTAX_ERROR
from raft_actors.service.glob import MAX_PATTERN_BYTES, compile_glob
from raft_actors.service.info import REDIS_VERSION, info_text
from raft_actors.service.keyvalue import NOT_AN_INTEGER
from raft_actors.service.operations import parse_integer
from raft_actors.service.replies import OK, ErrorReply, Reply, SimpleString, Text
from raft_actors.service.resp import Request
from raft_actors.service.topology import master_of

T = TypeVar("T")

_LOOK_S = 1.0
_PONG = SimpleString("PONG")


async def ping(_context: Context, _session: Session, request: Request) -> Reply:
    """PING [message]"""
    if len(request) > 2:
        return ErrorReply("ERR wrong number of arguments for 'ping' command")
    return request[1] if len(request) == 2 else _PONG


async def echo(_context: Context, _session: Session, request: Request) -> Reply:
    """ECHO message"""
    return request[1]


async def select(_context: Context, _session: Session, request: Request) -> Reply:
    """SELECT index"""
    index = parse_integer(request[1])
    if index is None:
        return NOT_AN_INTEGER
    if not -(2**31) <= index < 2**31:
        return ErrorReply("ERR value is out of range, value must between -2147483648 and 2147483647")
    return OK if index == 0 else ErrorReply("ERR DB index is out of range")


async def quit_(_context: Context, session: Session, _request: Request) -> Reply:
    """QUIT"""
    session.closing = True
    return OK


async def refuse_browser(_context: Context, session: Session, _request: Request) -> Reply:
    """A line of HTTP: nothing that follows may be taken for a command."""
    session.closing = True
    return ErrorReply("ERR this is a Redis service, and no web server")


async def reset(context: Context, session: Session, _request: Request) -> Reply:
    """RESET"""
    session.become(context.default_user())
    session.protocol = 2
    session.name = b""
    session.transaction = None
    session.reads_anywhere = False
    session.want_moved(context.config.moved)
    return SimpleString("RESET")


# --- HELLO and CLIENT ---


def _acceptable_name(name: bytes) -> bool:
    return all(33 <= character <= 126 for character in name)


_BAD_NAME = ErrorReply("ERR Client names cannot contain spaces, newlines or special characters.")


async def hello(context: Context, session: Session, request: Request) -> Reply:
    """HELLO [version [AUTH user password] [SETNAME name]]"""
    protocol, name = session.protocol, session.name
    login: tuple[bytes, bytes] | None = None
    if len(request) > 1:
        version = parse_integer(request[1])
        if version is None:
            return ErrorReply("ERR Protocol version is not an integer or out of range")
        if version not in (2, 3):
            return ErrorReply("NOPROTO unsupported protocol version")
        protocol = version
    words = request[2:]
    while words:
        option = words[0].upper()
        if option == b"SETNAME" and len(words) > 1:
            name = words[1]
            if not _acceptable_name(name):
                return _BAD_NAME
            words = words[2:]
        elif option == b"AUTH" and len(words) > 2:
            login = words[1], words[2]
            words = words[3:]
        else:
            return ErrorReply(f"ERR Syntax error in HELLO option '{words[0].decode(errors='surrogateescape')}'")
    refusal = None if login is None else await log_in(context, session, *login)
    if refusal is not None:
        return refusal
    if session.user is None:
        return NOAUTH_HELLO
    session.protocol, session.name = protocol, name
    return {
        b"server": b"redis",  # what clients look for; the truth stands in INFO
        b"version": REDIS_VERSION.encode(),
        b"proto": protocol,
        b"id": session.number,
        b"mode": b"cluster",
        b"role": b"master" if master_of(context) == context.node.status().node_id else b"replica",
        b"modules": [],
    }


async def client_id(_context: Context, session: Session, _request: Request) -> Reply:
    """CLIENT ID"""
    return session.number


async def client_getname(_context: Context, session: Session, _request: Request) -> Reply:
    """CLIENT GETNAME"""
    return session.name or None


async def client_setname(_context: Context, session: Session, request: Request) -> Reply:
    """CLIENT SETNAME name"""
    name = request[2]
    if not _acceptable_name(name):
        return _BAD_NAME
    session.name = name
    return OK


async def client_setinfo(_context: Context, _session: Session, request: Request) -> Reply:
    """CLIENT SETINFO attribute value"""
    # Client libraries announce themselves; nothing here shows it, so it is checked and forgotten.
    attribute, value = request[2:]
    spelling = attribute.decode(errors="surrogateescape")
    if attribute.upper() not in (b"LIB-NAME", b"LIB-VER"):
        return ErrorReply(f"ERR Unrecognized option '{spelling}'")
    if not _acceptable_name(value):
        return ErrorReply(f"ERR {spelling} cannot contain spaces, newlines or special characters.")
    return OK


# --- INFO, CONFIG and RAFT.WAIT ---


async def info(context: Context, _session: Session, request: Request) -> Reply:
    """INFO [section …]"""
    return Text(info_text(context, {section.lower().decode(errors="replace") for section in request[1:]}))


async def config_get(context: Context, _session: Session, request: Request) -> Reply:
    """CONFIG GET pattern [pattern …]"""
    if max(map(len, request[2:])) > MAX_PATTERN_BYTES:
        return SYNTAX_ERROR
    patterns = [compile_glob(pattern.lower()) for pattern in request[2:]]
    settings: dict[bytes, int | bytes] = {
        b"appendonly": b"yes",  # every acknowledged write is durable
        b"appendfsync": b"always",
        b"databases": b"1",
        b"maxclients": b"%d" % context.config.max_connections,
        b"proto-max-bulk-len": b"%d" % (context.config.max_command_bytes - KIB),  # which leaves room for a key
        b"save": b"",
        b"timeout": b"0",
    }
    return {name: value for name, value in settings.items() if any(pattern.fullmatch(name) for pattern in patterns)}


async def _unless_it_leaves(context: Context, session: Session, wait: Callable[[], Awaitable[T]]) -> T | None:
    """Wait for what may never come, but not for a client that is there no more: its place belongs to others."""
    while True:
        with trio.move_on_after(_LOOK_S):
            return await wait()
        stream = context.sessions.get(session)
        if stream is not None and stream.other_end_left():
            session.closing = True
            return None


async def wait_leader(context: Context, session: Session, _request: Request) -> Reply:
    """RAFT.WAIT LEADER: answers, as late as it takes, with the leader's id."""
    leader = await _unless_it_leaves(context, session, context.node.wait_leader)
    return None if leader is None else leader.encode()


async def wait_applied(context: Context, session: Session, request: Request) -> Reply:
    """RAFT.WAIT APPLIED index: answers, as late as it takes, with the index once this node has applied the entry."""
    index = parse_integer(request[2])
    if index is None or index < 0:
        return NOT_AN_INTEGER
    await _unless_it_leaves(context, session, partial(context.node.wait_applied, index))
    return index
