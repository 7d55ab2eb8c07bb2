"""What is known of a command before it is asked for: its kinds."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping

import attrs

from raft_actors.records import frozen
from raft_actors.service import data
from raft_actors.service.connection import Context, Session
from raft_actors.service.keyvalue import Question
from raft_actors.service.replies import ErrorReply, Reply, SetReply, SimpleString
from raft_actors.service.resp import Request
from raft_actors.service.users import Rights

_UNLIMITED = 1 << 62


class AfterMulti(enum.Enum):
    """What becomes of a command between MULTI and EXEC."""

    QUEUED = enum.auto()
    AT_ONCE = enum.auto()
    """It concerns the transaction or the connection: it is carried out, and no part of the transaction."""
    REFUSED = enum.auto()


@frozen
class Command:
    """What is known of a command before it is asked for. What is no more than this has subcommands only.

    Attributes:
        name: in lower case; of a subcommand with its command's before it, as in `client|id`.
        arity: as Redis counts: arguments with the name; negative: at least so many.
        summary: one line, for COMMAND DOCS.
        flags: as COMMAND INFO names them.
        keys: first and last argument that is a key, and the step between; all 0 without keys; last −1: to the
            end.
        after_multi: see `AfterMulti`.
        right: what a user has to be allowed for it.
        before_login: whether it is for those, too, who have yet to say who they are.
        weight: how many plain commands take as long, for the bound on a transaction.
        subcommands: by name in lower case. Where there are any, the first argument names one.
        fewest: the arity as a range.
        most: the same.
    """

    name: str
    arity: int
    summary: str
    flags: tuple[str, ...]
    keys: tuple[int, int, int]
    after_multi: AfterMulti = attrs.field(default=AfterMulti.QUEUED, kw_only=True)
    right: Rights = attrs.field(default=Rights.NONE, kw_only=True)
    before_login: bool = attrs.field(default=False, kw_only=True)
    weight: int = attrs.field(default=1, kw_only=True)
    subcommands: Mapping[bytes, Command] = attrs.field(factory=dict[bytes, "Command"], kw_only=True)
    fewest: int = attrs.field(init=False)
    most: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "fewest", abs(self.arity))
        object.__setattr__(self, "most", self.arity if self.arity > 0 else _UNLIMITED)

    def describe(self) -> Reply:
        """The entry of COMMAND INFO."""
        flags = SetReply(tuple(map(SimpleString, self.flags)))
        none = SetReply(())
        return [self.name.encode(), self.arity, flags, *self.keys, none, none, [], []]


@frozen
class Write(Command):
    """Goes through the log. `prepare` gives the bytes for it."""

    right: Rights = attrs.field(default=Rights.WRITE, kw_only=True)
    prepare: Callable[[Request], bytes | ErrorReply] = attrs.field(kw_only=True)
    appends: bool = attrs.field(default=False, kw_only=True)
    """Whether it can make a value larger than itself."""


@frozen
class Read(Command):
    """A linearizable read of the state machine. `prepare` gives the question, which may also go through the log."""

    right: Rights = attrs.field(default=Rights.READ, kw_only=True)
    prepare: Callable[[Request], Question | ErrorReply] = attrs.field(kw_only=True)


@frozen
class KeyWalk(Command):
    """A linearizable read that walks over keys: never through the log."""

    right: Rights = attrs.field(default=Rights.READ, kw_only=True)
    prepare: Callable[[Request], data.Walk | ErrorReply] = attrs.field(kw_only=True)


@frozen
class Local(Command):
    """Answered by this node alone, whatever its role."""

    answer: Callable[[Context, Session, Request], Awaitable[Reply]] = attrs.field(kw_only=True)
    waits: bool = attrs.field(default=False, kw_only=True)
    """Whether the answer may be long in coming."""
