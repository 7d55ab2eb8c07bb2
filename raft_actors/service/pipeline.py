"""From a client's requests to their replies, in order.

A client may send many requests before it reads a reply. A run of writes among them becomes one proposal of
many commands, and a run of reads one read: what costs a round trip to the other nodes and to the disks is
then paid once for all of them. A run ends where the kind changes, so every read sees the writes before it and
none after.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raft_actors.errors import (
    CommandFailed,
    CommandTooLarge,
    LeadershipLost,
    NodeStopped,
    NotLeader,
    Overloaded,
    ProposalError,
)
from raft_actors.service.commands import Command, Local, Read, Write, find
from raft_actors.service.connection import Context, Session
from raft_actors.service.data import Listing, Query
from raft_actors.service.keyvalue import KeyValue
from raft_actors.service.replies import ErrorReply, Reply
from raft_actors.service.resp import Request

LONGEST_RUN = 1024
"""Requests in one run: other tasks, heartbeats among them, wait while a run is prepared or a query computes."""

# Each request of a run is either answered at once (None in the second place) or has its part in the run.
_Prepared = list[tuple[Reply, Any | None]]


def takes_time(request: Request) -> bool:
    """Whether the reply has to wait for other nodes, so that earlier replies should not wait for it."""
    command = find(request)
    return not isinstance(command, ErrorReply | Local) or (isinstance(command, Local) and command.waits)


async def answer_run(context: Context, session: Session, requests: Sequence[Request], start: int) -> list[Reply]:
    """Carry out as many of `requests` from `start` on as go together (at least one), and return their replies."""
    prepared, kind, local = _prepare_run(context, requests, start)
    if local is not None:
        request = requests[start]
        try:
            return [await local.answer(context, session, request)]
        except ProposalError as error:
            return [refusal(context, error, reading=True)]
    parts = [part for _, part in prepared if part is not None]
    if not parts:
        return [reply for reply, _ in prepared]
    results = iter(await (_write(context, parts) if kind is Write else _read(context, parts)))
    return [reply if part is None else next(results) for reply, part in prepared]


def _prepare_run(
    context: Context, requests: Sequence[Request], start: int
) -> tuple[_Prepared, type[Command], Local | None]:
    """The run's requests and its kind; or the local command at `start`, which is always a run of its own.

    Requests that are answered here, because they can't be right, fit in any run.
    """
    prepared: _Prepared = []
    kind: type[Command] = Command
    for request in requests[start : start + LONGEST_RUN]:
        command = find(request)
        if isinstance(command, ErrorReply):
            prepared.append((command, None))
            continue
        if isinstance(command, Local):
            if not prepared:
                return prepared, Local, command
            break
        if kind is Command:
            kind = type(command)
        elif kind is not type(command):
            break
        part = command.prepare(request) if isinstance(command, Write | Read) else None
        if isinstance(part, ErrorReply):
            prepared.append((part, None))
        elif isinstance(part, bytes) and len(part) > context.config.max_command_bytes:
            # The node would refuse it too, but all commands of the run with it.
            error = CommandTooLarge(len(part), context.config.max_command_bytes)
            prepared.append((refusal(context, error), None))
        else:
            prepared.append((None, part))
    return prepared, kind, None


async def _write(context: Context, commands: list[bytes]) -> list[Reply]:
    try:
        if len(commands) == 1:
            return [await context.node.propose(commands[0])]
        results = await context.node.propose_many(commands)
    except ProposalError as error:
        return [refusal(context, error)] * len(commands)
    return [refusal(context, item) if isinstance(item, ProposalError) else item for item in results]


async def _read(context: Context, queries: list[Query]) -> list[Reply]:
    def query_all(machine: KeyValue) -> list[Reply | Listing]:
        return [query(machine) for query in queries]

    try:
        results = await context.node.read(query_all)
    except ProposalError as error:
        return [refusal(context, error, reading=True)] * len(queries)
    return [await item.reply() if isinstance(item, Listing) else item for item in results]


def refusal(context: Context, error: ProposalError, *, reading: bool = False) -> ErrorReply:
    """What a client is told of a proposal or read that failed. The first word tells it what it may do.

    NOTLEADER, OVERLOADED: nothing happened; ask the leader, or later. UNKNOWN: the write may or may not take
    effect, now or later. SHUTDOWN: this node is going; the outcome of a write under way is unknown. A read
    has no outcome: where one failed, it may be asked again.
    """
    match error:
        case NotLeader(leader=str() as leader):
            address = context.config.addresses.get(leader)
            return ErrorReply(f"NOTLEADER the leader is {leader}" + (f" at {address}" if address else ""))
        case NotLeader():
            return ErrorReply("NOTLEADER no leader is known, try again")
        case LeadershipLost() if reading:
            return ErrorReply("NOTLEADER leadership was lost, try again")
        case LeadershipLost(term=term):
            return ErrorReply(
                f"UNKNOWN the outcome of this write: leadership of term {term} was lost before it was known"
            )
        case Overloaded():
            return ErrorReply(f"OVERLOADED {error}")
        case NodeStopped():
            return ErrorReply(f"SHUTDOWN {error}")
        case CommandFailed():
            return ErrorReply(f"ERR the command failed: {error.__cause__}")
        case _:
            return ErrorReply(f"ERR {error}")
