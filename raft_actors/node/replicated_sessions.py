"""A node's copy of the table of sessions: fed by the applier, kept in snapshots before the state machine's part."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from struct import error as StructError  # noqa: N812 - as exceptions are named
from typing import Any, Protocol

from raft_actors.errors import CommandFailed, InternalError, RaftError, ResultLost, StateMachineError
from raft_actors.node.failures import not_applied, not_decoded
from raft_actors.raft.sessions import COMMAND, TICK, KeptReply, SessionEntry, SessionTable, opened
from raft_actors.results import encoder_for_one
from raft_actors.state_machine import StateMachine
from raft_actors.wording import described

#: What a snapshot begins with that holds a table. One without is all the state machine's, as were older ones.
_MAGIC = b"raft-actors/sessions/\x00\xfe\x8c\x1d\x07"
_LENGTH = struct.Struct(">Q")
_HEAD = len(_MAGIC) + _LENGTH.size
_COMMAND = bytes([COMMAND])

# The first byte of a kept reply: a result, a refusal of the state machine, or a result that could not be kept.
_RESULT, _FAILED, _NOT_KEPT = b"\x00", b"\x01", b"\x02"


class Applied(Protocol):
    """Who knows how far the log is applied.

    Attributes:
        applied_index: the last entry that is.
    """

    applied_index: int


class ReplicatedSessions:
    """Applies entries of kind SESSION. See the module's text.

    Attributes:
        table: the sessions.
        state_machine: the application's.
        failed: how many commands it refused, or had refused.
    """

    def __init__(self, state_machine: StateMachine[Any, Any], fatal: tuple[type[BaseException], ...]) -> None:
        self.table: SessionTable = SessionTable()
        self.state_machine: StateMachine[Any, Any] = state_machine
        self.failed: int = 0
        self._decode = state_machine.commands.decode
        self._results = state_machine.results
        self._encode_result = encoder_for_one(state_machine.results)
        self._fatal = fatal

    def apply_each(
        self, applied: Applied, term: int, entries: Sequence[bytes], results: list[Any] | None = None
    ) -> Any:
        """Apply entries of one batch in order. In one loop, which calls little: it runs for every command.

        Args:
            applied: how far all is applied; it moves on with each.
            term: theirs.
            entries: encoded.
            results: where what their proposers get is to be put (`CommandFailed` where the state machine raised); None:
                nobody wants it.

        Returns:
            What the last of them gave.

        Raises:
            StateMachineError: one can't be carried out here, which is no outcome.
        """
        find, keep, decode, encode = self.table.find, self.table.keep, self._decode, self._encode
        machine_apply = self.state_machine.apply
        index = applied.applied_index
        answer: Any = None
        for data in entries:
            index += 1
            if data[:1] == _COMMAND:
                try:
                    session, number, floor, command = opened(data)
                    command = decode(command)
                except (ValueError, StructError) as error:
                    raise not_decoded(index, term, data, error) from error
                answer = find(index, session, number, floor)
                if answer is None:
                    try:
                        answer = machine_apply(command)
                    except self._fatal as error:
                        raise not_applied(index, term, data, error) from error
                    except Exception as error:  # noqa: BLE001 - part of the outcome, the same on every replica
                        keep(number, _FAILED + described(error).encode(errors="backslashreplace"))
                        answer = self._failure(index, error)
                    else:
                        keep(number, encode(answer))
                elif answer.__class__ is KeptReply:
                    answer = self._opened(index, answer.data)
            else:
                answer = self._apply_other(index, term, data)
            if results is not None:
                results.append(answer)
            applied.applied_index = index
        return answer

    def _apply_other(self, index: int, term: int, data: bytes) -> Any:
        """One that has nothing for the state machine but the time."""
        try:
            entry = SessionEntry.decode(data)
        except ValueError as error:
            raise not_decoded(index, term, data, error) from error
        answer = self.table.apply(index, entry, _nothing)
        if entry.kind != TICK:
            return answer
        try:
            raised = self._pass_time()
        except self._fatal as error:
            raise not_applied(index, term, data, error) from error
        return None if raised is None else self._failure(index, raised)

    def _pass_time(self) -> Exception | None:
        """Tell the state machine what time it is; return what it raised, which is an outcome as that of a command is:
        the same on every replica, and nobody waits for it. What says that this replica has failed is raised.
        """
        try:
            self.state_machine.pass_time(self.table.log_time_ms)
        except self._fatal:
            raise
        except Exception as error:  # noqa: BLE001 - the application's
            return error
        return None

    def _failure(self, index: int, error: Exception) -> CommandFailed:
        self.failed += 1
        failure = CommandFailed(index)
        failure.__cause__ = error
        return failure

    def _encode(self, result: Any) -> bytes:
        """What is to be kept of a result. It was given to its proposer, or will be: so whatever the codec raises, the
        command was carried out, and is not again.
        """
        try:
            return _RESULT + self._encode_result(result)
        except self._fatal:
            raise
        except Exception:  # noqa: BLE001 - the application's codec
            return _NOT_KEPT

    def _opened(self, index: int, reply: bytes | None) -> Any:
        if reply is None or reply == _NOT_KEPT:
            return ResultLost(index)
        if reply.startswith(_FAILED):
            return self._failure(index, RaftError(reply[1:].decode(errors="replace")))
        try:
            return self._results.decode(reply[1:])
        except Exception as error:  # noqa: BLE001 - the application's codec
            return self._failure(index, error)

    def applied_command(self, index: int, data: bytes) -> bytes | None:
        """The command that an entry had carried out; None where it did not."""
        entry = SessionEntry.decode(data)
        return entry.value if entry.kind == COMMAND and self.table.was_carried_out(index) else None

    # --- snapshots -------------------------------------------------------------------------------------------

    def snapshot(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The table as it is now, before the state machine's chunks."""
        return _prefixed(self.table.encode(), iter(chunks))

    async def restore(
        self, chunks: AsyncIterable[bytes], restore: Callable[[AsyncIterable[bytes]], Awaitable[None]]
    ) -> None:
        """Take the table from a snapshot, and have the state machine restore the rest.

        Raises:
            StateMachineError: the table is none, or of a newer version.
        """
        head, rest = await read_table(chunks)
        try:
            table = SessionTable.decode(head)
        except StateMachineError:
            raise
        except Exception as error:
            raise StateMachineError("the sessions in the snapshot can't be read") from error
        await restore(rest)
        self.table = table
        if table.log_time_ms and self._pass_time() is not None:
            self.failed += 1


