"""One instance of a state machine under trial: what it answers, and its snapshots."""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

import attrs
import trio

from raft_actors.node.failures import fatal_errors
from raft_actors.state_machine import StateMachine
from raft_actors.testing.failure import CheckFailed

Make = Callable[[], StateMachine[Any, Any]]

#: A snapshot is cut into no more chunks than this, however small they should be.
_MOST_CHUNKS = 20_000

_END = object()


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
        kept: copies of them, made at once.
    """

    def __init__(self, machine: StateMachine[Any, Any], name: str) -> None:
        self.machine = machine
        self.name = name
        self.answers: list[Any] = []
        self.kept: list[Any] = []

    def apply(self, data: bytes) -> Any:
        """Apply a command as a node does: decoded from its bytes. Return a copy of the answer."""
        command = self.machine.commands.decode(data)
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
        self.kept.append(_copied(answer))
        return self.kept[-1]

    def apply_all(self, commands: Iterable[bytes]) -> Trial:
        """Apply them in turn; return itself."""
        for data in commands:
            self.apply(data)
        return self

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

    def restore(self, data: bytes, chunk_bytes: int | None) -> Trial:
        """Restore it from a snapshot cut into chunks of this size (None: one chunk); return itself.

        Raises:
            CheckFailed: `restore` raises.
        """
        size = max(chunk_bytes or len(data), len(data) // _MOST_CHUNKS, 1)
        chunks = [data[start : start + size] for start in range(0, len(data), size)] or [b""]

        async def draw() -> AsyncGenerator[bytes, None]:  # noqa: ASYNC900 - what `restore` takes, drawn to its end
            for chunk in chunks:
                await trio.lowlevel.checkpoint()
                yield chunk

        async def run() -> None:
            result: Any = self.machine.restore(draw())
            if not inspect.isawaitable(result):
                raise TypeError("restore must be an async function")
            await result

        try:
            _run_apart(run)
        except Exception as error:
            raise CheckFailed(
                f"{self.name}: restore from {len(data):,} bytes in {len(chunks):,} chunks raised {error!r}", "restore"
            ) from error
        return self


def _run_apart(run: Callable[[], Any]) -> None:
    """Run an async function to its end, also where Trio (or another loop) runs in this thread already."""
    errors: list[BaseException] = []

    def target() -> None:
        try:
            trio.run(run)
        except BaseException as error:  # noqa: ASYNC103, BLE001 - raised again, in the thread that asked
            errors.append(error)

    thread = threading.Thread(target=target, name="restore of a state machine under trial")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def _copied(answer: Any) -> Any:
    try:
        return copy.deepcopy(answer)
    except Exception:  # noqa: BLE001 - whatever a user's class raises: what can't be copied is kept as it is
        return answer
