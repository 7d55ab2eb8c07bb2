"""What is counted where members are replaced under load: what each proposer was promised, and what became of it."""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable

import attrs
import trio
from typing_extensions import override

from benchmarks.workers.wire import Reply
from raft_actors import OutcomeUnknown, RaftError, StateMachine

_PROPOSER = struct.Struct(">I")
_ENTRY = struct.Struct(">IQ")

#: A pause between two acknowledgements that is worth noting; and how finely commits are counted over time.
_PAUSE_NS = 5_000_000
_BUCKET_NS = 50_000_000
_RETRY_S = 0.01


class Ledger(StateMachine[bytes, int]):
    """Counts the commands of each proposer, whose number they begin with. The result is how many that were."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    @override
    def apply(self, command: bytes) -> int:
        (proposer,) = _PROPOSER.unpack_from(command)
        self.counts[proposer] += 1
        return self.counts[proposer]

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [b"".join(_ENTRY.pack(*entry) for entry in sorted(self.counts.items()))]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        data = b"".join([chunk async for chunk in chunks])
        self.counts = Counter(dict(_ENTRY.iter_unpack(data)))

    def told(self) -> Reply:
        """How many commands of each proposer were applied."""
        return {"applied": {str(proposer): count for proposer, count in self.counts.items()}}


@attrs.define
class Proposers:
    """Proposers that each propose and wait, over and over, until told to end; what fails is counted, and they go on.

    Attributes:
        acknowledged, unknown: proposer → commands that were, and those of which nobody could say.
        errors: kind → how many.
        buckets: acknowledgements in each 50 ms since `began_ns`.
        pauses: (from, to) of the times without any acknowledgement, on the clock that `time.time_ns` reads.
    """

    propose: Callable[[bytes], Awaitable[object]]
    payload: int
    acknowledged: Counter[int] = attrs.field(factory=Counter[int])
    unknown: Counter[int] = attrs.field(factory=Counter[int])
    errors: Counter[str] = attrs.field(factory=Counter[str])
    buckets: Counter[int] = attrs.field(factory=Counter[int])
    pauses: list[tuple[int, int]] = attrs.field(factory=list[tuple[int, int]])
    began_ns: int = attrs.field(factory=time.time_ns)
    over: bool = False
    _last_ns: int = 0

    async def run(self, count: int) -> None:
        """Have so many propose, until `over`."""
        self.began_ns = self._last_ns = time.time_ns()
        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(self._propose, number)

    async def _propose(self, number: int) -> None:
        command = _PROPOSER.pack(number).ljust(self.payload, b"\0")
        while not self.over:
            try:
                await self.propose(command)
            except RaftError as error:
                self.errors[type(error).__name__] += 1
                self.unknown[number] += isinstance(error, OutcomeUnknown)
                await trio.sleep(_RETRY_S)
            else:
                self.acknowledged[number] += 1
                self._note(time.time_ns())

    def _note(self, now_ns: int) -> None:
        self.buckets[(now_ns - self.began_ns) // _BUCKET_NS] += 1
        if now_ns - self._last_ns > _PAUSE_NS:
            self.pauses.append((self._last_ns, now_ns))
        self._last_ns = now_ns

    def result(self) -> Reply:
        """What `end` answers."""
        most = max(self.buckets, default=-1)
        return {
            "began_ns": self.began_ns,
            "bucket_ns": _BUCKET_NS,
            "buckets": [self.buckets[number] for number in range(most + 1)],
            "pauses": self.pauses,
            "errors": dict(self.errors),
            "acknowledged": {str(number): count for number, count in self.acknowledged.items()},
            "unknown": {str(number): count for number, count in self.unknown.items()},
        }
