"""What is replicated: a number, and what each client was answered last."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Iterable
from pathlib import Path
from typing import Any

import attrs

from raft_actors import StateMachine, attrs_commands


@attrs.frozen
class Add:
    """Add to the number, once.

    Attributes:
        client: who asks; no two clients have the same name.
        number: counts the client's requests. One that is sent again has its old number.
    """

    client: str
    number: int
    amount: int


class Counter(StateMachine[Add, int]):
    """Answers each request with the number after it. A request that comes twice counts once, and has the same answer.

    That is what makes retries safe. A client waits for one answer before it asks for the next, so the latest is enough.
    """

    commands = attrs_commands(Add)

    def __init__(self) -> None:
        self.value = 0
        self.answered: dict[str, tuple[int, int]] = {}

    def apply(self, command: Add) -> int:
        """Add, unless that was done before."""
        number, answer = self.answered.get(command.client, (0, 0))
        if command.number > number:
            self.value += command.amount
            answer = self.value
            self.answered[command.client] = (command.number, answer)
        return answer

    def snapshot(self) -> Iterable[bytes]:
        """All of it, as JSON."""
        return [json.dumps([self.value, self.answered]).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        """Be what the snapshot says."""
        self.value, answered = json.loads(b"".join([chunk async for chunk in chunks]))
        self.answered = {client: (number, answer) for client, (number, answer) in answered.items()}


@attrs.frozen
class Member:
    """Where one node is reached: by the other nodes, and by clients."""

    raft: str
    clients: str

    @property
    def host_and_port(self) -> tuple[str, int]:
        """Where clients connect."""
        host, _, port = self.clients.rpartition(":")
        return host, int(port)


def read_members(file: Path) -> dict[str, Member]:
    """The nodes, by name, from a JSON file that all nodes and clients have."""
    members: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return {name: Member(**addresses) for name, addresses in members.items()}
