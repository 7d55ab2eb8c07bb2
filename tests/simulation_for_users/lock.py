"""A lock with fencing tokens, right and wrong, and what it should look like."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Iterable
from typing import Any

import attrs

from raft_actors import StateMachine, attrs_commands
from raft_actors.testing import UNKNOWN, Model


@attrs.frozen
class Acquire:
    owner: str


@attrs.frozen
class Release:
    owner: str


@attrs.frozen
class Owner:
    """Ask who has it."""


class Lock(StateMachine[Acquire | Release, int]):
    commands = attrs_commands(Acquire | Release)

    def __init__(self) -> None:
        self.owner: str | None = None
        self.token = 0

    def apply(self, command: Acquire | Release) -> int:
        if isinstance(command, Acquire) and self.owner is None:
            self.owner, self.token = command.owner, self.token + 1
            return self.token
        if isinstance(command, Release) and self.owner == command.owner:
            self.owner = None
            return self.token
        return 0

    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps([self.owner, self.token]).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.owner, self.token = json.loads(b"".join([chunk async for chunk in chunks]))


class ForgetfulLock(Lock):
    """Its snapshot lacks the token."""

    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps(self.owner).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.owner = json.loads(b"".join([chunk async for chunk in chunks]))


class GenerousLock(Lock):
    """Alike on all replicas, and no lock: whoever asks a second time gets it."""

    def apply(self, command: Acquire | Release) -> int:
        if isinstance(command, Acquire) and self.owner is not None:
            return self.token
        return super().apply(command)


class LockModel(Model[tuple[str | None, int]]):
    def initial(self) -> tuple[str | None, int]:
        return None, 0

    def step(self, state: tuple[str | None, int], request: Any, response: Any) -> tuple[bool, tuple[str | None, int]]:
        lock = Lock()
        lock.owner, lock.token = state
        answer = lock.owner if isinstance(request, Owner) else lock.apply(request)
        return response is UNKNOWN or response == answer, (lock.owner, lock.token)
