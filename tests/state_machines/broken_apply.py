"""State machines with one mistake each in what `apply` goes by, and what the check calls it."""

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

from tests.state_machines.right import Right, joined


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
}
"""Machine → what the check says is broken."""
