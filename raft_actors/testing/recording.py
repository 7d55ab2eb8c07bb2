"""A state machine around the application's own, which tells the cluster's checks what it is given."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from struct import Struct
from typing import Any, TypeVar

from raft_actors.state_machine import StateMachine
from raft_actors.testing.checks import ClusterChecks, Life

C = TypeVar("C")
R = TypeVar("R")

_POSITION = Struct(">QQ")


class RecordingStateMachine(StateMachine[C, R]):
    """Passes everything on, and notes it. Its snapshots begin with how many entries and commands they cover."""

    def __init__(
        self, inner: StateMachine[C, R], checks: ClusterChecks, life: Life, applied_index: Callable[[], int]
    ) -> None:
        # An attribute of the class in other state machines; this one takes that of the one it wraps.
        vars(self)["commands"] = inner.commands
        self.inner = inner
        self._encode: Callable[[Any], bytes] = inner.commands.encode
        self._checks = checks
        self._life = life
        self._applied_index = applied_index

    def apply(self, command: C) -> R:
        """Apply it, once the checks have seen it."""
        # Between two commands this is the index of the entry before: no-ops have been passed by then.
        self._checks.applied(self._life, self._applied_index() + 1, self._encode(command))
        return self.inner.apply(command)

    def snapshot(self) -> Iterable[bytes]:
        """The inner snapshot behind a header."""
        chunks = self.inner.snapshot()
        return self._behind_header(_POSITION.pack(self._applied_index(), self._life.applied_count), chunks)

    @staticmethod
    def _behind_header(header: bytes, chunks: Iterable[bytes]) -> Iterator[bytes]:
        yield header
        yield from chunks

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        """Restore the inner state machine, and take over the place in history."""
        header = bytearray()
        await self.inner.restore(_after_header(chunks, header))
        self._checks.restored(self._life, *_POSITION.unpack(header))


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