def _nothing() -> tuple[Any, bytes]:
    raise InternalError("an entry without a command has none carried out")


def _prefixed(table: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    held = b""
    for chunk in chunks:
        held += bytes(chunk)
        if len(held) >= len(_MAGIC):
            break
    if table or held.startswith(_MAGIC):  # a state machine whose own bytes begin so gets an empty table before them
        yield b"".join((_MAGIC, _LENGTH.pack(len(table)), table))
    if held:
        yield held
    yield from chunks


async def read_table(chunks: AsyncIterable[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    """The encoded table that a snapshot begins with, empty where it has none, and the chunks that follow it.

    Raises:
        StateMachineError: it breaks off.
    """
    source = aiter(chunks)
    held = await _more(source, b"", len(_MAGIC))
    if not held.startswith(_MAGIC):
        return b"", _rest(held, source)
    held = await _more(source, held, _HEAD)
    size = _HEAD
    if len(held) >= size:
        size += _LENGTH.unpack_from(held, len(_MAGIC))[0]
        held = await _more(source, held, size)
    if len(held) < size:
        raise StateMachineError("the sessions in the snapshot break off")
    length = size - _HEAD
    return held[_HEAD : _HEAD + length], _rest(held[_HEAD + length :], source)


async def _more(source: AsyncIterator[bytes], held: bytes, size: int) -> bytes:
    parts, total = [held], len(held)
    while total < size:
        try:
            chunk = await anext(source)
        except StopAsyncIteration:
            break
        parts.append(chunk)
        total += len(chunk)
    return b"".join(parts)


async def _rest(held: bytes, source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:  # noqa: ASYNC900 - no scope is open
    if held:
        yield held
    async for chunk in source:
        yield chunk
