"""From a client's requests to their replies, in order.

A client may send many requests before it reads a reply. A run of them becomes one proposal of many commands, or, where
it only reads, one read: what costs a round trip to the other nodes and to the disks is then paid once for all of them.
Entries are applied in order, so a read that stands between writes goes into the log with them, as a command that
changes nothing: it sees the writes before it and none after.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from raft_actors.errors import CommandTooLarge, ProposalError
from raft_actors.records import define
from raft_actors.service.command import AfterMulti, Command, KeyWalk, Local, Read, Write
from raft_actors.service.commands import find, find_allowed
from raft_actors.service.connection import Context, Session
from raft_actors.service.data import Listing, Walk
from raft_actors.service.keyvalue import KeyValue, Question
from raft_actors.service.operations import is_timed, only_reads
from raft_actors.service.packing import pack
from raft_actors.service.refusals import refusal
from raft_actors.service.replies import ErrorReply, Reply
from raft_actors.service.resp import Request
from raft_actors.service.topology import moved
from raft_actors.service.transactions import queue

LONGEST_RUN = 1024
"""Requests in one run: other tasks, heartbeats among them, wait while a run is prepared or a query computes."""


def takes_time(session: Session, request: Request) -> bool:
    """Whether the reply has to wait for other nodes, so that earlier replies should not wait for it."""
    command = find(request)
    if isinstance(command, Local):
        return command.waits
    return session.transaction is None and not isinstance(command, ErrorReply)


async def answer_run(context: Context, session: Session, requests: Sequence[Request], start: int) -> list[Reply]:
    """Carry out as many of `requests` from `start` on as go together (at least one), and return their replies."""
    request = requests[start]
    command = _find(context, session, request)
    if session.transaction is not None and (
        isinstance(command, ErrorReply) or command.after_multi is not AfterMulti.AT_ONCE
    ):
        if isinstance(command, ErrorReply):
            _count_denied(context, command)
        return [queue(context, session.transaction, command, request)]
    if isinstance(command, Local):
        try:
            return [await command.answer(context, session, request)]
        except ProposalError as error:
            return [refusal(context, error, reading=True)]
    if isinstance(command, Write) and start + 1 == len(requests):
        return [await _write_one(context, command, request)]
    run = _prepare_run(context, session, requests[start : start + LONGEST_RUN])
    if not run.parts:
        return [reply for reply in run.replies if not isinstance(reply, _Waiting)]
    results = await (_write(context, run) if run.writes else _read(context, run))
    if len(results) == len(run.replies):
        return results
    rest = iter(results)
    return [next(rest) if isinstance(reply, _Waiting) else reply for reply in run.replies]


def _find(context: Context, session: Session, request: Request) -> Command | ErrorReply:
    """The command, if this client may have it, and here; else the error to answer with."""
    if session.trusted:
        return find(request)
    command = find_allowed(session, request)
    sent_away = session.moved and isinstance(command, Write if session.reads_anywhere else Write | Read)
    if not sent_away or isinstance(command, ErrorReply) or not command.keys[0]:
        return command
    elsewhere = moved(context, request[command.keys[0]])
    return command if elsewhere is None else ErrorReply(elsewhere)


def _count_denied(context: Context, error: ErrorReply) -> None:
    if error.text.startswith(("NOAUTH", "NOPERM")):
        context.statistics.denied_commands += 1


class _Waiting:
    """Stands for a reply that is not there yet."""


_WAITING = _Waiting()
_Part = bytes | Question | Walk


@define(eq=False)
class _Run:
    """Requests that go together.

    Attributes:
        replies: one for each; `_WAITING` where it comes from the state machine.
        parts: what the state machine is asked for those: a command, a question or a walk.
        writes, walks, appends: whether there are any.
    """

    replies: list[Reply | _Waiting] = attrs.field(factory=list["Reply | _Waiting"])
    parts: list[_Part] = attrs.field(factory=list[_Part])
    writes: bool = False
    walks: bool = False
    appends: bool = False

    def take_in(self, command: Command, part: _Part, limit: int) -> bool:
        """Add what a command asks of the state machine, unless it can't go together with what is there.

        In a run with writes, reads are encoded as commands too. Two kinds of reads never are: walks over the keys, and
        what is larger than a command may be. Nor is a read behind an APPEND: a thousand versions of one large value
        would be held until they are sent.
        """
        if isinstance(command, Write):
            if not self.writes:
                encoded = [pack(question) for question in self.parts] if not self.walks else []
                if self.walks or any(len(question) > limit for question in encoded):
                    return False
                self.parts[:] = encoded
                self.writes = True
            self.appends = self.appends or command.appends
        elif self.writes:
            if self.appends or isinstance(command, KeyWalk):
                return False
            part = pack(part)
            if len(part) > limit:
                return False
        elif isinstance(command, KeyWalk):
            self.walks = True
        self.parts.append(part)
        self.replies.append(_WAITING)
        return True


def _prepare_run(context: Context, session: Session, requests: Sequence[Request]) -> _Run:
    """As many of the requests as go together.

    Those that are answered here, because they can't be right, fit in any run.
    """
    run = _Run()
    limit = context.config.max_command_bytes
    for request in requests:
        command = _find(context, session, request)
        if isinstance(command, ErrorReply):
            _count_denied(context, command)
            run.replies.append(command)
            continue
        if not isinstance(command, (Read, Write, KeyWalk)):
            break
        if isinstance(command, Read) and not run.writes:  # the same, without looking at what it is not
            question = command.prepare(request)
            if isinstance(question, ErrorReply):
                run.replies.append(question)
            else:
                run.parts.append(question)
                run.replies.append(_WAITING)
            continue
        part = command.prepare(request)
        if isinstance(part, ErrorReply):
            run.replies.append(part)
        elif isinstance(part, bytes) and len(part) > limit:
            # The node would refuse it too, but all commands of the run with it.
            run.replies.append(refusal(context, CommandTooLarge(len(part), limit)))
        elif not run.take_in(command, part, limit):
            break
    return run


async def _write_one(context: Context, command: Write, request: Request) -> Reply:
    """What a run of one write comes to, without the lists: clients that don't pipeline send nothing else."""
    part = command.prepare(request)
    if isinstance(part, ErrorReply):
        return part
    limit = context.config.max_command_bytes
    if len(part) > limit:
        return refusal(context, CommandTooLarge(len(part), limit))
    try:
        (result,) = await context.any_node.write((part,), timed=is_timed(part))
    except ProposalError as error:
        result = error
    return refusal(context, result, reading=only_reads(part)) if isinstance(result, ProposalError) else result


async def _write(context: Context, run: _Run) -> list[Reply]:
    commands = [part for part in run.parts if isinstance(part, bytes)]
    try:
        results = await context.any_node.write(commands, timed=any(map(is_timed, commands)))
    except ProposalError as error:
        results = [error] * len(commands)
    return [
        refusal(context, item, reading=only_reads(command)) if isinstance(item, ProposalError) else item
        for command, item in zip(commands, results, strict=True)
    ]


async def _read(context: Context, run: _Run) -> list[Reply]:
    def query_all(machine: KeyValue) -> list[Any]:
        query = machine.query
        return [part(machine) if callable(part) else query(part) for part in questions]

    questions = [part for part in run.parts if not isinstance(part, bytes)]
    try:
        results = await context.any_node.read(query_all)
    except ProposalError as error:
        return [refusal(context, error, reading=True)] * len(questions)
    if not run.walks:
        return results
    return [await item.reply() if isinstance(item, Listing) else item for item in results]
