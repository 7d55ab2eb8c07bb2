"""A key-value store with clients that never do anything twice, and a model of it for the checker."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Hashable, Iterable
from typing import Any

import attrs
import trio

from raft_actors import NotLeader, Overloaded, ProposalError, StateMachine, attrs_commands
from raft_actors.testing import UNKNOWN, Model, Operation, SimulatedCluster


@attrs.frozen
class Put:
    """Replace a value."""

    key: str
    value: str
    client: str
    number: int


@attrs.frozen
class Append:
    """Add to the end of a value."""

    key: str
    value: str
    client: str
    number: int


Change = Put | Append


class KeyValue(StateMachine[Change, str]):
    """Strings by key. A change that a client repeats, because it got no answer, takes effect once."""

    commands = attrs_commands(Change)

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.answered: dict[str, tuple[int, str]] = {}

    def apply(self, command: Change) -> str:
        number, answer = self.answered.get(command.client, (0, ""))
        if command.number <= number:
            return answer
        old = self.values.get(command.key, "")
        self.values[command.key] = command.value if isinstance(command, Put) else old + command.value
        self.answered[command.client] = command.number, old
        return old

    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps([self.values, self.answered]).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.values, answered = json.loads(b"".join([chunk async for chunk in chunks]))
        self.answered = {client: (number, answer) for client, (number, answer) in answered.items()}


class KeyValueModel(Model[str]):
    """Requests: a Put or Append, answered with the value before; or a key, answered with its value."""

    def initial(self) -> str:
        return ""

    def step(self, state: str, request: Any, response: Any) -> tuple[bool, str]:
        possible = response is UNKNOWN or response == state
        if isinstance(request, Put):
            return possible, request.value
        if isinstance(request, Append):
            return possible, state + request.value
        return possible, state

    def key(self, request: Any) -> Hashable:
        return request if isinstance(request, str) else request.key


Cluster = SimulatedCluster[Change, str]


@attrs.define(eq=False)
class Client:
    """Reads and writes until told to stop, and writes down what it did and when.

    A change whose outcome is unknown is proposed again under the same number until somebody answers, at any node.
    """

    name: str
    cluster: Cluster
    keys: tuple[str, ...]
    history: list[Operation]
    number: int = 0
    target: str | None = None
    done: bool = False

    async def run(self) -> None:
        rng = self.cluster.rng
        while not self.done:
            key = rng.choice(self.keys)
            kind = rng.choice(("read", "put", "append", "append"))
            if kind == "read":
                await self.call(key)
            else:
                self.number += 1
                change = Put if kind == "put" else Append
                await self.call(change(key, f"{self.name}.{self.number} ", self.name, self.number))
            await trio.sleep(rng.uniform(0, 0.12))

    async def call(self, request: Change | str) -> None:
        """Do one thing, however long that takes; note it as unknown if it is still not done at the end."""
        start = trio.current_time()
        response: Any = UNKNOWN
        end = float("inf")
        try:
            while response is UNKNOWN and not self.done:
                response = await self._try(request)
            if response is not UNKNOWN:
                end = trio.current_time()
        finally:
            self.history.append(Operation(self.name, request, response, start, end))

    async def _try(self, request: Change | str) -> Any:
        nodes = self.cluster.nodes
        node = nodes.get(self.target or "") or nodes.get(self.cluster.rng.choice(self.cluster.node_ids))
        if node is None:
            await trio.sleep(0.02)
            return UNKNOWN
        try:
            with trio.move_on_after(1.0):
                if isinstance(request, str):
                    return await node.read(lambda store: store.inner.values.get(request, ""))
                return await node.propose(request)
        except NotLeader as error:
            self.target = error.leader
        except Overloaded:
            pass
        except ProposalError:
            self.target = None
        else:
            self.target = None
        await trio.sleep(0.02)
        return UNKNOWN
