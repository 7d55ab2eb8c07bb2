"""A node's copy of the table of sessions: fed by the applier, kept in snapshots before the state machine's part."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any

from raft_actors.errors import CommandFailed, RaftError, ResultLost, StateMachineError
from raft_actors.raft.sessions import COMMAND, TICK, KeptReply, SessionEntry, SessionTable
from raft_actors.state_machine import StateMachine

#: What a snapshot begins with that holds a table. One without is all the state machine's, as were older ones.
_MAGIC = b"raft-actors/sessions/\x00\xfe\x8c\x1d\x07"
_LENGTH = struct.Struct(">Q")
_HEAD = len(_MAGIC) + _LENGTH.size

# The first byte of a kept reply: a result, a refusal of the state machine, or a result that could not be kept.
_RESULT, _FAILED, _NOT_KEPT = b"\x00", b"\x01", b"\x02"


class ReplicatedSessions:
    """Applies entries of kind SESSION. See the module's text.

    Attributes:
        table: the sessions.
        state_machine: the application's.
    """

    def __init__(self, state_machine: StateMachine[Any, Any], fatal: tuple[type[BaseException], ...]) -> None:
        self.table: SessionTable = SessionTable()
        self.state_machine: StateMachine[Any, Any] = state_machine
        self._decode = state_machine.commands.decode
        self._results = state_machine.results
        self._fatal = fatal

    def decode(self, data: bytes) -> tuple[SessionEntry, Any]:
        """Take an entry apart, and open the command in it.

        Raises:
            ValueError: it is none that this node knows.
        """
        entry = SessionEntry.decode(data)
        return entry, self._decode(entry.value) if entry.kind == COMMAND else None

    def apply(self, index: int, entry: SessionEntry, command: Any) -> Any:
        """Apply an entry; return what its proposer gets. Raises what the state machine does."""
        raised: list[Exception] = []

        def carry_out() -> tuple[Any, bytes]:
            try:
                result = self.state_machine.apply(command)
            except self._fatal:
                raise
            except Exception as error:  # noqa: BLE001 - part of the outcome, the same on every replica
                raised.append(error)
                return None, _FAILED + f"{type(error).__name__}: {error}".encode(errors="backslashreplace")
            try:
                return result, _RESULT + self._results.encode(result)
            except TypeError:
                return result, _NOT_KEPT

        answer = self.table.apply(index, entry, carry_out)
        if entry.kind == TICK:
            self.state_machine.pass_time(self.table.log_time_ms)
        if raised:
            raise raised[0]
        return self._opened(index, answer.data) if isinstance(answer, KeptReply) else answer

    def _opened(self, index: int, reply: bytes | None) -> Any:
        if reply is None or reply == _NOT_KEPT:
            return ResultLost(index)
        if reply.startswith(_FAILED):
            failure = CommandFailed(index)
            failure.__cause__ = RaftError(reply[1:].decode(errors="replace"))
            return failure
        return self._results.decode(reply[1:])

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
        if table.log_time_ms:
            self.state_machine.pass_time(table.log_time_ms)


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
