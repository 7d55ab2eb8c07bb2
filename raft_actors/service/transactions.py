"""MULTI, EXEC and DISCARD: a transaction is one command of the state machine, so all of it takes effect or nothing.

What follows MULTI is only looked at: EXEC puts it together. Where something was no command, EXEC refuses all, as in
Redis; where an argument turns out to be wrong only then, that command fails and the others are carried out, as in Redis
too. Other than there, a transaction is bounded: it is applied in one piece, on every node, and heartbeats wait.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from raft_actors.errors import CommandTooLarge, ProposalError
from raft_actors.service.command import AfterMulti, Command, Local, Read, Write
from raft_actors.service.connection import Context, Session, Transaction
from raft_actors.service.keyvalue import Question
from raft_actors.service.memory import ARGUMENT_BYTES
from raft_actors.service.operations import HEAVIEST, is_timed, transaction
from raft_actors.service.packing import pack
from raft_actors.service.refusals import refusal
from raft_actors.service.replies import OK, ErrorReply, Reply, SimpleString
from raft_actors.service.resp import Request

_OVERHEAD_BYTES = 16  # what a queued request takes in a command beside its arguments, at least
_REQUEST_BYTES = 176  # what Python takes for it beside them: a list, a pair, and its place in another list
_FAIR_SHARE = 64
_QUEUED = SimpleString("QUEUED")
_NOT_ALLOWED = ErrorReply("ERR Command not allowed inside a transaction")
_ABORTED = ErrorReply("EXECABORT Transaction discarded because of previous errors.")


def queue(context: Context, queued: Transaction, command: Command | ErrorReply, request: Request) -> Reply:
    """What a request between MULTI and EXEC is answered with; it is carried out later, if at all."""
    reply = _refused(context, queued, command, request)
    if reply is not None:
        queued.refused = True
        queued.queued.clear()
        queued.overhead = 0
        return reply
    return _QUEUED


def _refused(
    context: Context, queued: Transaction, command: Command | ErrorReply, request: Request
) -> ErrorReply | None:
    """Take the request in, or say why not."""
    if isinstance(command, ErrorReply):
        return command
    if command.after_multi is AfterMulti.REFUSED:
        return _NOT_ALLOWED
    queued.size += sum(map(len, request)) + _OVERHEAD_BYTES
    queued.weight += command.weight
    if queued.size > context.config.max_command_bytes:
        return refusal(context, CommandTooLarge(queued.size, context.config.max_command_bytes))
    if queued.weight > HEAVIEST:
        return ErrorReply(f"ERR a transaction takes {HEAVIEST} commands at most, or fewer slow ones: split it")
    if not queued.refused:
        queued.queued.append((command, request))
        queued.overhead += _REQUEST_BYTES + len(request) * ARGUMENT_BYTES
    return None


async def multi(_context: Context, session: Session, _request: Request) -> Reply:
    """MULTI"""
    if session.transaction is not None:
        return ErrorReply("ERR MULTI calls can not be nested")
    session.transaction = Transaction()
    return OK


async def discard(_context: Context, session: Session, _request: Request) -> Reply:
    """DISCARD"""
    if session.transaction is None:
        return ErrorReply("ERR DISCARD without MULTI")
    session.transaction = None
    return OK


async def watch(_context: Context, session: Session, _request: Request) -> Reply:
    """WATCH key [key …]: refused, since a client that took it for granted would lose updates."""
    if session.transaction is not None:  # which goes on, as in Redis
        return ErrorReply("ERR WATCH inside MULTI is not allowed")
    return ErrorReply("ERR WATCH is not supported: transactions of this service do not depend on watched keys")


async def exec_(context: Context, session: Session, request: Request) -> Reply:
    """EXEC"""
    queued, session.transaction = session.transaction, None
    if len(request) > 1:  # unlike other commands' mistakes, this one ends the transaction
        return ErrorReply("EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command")
    if queued is None:
        return ErrorReply("ERR EXEC without MULTI")
    if queued.refused:
        return _ABORTED
    prepared = [
        command.prepare(asked) if isinstance(command, Write | Read) else None for command, asked in queued.queued
    ]
    parts = [part for part in prepared if part is not None and not isinstance(part, ErrorReply)]
    try:
        results = iter(await _carry_out(context, parts))
    except ProposalError as error:
        return refusal(context, error, reading=not any(isinstance(part, bytes) for part in parts))
    replies: list[Reply] = []
    for part, (command, asked) in zip(prepared, queued.queued, strict=True):
        if isinstance(part, ErrorReply):
            replies.append(part)
        elif part is not None:
            replies.append(next(results))
        elif isinstance(command, Local):
            replies.append(await command.answer(context, session, asked))
        if len(replies) % _FAIR_SHARE == 0:
            await trio.lowlevel.checkpoint()
    return replies


async def _carry_out(context: Context, parts: Sequence[bytes | Question]) -> list[Reply]:
    """The replies of the state machine, which carries out all parts at one point of the log."""
    if not parts:
        return []
    questions = [part for part in parts if not isinstance(part, bytes)]
    if len(questions) == len(parts):
        return await context.any_node.read(lambda machine: list(map(machine.query, questions)))
    commands = [part if isinstance(part, bytes) else pack(part) for part in parts]
    (results,) = await context.any_node.write([transaction(commands)], timed=any(map(is_timed, commands)))
    if isinstance(results, ProposalError):
        raise results
    return list(results)
