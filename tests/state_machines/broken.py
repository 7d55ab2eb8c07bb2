"""State machines with one mistake each, such as people make, and what the check calls it."""

from __future__ import annotations

import datetime
import functools
import json
import os
import random
import socket
import time
import uuid
from collections.abc import AsyncIterable, Iterable
from datetime import datetime as Moment  # noqa: N812 - as a user may
from pathlib import Path
from time import monotonic
from typing import Any

from typing_extensions import override

from raft_actors import StateMachine

COMMANDS = [
    b"set b 2",
    b"set a 1",
    b"get a",
    b"set c 3",
    b"pop",
    b"bad x",
    b"set d 4",
    b"list",
    b"set a 5",
    b"set e 6",
    b"pop",
    b"get a",
    b"list",
]


async def joined(chunks: AsyncIterable[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


class Right(StateMachine[bytes, Any]):
    """Key and value; `pop` takes the oldest key. Nothing is wrong with it."""

    def __init__(self) -> None:
        self.data: dict[str, str] = {}
        self.count = 0

    @override
    def apply(self, command: bytes) -> Any:
        verb, *rest = command.decode().split()
        if verb == "bad":
            raise ValueError(f"no such command: {command!r}")
        self.count += 1
        return self.carry_out(verb, rest)

    def carry_out(self, verb: str, rest: list[str]) -> Any:
        if verb == "set":
            self.data[rest[0]] = rest[1]
            return self.count
        if verb == "get":
            return self.data.get(rest[0])
        if verb == "pop":
            return self.data.pop(next(iter(self.data))) if self.data else None
        return list(self.data.items())

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps([self.data, self.count]).encode()]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.data, self.count = json.loads(await joined(chunks))


# --- apply ---------------------------------------------------------------------------------------------------


class ReadsTheClock(Right):
    def carry_out(self, verb: str, rest: list[str]) -> Any:
        super().carry_out(verb, rest)
        return int(time.time()) // 3_600


class ReadsAClockByName(Right):
    def carry_out(self, verb: str, rest: list[str]) -> Any:
        super().carry_out(verb, rest)
        return int(monotonic()) // 3_600


class StoresTheDate(Right):
    def carry_out(self, verb: str, rest: list[str]) -> Any:
        result = super().carry_out(verb, rest)
        if verb == "set":
            self.data[rest[0]] = datetime.date.today().isoformat()
        return None if verb in ("get", "pop", "list") else result


class StoresTheYear(Right):
    def carry_out(self, verb: str, rest: list[str]) -> Any:
        self.year = Moment.now().year
        return super().carry_out(verb, rest)

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps([self.data, self.count, getattr(self, "year", 0)]).encode()]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.data, self.count, self.year = json.loads(await joined(chunks))


class KnowsTheTimeZone(Right):
    def carry_out(self, verb: str, rest: list[str]) -> Any:
        super().carry_out(verb, rest)
        return time.localtime(0).tm_hour


class DrawsNumbers(Right):
    def carry_out(self, verb: str, rest: list[str]) -> Any:
        super().carry_out(verb, rest)
        return random.random()  # noqa: TID251 - the mistake


class DrawsIds(Right):
    def carry_out(self, verb: str, rest: list[str]) -> Any:
        result = super().carry_out(verb, rest)
        if verb == "set":
            self.data[rest[0]] = str(uuid.uuid4())
        return None if verb in ("get", "pop", "list") else result


class KnowsTheHost(Right):
    def carry_out(self, verb: str, rest: list[str]) -> Any:
        super().carry_out(verb, rest)
        return socket.gethostname()


class KnowsTheProcess(Right):
    def carry_out(self, verb: str, rest: list[str]) -> Any:
        super().carry_out(verb, rest)
        return os.getpid()


class KnowsTheFolder(Right):
    def carry_out(self, verb: str, rest: list[str]) -> Any:
        super().carry_out(verb, rest)
        return str(Path.cwd())


class HashesText(Right):
    def carry_out(self, verb: str, rest: list[str]) -> Any:
        super().carry_out(verb, rest)
        return hash(verb) % 100


class OrdersBySet(Right):
    def carry_out(self, verb: str, rest: list[str]) -> Any:
        super().carry_out(verb, rest)
        return ",".join(set(self.data) | {"x", "y", "z"})


class TellsAddresses(Right):
    def carry_out(self, verb: str, rest: list[str]) -> Any:
        super().carry_out(verb, rest)
        return id(self.data) % 1_000_003


class AppliesLater(Right):
    @override
    async def apply(self, command: bytes) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().apply(command)


class RaisesHalfWay(Right):
    @override
    def apply(self, command: bytes) -> Any:
        if command.startswith(b"bad"):
            self.count += 1
        return super().apply(command)


class RemembersAnswers(Right):
    @functools.lru_cache  # noqa: B019 - the mistake
    def _got(self, key: str) -> str | None:
        return self.data.get(key)

    def carry_out(self, verb: str, rest: list[str]) -> Any:
        return self._got(rest[0]) if verb == "get" else super().carry_out(verb, rest)


class GivesItsInsideAway(Right):
    def carry_out(self, verb: str, rest: list[str]) -> Any:
        result = super().carry_out(verb, rest)
        return self.data if verb == "list" else result


# --- instances -----------------------------------------------------------------------------------------------


class SharesItsData(Right):
    shared: dict[str, str] = {}  # noqa: RUF012 - the mistake

    def __init__(self) -> None:
        super().__init__()
        self.data = self.shared


class SharesByDefault(Right):
    def __init__(self, data: dict[str, str] = {}) -> None:  # noqa: B006 - the mistake
        super().__init__()
        self.data = data


class CountsInstances(Right):
    made = 0

    def __init__(self) -> None:
        super().__init__()
        CountsInstances.made += 1
        self.number = self.made

    def carry_out(self, verb: str, rest: list[str]) -> Any:
        super().carry_out(verb, rest)
        return self.number


# --- snapshot and restore --------------------------------------------------------------------------------------


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
    ReadsTheClock: "no clock matters",
    ReadsAClockByName: "no clock matters",
    StoresTheDate: "no clock matters",
    StoresTheYear: "no clock matters",
    KnowsTheTimeZone: "every process answers alike",
    DrawsNumbers: "every instance answers alike",
    DrawsIds: "every instance answers alike",
    KnowsTheHost: "every process answers alike",
    KnowsTheProcess: "every process answers alike",
    KnowsTheFolder: "every process answers alike",
    HashesText: "every process answers alike",
    OrdersBySet: "every process answers alike",
    TellsAddresses: "every instance answers alike",
    AppliesLater: "plain apply",
    RaisesHalfWay: "a command that raises changes nothing",
    RemembersAnswers: "restore brings back the whole state, and that alone",
    GivesItsInsideAway: "answers stay as they were",
    SharesItsData: "instances share no state",
    SharesByDefault: "instances share no state",
    CountsInstances: "every instance answers alike",
    ForgetsTheCount: "restore brings back the whole state, and that alone",
    ForgetsWhatNoAnswerShows: "restore brings back the whole state, and that alone",
    DigestsItsOwnCommands: "equal states have equal digests",
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
