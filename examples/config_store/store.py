"""What is replicated, and how it is watched."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import asynccontextmanager

import attrs

from raft_actors import AppliedLog, AppliedSnapshot, Node, StateMachine, attrs_commands


@attrs.frozen
class Set:
    """Give a key a value; with `if_revision`, only if it was set last at that revision (0: it is not there)."""

    key: str
    value: str
    if_revision: int | None = None


@attrs.frozen
class Delete:
    """Remove a key."""

    key: str


@attrs.frozen
class Value:
    """A value, and the revision of the store at which it was set."""

    text: str
    revision: int


class RevisionDiffers(Exception):
    """Somebody else has changed the key since: read it again."""


class ConfigStore(StateMachine[Set | Delete, int]):
    """Answers each change with the revision of the store after it. A refusal changes nothing."""

    commands = attrs_commands(Set | Delete)

    def __init__(self) -> None:
        self.revision = 0
        self.values: dict[str, Value] = {}

    def apply(self, command: Set | Delete) -> int:
        """Change one key."""
        match command:
            case Set(key, value, if_revision):
                known = self.values.get(key)
                at = 0 if known is None else known.revision
                if if_revision is not None and if_revision != at:
                    raise RevisionDiffers(f"{key} was changed at revision {at}, not {if_revision}")
                self.revision += 1
                self.values[key] = Value(value, self.revision)
            case Delete(key):
                if self.values.pop(key, None) is not None:
                    self.revision += 1
        return self.revision

    def snapshot(self) -> Iterable[bytes]:
        """All of it, as JSON: made at once, so that later changes don't get in."""
        values = {key: (value.text, value.revision) for key, value in self.values.items()}
        return [json.dumps([self.revision, values]).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        """Be what the snapshot says."""
        self.revision, values = json.loads(b"".join([chunk async for chunk in chunks]))
        self.values = {key: Value(text, revision) for key, (text, revision) in values.items()}


@attrs.frozen
class Change:
    """A key was set, or removed (None)."""

    key: str
    value: str | None


@attrs.frozen
class Missed:
    """The watcher was too slow, and changes were compacted away: read all of the store again, then go on watching."""


class Watch:
    """Changes of the keys with a prefix, in order, each once. Nothing queues up for a slow reader: it reads the log."""

    def __init__(self, log: AppliedLog[Set | Delete], prefix: str) -> None:
        self._log = log
        self._prefix = prefix

    async def receive(self) -> Change | Missed:
        """Wait for the next change."""
        while True:
            item = await self._log.receive()
            if isinstance(item, AppliedSnapshot):
                return Missed()
            # Every replica got the same result: where that is a refusal, nothing was changed.
            refused = isinstance(item.result, Exception)
            if item.command.key.startswith(self._prefix) and not refused:
                return Change(item.command.key, getattr(item.command, "value", None))


@asynccontextmanager
async def watch(node: Node[ConfigStore], prefix: str = "") -> AsyncGenerator[Watch, None]:
    """Watch from now on, at whatever node: followers apply the same log, some milliseconds later."""
    async with node.applied() as log:
        yield Watch(log, prefix)
