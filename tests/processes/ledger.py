"""The state machine of the tests with real processes: it keeps account of what was applied, in order.

Each command carries its client's name and a number that the client counts up. So from the state alone one sees what was
applied, how often, and in which order. Runs of numbers are stored as ranges: the tests apply many.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import AsyncIterable, Iterable

import attrs

from raft_actors import StateMachine, attrs_commands, attrs_queries

_PIECE = 64 * 1024


@attrs.frozen
class Note:
    """Client `client` did its piece of work number `number`; `padding` only makes the command larger."""

    client: str
    number: int
    padding: bytes = b""


@attrs.frozen
class Fill:
    """Let the state grow by `size` bytes that are drawn from `seed`: a large state from a short log."""

    seed: int
    size: int


@attrs.frozen
class Total:
    """How many notes there are."""

    def __call__(self, ledger: Ledger) -> int:
        return ledger.total


class Ledger(StateMachine[Note | Fill, int]):
    """Client → numbers applied, as [first, length] ranges in the order in which they were applied."""

    commands = attrs_commands(Note | Fill)
    queries = attrs_queries(Total)

    def __init__(self) -> None:
        self.notes: dict[str, list[list[int]]] = {}
        self.total = 0
        self.filling: list[bytes] = []

    def apply(self, command: Note | Fill) -> int:
        """Write it down; return how many notes there are now."""
        match command:
            case Fill(seed, size):
                self.filling.append(random.Random(seed).randbytes(size))
            case Note(client, number):
                ranges = self.notes.setdefault(client, [])
                if ranges and number == sum(ranges[-1]):
                    ranges[-1][1] += 1
                else:
                    ranges.append([number, 1])
                self.total += 1
        return self.total

    def snapshot(self) -> Iterable[bytes]:
        """The notes as JSON, then the filling in pieces."""
        head = json.dumps([self.notes, self.total, [len(part) for part in self.filling]]).encode()
        return self._pieces(head, list(self.filling))

    @staticmethod
    def _pieces(head: bytes, filling: list[bytes]) -> Iterable[bytes]:
        yield len(head).to_bytes(4, "big") + head
        for part in filling:
            for start in range(0, len(part), _PIECE):
                yield part[start : start + _PIECE]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        """Take over what `snapshot` wrote."""
        data = b"".join([chunk async for chunk in chunks])
        start = 4 + int.from_bytes(data[:4], "big")
        self.notes, self.total, sizes = json.loads(data[4:start])
        self.filling = []
        for size in sizes:
            self.filling.append(data[start : start + size])
            start += size

    def digest(self) -> str:
        """Equal where all of the state is."""
        hashed = hashlib.sha256(json.dumps([self.notes, self.total], sort_keys=True).encode())
        for part in self.filling:
            hashed.update(part)
        return hashed.hexdigest()
