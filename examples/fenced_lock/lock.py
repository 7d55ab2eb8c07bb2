"""What is replicated: who holds which lock, and the number that the next holder gets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Iterable

import attrs

from raft_actors import StateMachine, attrs_commands


@attrs.frozen
class Acquire:
    """Take a lock; answered with a token, or 0 where somebody else has it. Its holder gets the same token again."""

    lock: str
    owner: str


@attrs.frozen
class Release:
    """Give it back. Only the token's own holding ends by it, not a later one."""

    lock: str
    token: int


class Locks(StateMachine[Acquire | Release, int]):
    """Tokens of one lock only go up, over all holders, leaders and restarts: a later holder has the higher one."""

    commands = attrs_commands(Acquire | Release)

    def __init__(self) -> None:
        self.token = 0
        self.held: dict[str, tuple[str, int]] = {}

    def apply(self, command: Acquire | Release) -> int:
        """Carry out one command."""
        owner, token = self.held.get(command.lock, ("", 0))
        match command:
            case Acquire(lock, asked_by):
                if token and owner != asked_by:
                    return 0
                if not token:
                    self.token = token = self.token + 1
                    self.held[lock] = (asked_by, token)
            case Release(lock, given):
                if token == given and token:
                    del self.held[lock]
        return token

    def snapshot(self) -> Iterable[bytes]:
        """All of it, as JSON."""
        return [json.dumps([self.token, self.held]).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        """Be what the snapshot says."""
        self.token, held = json.loads(b"".join([chunk async for chunk in chunks]))
        self.held = {lock: (owner, token) for lock, (owner, token) in held.items()}


class StaleToken(Exception):
    """The lock has had a later holder."""


@attrs.define
class Ledger:
    """What the lock protects. It remembers the highest token it has seen, and refuses lower ones.

    That check is what makes it safe: a holder that was paused can't know that its lock was given to another.
    """

    lines: list[str] = attrs.field(factory=list[str])
    highest: int = 0

    def write(self, token: int, line: str) -> None:
        """Add a line.

        Raises:
            StaleToken: somebody with a higher token was here.
        """
        if token < self.highest:
            raise StaleToken(f"token {token}: the ledger has seen {self.highest}")
        self.highest = token
        self.lines.append(line)
