"""A state machine around the application's own, which tells the cluster's watch what it is given and answers."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Collection, Hashable, Iterable, Iterator
from struct import Struct
from typing import Any, TypeVar

from typing_extensions import override

from raft_actors.commands import CommandCodec
from raft_actors.errors import InternalError
from raft_actors.node.failures import fatal_errors
from raft_actors.state_machine import StateMachine
from raft_actors.testing.comparable import comparable
from raft_actors.testing.life import Life
from raft_actors.testing.watch import Watch

C = TypeVar("C")
R = TypeVar("R")

_POSITION = Struct(">QQ")


class _RecordingCodec(CommandCodec[Any]):
    """Remembers the bytes of the command that is about to be applied."""

    def __init__(self, inner: CommandCodec[Any]) -> None:
        self._decode = inner.decode
        self._encode = inner.encode
        self.last = b""

    @override
    def encode(self, command: Any) -> bytes:
        return self._encode(command)

    @override
    def decode(self, data: bytes) -> Any:
        self.last = data
        return self._decode(data)


class _InnerQueries(CommandCodec[Any]):
    """Has queries that come from afar run on the application's own state machine."""

    def __init__(self, inner: CommandCodec[Any]) -> None:
        self._inner = inner

    @override
    def encode(self, command: Any) -> bytes:
        return self._inner.encode(command)

    @override
    def decode(self, data: bytes) -> Any:
        query = self._inner.decode(data)

        def run(machine: RecordingStateMachine[Any, Any]) -> Any:
            return query(machine.inner)

        return run


class RecordingStateMachine(StateMachine[C, R]):
    """Passes everything on, and tells of it. Its snapshots begin with how many entries and commands they cover.

    Attributes:
        inner: the application's state machine.
    """

    def __init__(self, inner: StateMachine[C, R], watch: Watch, life: Life) -> None:
        self._codec = _RecordingCodec(inner.commands)
        # An attribute of the class in other state machines; this one takes that of the one it wraps.
        vars(self)["commands"] = self._codec
        vars(self)["fatal_errors"] = inner.fatal_errors
        vars(self)["results"] = inner.results
        vars(self)["queries"] = _InnerQueries(inner.queries)
        vars(self)["answers"] = inner.answers
        vars(self)["pass_time"] = inner.pass_time  # the inner one's own, which a node looks at: it may do nothing
        self._fatal = fatal_errors(inner)
        self.inner: Any = inner  # whose type only the application knows
        self._watch = watch
        self._life = life
        self._restoring = False

    @override
    def apply(self, command: C) -> R:
        """Apply it, and tell what came of it."""
        # The applier's index is that of the entry before: no-ops have been passed by then.
        index, data = self._applied_index() + 1, self._codec.last
        try:
            result: R = self.inner.apply(command)
        except self._fatal:
            raise  # no outcome: it ends the node
        except Exception as error:
            self._watch.applied(self._life, index, data, comparable(error))
            raise
        self._watch.applied(self._life, index, data, comparable(result))
        return result

    @override
    def touches(self, command: Any) -> Collection[Hashable] | None:
        keys: Collection[Hashable] | None = self.inner.touches(command)
        return keys

    @override
    def state_digest(self) -> bytes | None:
        own: bytes | None = self.inner.state_digest()
        return own

    @override
    def snapshot(self) -> Iterable[bytes]:
        """The inner snapshot behind a header."""
        header = _POSITION.pack(self._applied_index(), self._life.applied_count)
        return self._told(header, self._applied_index(), self.inner.snapshot())

    def _told(self, header: bytes, index: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
        drawn = bytearray()
        yield header
        for chunk in chunks:
            drawn += chunk
            yield chunk
        self._watch.digested(self._life, index, bytes(drawn))

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        """Restore the inner state machine, take over the place in history, and see that nothing got lost."""
        header = bytearray()
        self._restoring = True
        await self.inner.restore(_after_header(chunks, header))
        self._restoring = False
        index, count = _POSITION.unpack(header)
        self._watch.restored(self._life, index, count)
        self._digest(index)

    def tell_digest(self) -> None:
        """Tell the digest of the state as it is now (but not of one that is being replaced)."""
        if not self._restoring and self._life.supervisor is not None:
            self._digest(self._applied_index())

    def _digest(self, index: int) -> None:
        self._watch.digested(self._life, index, b"".join(self.inner.snapshot()))

    def _applied_index(self) -> int:
        supervisor = self._life.supervisor
        if supervisor is None or supervisor.applier is None:
            raise InternalError(f"{self._life} applies or snapshots before it has recovered")
        return supervisor.applier.applied_index


async def _after_header(  # noqa: ASYNC900 - no scope or nursery is open across its yields
    chunks: AsyncIterable[bytes], header: bytearray
) -> AsyncIterator[bytes]:
    """The chunks without the first bytes, which go into `header`. Chunks may be cut anywhere."""
    async for chunk in chunks:
        missing = _POSITION.size - len(header)
        header += chunk[:missing]
        rest = chunk[missing:]
        if rest:
            yield rest
