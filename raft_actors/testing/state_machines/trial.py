"""One instance of a state machine under trial: what it answers, and its snapshots."""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, MappingView
from typing import Any

import attrs
import trio

from raft_actors.node.failures import fatal_errors
from raft_actors.state_machine import StateMachine
from raft_actors.testing.failure import CheckFailed

Make = Callable[[], StateMachine[Any, Any]]

#: A snapshot is cut into no more chunks than this, however small they should be.
_MOST_CHUNKS = 20_000

#: No more is drawn from an answer that is an iterator: some never end.
_MOST_PARTS = 10_000

_END = object()


@attrs.frozen
class Step:
    """A command as the log holds it, and what log time comes to before it; None: no time is told with it."""

    data: bytes
    now_ms: int | None = None


@attrs.frozen
class Raised:
    """What a command came to whose `apply` raised."""

    error: Exception

    def __repr__(self) -> str:
        return f"an exception, {self.error!r}"


class Trial:
    """A machine, and what it has answered so far.

    Attributes:
        name: what reports call it.
        answers: as the machine gave them.
        kept: copies of them, made at once; what an iterator gives is drawn from it at once, too.
        drawn_late: answers that are iterators are drawn from by `draw_answers` only.
    """

    def __init__(self, machine: StateMachine[Any, Any], name: str, *, drawn_late: bool = False) -> None:
        self.machine = machine
        self.name = name
        self.drawn_late = drawn_late
        self.answers: list[Any] = []
        self.kept: list[Any] = []

    def apply(self, step: Step) -> Any:
        """Apply a command as a node does: decoded from its bytes. Return a copy of the answer."""
        if step.now_ms is not None:
            self.pass_time(step.now_ms)
        command = self.machine.commands.decode(step.data)
        try:
            answer = self.machine.apply(command)
        except fatal_errors(self.machine) as error:
            raise CheckFailed(f"apply raised {error!r}: it ends the node, and is no outcome", "fatal") from error
        except Exception as error:  # noqa: BLE001 - the outcome of a command, on every replica alike
            answer = Raised(error)
        if inspect.isawaitable(answer):
            if inspect.iscoroutine(answer):
                answer.close()
            raise CheckFailed("apply is async: it must be a plain function, and so must what it calls", "plain apply")
        self.answers.append(answer)
        late = self.drawn_late and isinstance(answer, Iterator)
        self.kept.append(answer if late else copied(answer))
        return self.kept[-1]

    def apply_all(self, steps: Iterable[Step]) -> Trial:
        """Apply them in turn; return itself."""
        for step in steps:
            self.apply(step)
        return self

    def draw_answers(self) -> None:
        """Draw from the answers that are iterators."""
        self.kept = [copied(answer) if isinstance(answer, Iterator) else answer for answer in self.kept]

    def pass_time(self, now_ms: int) -> None:
        """Tell the machine what log time has come to.

        Raises:
            CheckFailed: it raises.
        """
        try:
            self.machine.pass_time(now_ms)
        except Exception as error:
            text = f"pass_time({now_ms}) raised {error!r}: it is not called again, and nobody is told"
            raise CheckFailed(text, "pass_time") from error

    def snapshot(self) -> bytes:
        """Return the whole snapshot of the state as it is now."""
        return b"".join(self.pieces())

    def digest(self) -> bytes | None:
        """Return the digest of the state as it is now.

        Raises:
            CheckFailed: `state_digest` raises, or gives neither bytes nor None.
        """
        try:
            found: Any = self.machine.state_digest()
            if found is not None and type(found) is not bytes:
                raise TypeError(f"it gives {type(found).__name__}, and must give bytes or None")
        except Exception as error:
            raise CheckFailed(f"{self.name}: state_digest raised {error!r}", "state_digest") from error
        digest: bytes | None = found
        return digest

    def pieces(self) -> Iterable[bytes]:
        """Begin a snapshot; draw its pieces whenever.

        Raises:
            CheckFailed: `snapshot` raises, is async, or gives what is no bytes.
        """
        try:
            pieces: Any = self.machine.snapshot()
            if inspect.iscoroutine(pieces):
                pieces.close()
                raise TypeError("it is async, and must be a plain function")
            # A list, say, is drawn from with `iter`; a generator begins with its first piece.
            iterator = iter(pieces)
        except Exception as error:
            raise CheckFailed(f"{self.name}: snapshot raised {error!r}", "snapshot") from error
        return self._checked(iterator)

    def _checked(self, iterator: Any) -> Iterable[bytes]:
        while True:
            try:
                piece: Any = next(iterator, _END)
            except Exception as error:
                raise CheckFailed(
                    f"{self.name}: drawing from snapshot() raised {error!r}: commands may be applied between two "
                    "pieces, so take what they need before returning",
                    "snapshot",
                ) from error
            if piece is _END:
                return
            if type(piece) not in (bytes, bytearray, memoryview):
                raise CheckFailed(
                    f"{self.name}: snapshot() gives {type(piece).__name__} where bytes are due: return an iterable of "
                    "bytes, such as [data]",
                    "snapshot",
                )
            yield bytes(piece)

    async def restore(self, data: bytes, chunk_bytes: int | None) -> Trial:
        """Restore it from a snapshot cut into chunks of this size (None: one chunk); return itself.

        Raises:
            CheckFailed: `restore` raises.
        """
        size = max(chunk_bytes or len(data), len(data) // _MOST_CHUNKS, 1)
        chunks = [data[start : start + size] for start in range(0, len(data), size)] or [b""]
        try:
            result: Any = self.machine.restore(_Chunks(chunks))
            if not inspect.isawaitable(result):
                raise TypeError("restore must be an async function")
            await result
        except Exception as error:
            raise CheckFailed(
                f"{self.name}: restore from {len(data):,} bytes in {len(chunks):,} chunks raised {error!r}", "restore"
            ) from error
        return self


class _Chunks:
    """What `restore` takes. No generator, for `restore` may leave it before its end."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = iter(chunks)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


def copied(answer: Any) -> Any:
    """A copy that stays as it is: of a view of a dict, and of an iterator, what they give now."""
    kind: Any = answer.__class__
    if issubclass(kind, MappingView | Iterator):
        try:
            return kind.__name__, [copied(part) for part in itertools.islice(answer, _MOST_PARTS)]
        except Exception as error:  # noqa: BLE001 - the answer changed while it was drawn from, for example
            return Raised(error)
    try:
        return copy.deepcopy(answer)
    except Exception:  # noqa: BLE001 - whatever a user's class raises: what can't be copied is kept as it is
        return answer
