"""AUTH, and what other commands need of it: a client says who it is, and is that user from then on."""

from __future__ import annotations

from raft_actors.service.connection import Context, Session
from raft_actors.service.data import SYNTAX_ERROR
from raft_actors.service.logins import TurnedAway
from raft_actors.service.replies import OK, ErrorReply, Reply
from raft_actors.service.resp import Request
from raft_actors.service.users import DEFAULT_USER
from raft_actors.transports.sockets.accepting import network_of

_WRONGPASS = ErrorReply("WRONGPASS invalid username-password pair or user is disabled.")
_TURNED_AWAY = ErrorReply("ERR too many clients are logging in, and this password was not looked at: try again")
NOAUTH_HELLO = ErrorReply(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> "
    "option can be used to authenticate the client and select the RESP protocol version at the same time"
)
_NO_PASSWORD = ErrorReply(
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration "
    "is correct?"
)


async def auth(context: Context, session: Session, request: Request) -> Reply:
    """AUTH [user] password"""
    if len(request) > 3:
        return SYNTAX_ERROR
    if len(request) == 2 and context.default_user() is not None:
        return _NO_PASSWORD
    name = request[1] if len(request) == 3 else DEFAULT_USER.encode()
    return await log_in(context, session, name, request[-1]) or OK


async def log_in(context: Context, session: Session, name: bytes, password: bytes) -> ErrorReply | None:
    """Make the client this user, if the password is its; else leave it who it is, and return why."""
    stream = context.sessions.get(session)
    address = "" if stream is None else network_of(stream.peer_host)
    try:
        user = await context.logins.log_in(address, name.decode(errors="replace"), password)
    except TurnedAway:
        return _TURNED_AWAY
    if user is None:
        return _WRONGPASS
    session.become(user)
    return None
