"""State machines with one mistake each in `snapshot`, `restore` or `state_digest`, and what the check calls it."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterable, Iterable
from typing import Any

from typing_extensions import override

from tests.state_machines.right import Right, joined


class ForgetsTheCount(Right):
    @override
    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps(self.data).encode()]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.data = json.loads(await joined(chunks))


class ForgetsWhatNoAnswerShows(Right):
    def __init__(self) -> None:
        super().__init__()
        self.stamps: dict[str, int] = {}
        self.number = 0

    @override
    def carry_out(self, verb: str, rest: list[str]) -> Any:
        if verb == "set":
            self.number += 1
            self.stamps[rest[0]] = self.number
        return super().carry_out(verb, rest)

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps([self.data, self.count, self.stamps]).encode()]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.data, self.count, self.stamps = json.loads(await joined(chunks))


class DigestsItsOwnCommands(Right):
    def __init__(self) -> None:
        super().__init__()
        self.applied = 0

    @override
    def apply(self, command: bytes) -> Any:
        self.applied += 1
        return super().apply(command)

    @override
    def state_digest(self) -> bytes:
        return str(self.applied).encode()


class DigestsAsItApplies(Right):
    def __init__(self) -> None:
        super().__init__()
        self.digest = b""

    @override
    def apply(self, command: bytes) -> Any:
        result = super().apply(command)
        self.digest = json.dumps([self.data, self.count]).encode()
        return result

    @override
    def state_digest(self) -> bytes:
        return self.digest


class DigestsTheObject(Right):
    @override
    def state_digest(self) -> bytes:
        return str(id(self)).encode()


class DigestsNoBytes(Right):
    @override
    def state_digest(self) -> bytes:
        return str(self.count)  # type: ignore[return-value]


class SortsItsKeys(Right):
    @override
    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps([self.data, self.count], sort_keys=True).encode()]


class RestoresIntoWhatIsThere(Right):
    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        data, self.count = json.loads(await joined(chunks))
        self.data.update(data)


class ReadsTheFirstChunk(Right):
    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        async for chunk in chunks:
            self.data, self.count = json.loads(chunk)
            break


class ReadsLines(Right):
    @override
    def snapshot(self) -> Iterable[bytes]:
        return [f"{self.count}\n".encode(), *(f"{key} {value}\n".encode() for key, value in self.data.items())]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.data, first = {}, True
        async for chunk in chunks:
            for line in chunk.decode().splitlines():
                if first:
                    self.count, first = int(line), False
                else:
                    key, _, value = line.partition(" ")
                    self.data[key] = value


class SnapshotsWhileItChanges(Right):
    @override
    def snapshot(self) -> Iterable[bytes]:
        for key, value in self.data.items():
            yield f"{key} {value}\n".encode()
        yield f"{self.count}".encode()

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        *lines, count = (await joined(chunks)).decode().split("\n")
        self.data = dict(line.split() for line in lines)
        self.count = int(count)


class SnapshotsWhatComesLater(Right):
    @override
    def snapshot(self) -> Iterable[bytes]:
        yield b""
        yield json.dumps([self.data, self.count]).encode()


class SnapshotsOnce(Right):
    @override
    def snapshot(self) -> Iterable[bytes]:
        data = [json.dumps([self.data, self.count]).encode()]
        self.data = {}
        return data


class CountsSnapshots(Right):
    @override
    def snapshot(self) -> Iterable[bytes]:
        self.count += 1
        return super().snapshot()


class GivesNumbers(Right):
    @override
    def snapshot(self) -> Iterable[bytes]:
        return json.dumps([self.data, self.count]).encode()  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


class GivesText(Right):
    @override
    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps([self.data, self.count])]  # type: ignore[list-item]  # pyright: ignore[reportReturnType]


class TakesNoEmptyState(Right):
    @override
    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps([self.data, self.count]).encode()] if self.count else []


class LosesTypes(Right):
    def carry_out(self, verb: str, rest: list[str]) -> Any:
        if verb == "set":
            self.data[rest[0]] = (rest[1],)  # type: ignore[assignment]
            return self.count
        return super().carry_out(verb, rest)


class StampsItsSnapshots(Right):
    @override
    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps([self.data, self.count, time.time_ns()]).encode()]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.data, self.count, self.taken = json.loads(await joined(chunks))


BROKEN: dict[type[Right], str] = {
    ForgetsTheCount: "restore brings back the whole state, and that alone",
    ForgetsWhatNoAnswerShows: "restore brings back the whole state, and that alone",
    DigestsItsOwnCommands: "equal states have equal digests",
    DigestsAsItApplies: "equal states have equal digests",
    DigestsTheObject: "equal states have equal digests",
    DigestsNoBytes: "state_digest",
    SortsItsKeys: "restore brings back the whole state, and that alone",
    RestoresIntoWhatIsThere: "restore brings back the whole state, and that alone",
    ReadsTheFirstChunk: "restore",
    ReadsLines: "restore brings back the whole state, and that alone",
    SnapshotsWhileItChanges: "snapshot",
    SnapshotsWhatComesLater: "snapshots are of their moment",
    SnapshotsOnce: "snapshots change nothing",
    CountsSnapshots: "snapshots change nothing",
    GivesNumbers: "snapshot",
    GivesText: "snapshot",
    TakesNoEmptyState: "restore",
    LosesTypes: "restore brings back the whole state, and that alone",
    StampsItsSnapshots: "snapshots change nothing",
}
"""Machine → what the check says is broken."""
