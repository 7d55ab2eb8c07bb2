"""The application that `raft-actors simulate` runs: a small store of strings, its model, and clients that use it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import AsyncIterable, Collection, Hashable, Iterable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import trio
from typing_extensions import override

from raft_actors.client.errors import OutcomeUnknown
from raft_actors.commands import CommandCodec
from raft_actors.raft.transitions import RoleName
from raft_actors.read_levels import LINEARIZABLE, Lease, ReadLevel
from raft_actors.state_machine import StateMachine
from raft_actors.testing.clients import Client
from raft_actors.testing.linearizability import UNKNOWN, Model

if TYPE_CHECKING:
    from raft_actors.testing.plans import Plan
    from raft_actors.testing.simulation import Simulation

_KEYS = ("a", "b", "c", "d")
#: From one look for a second leader to the next.
_DOUBT_S = (0.01, 0.05)
#: How long clients that act in step take to a node: all as long, so that their calls reach it at one moment.
_STEP_HOP_S = (0.001, 0.001)

_SEPARATOR = "\x1f"
_PADDING = "."

#: Probabilities: that a change is never proposed again where its outcome is unknown, and that several are made at once.
_ONCE = 0.25
_SEVERAL = 0.25

#: Of the changes that may be proposed once only, how many are made in sessions instead, which propose them again.
_IN_SESSION = 0.5
#: Probability that a read goes by the leader's lease, where there are leases.
_BY_LEASE = 0.7

#: Changes of one value of which nobody can tell whether, and when, they were made: the checker must try all orders.
_MOST_OPEN = 3


@attrs.frozen
class Change:
    """Replace a value (`put`) or add to its end (`append`); answered with the value before.

    The number counts the client's changes: the store carries out each once, however often it is proposed. One without a
    number, 0, is carried out whenever it is proposed.
    """

    kind: str
    key: str
    value: str
    client: str
    number: int

    @override
    def __str__(self) -> str:
        return f"{self.kind} {self.key} {self.value.rstrip(_PADDING)!r}"


@attrs.frozen
class Get:
    """Ask for a value."""

    key: str

    @override
    def __str__(self) -> str:
        return f"get {self.key}"


class _Codec(CommandCodec[Change]):
    @override
    def encode(self, command: Change) -> bytes:
        fields = (command.kind, command.key, command.client, str(command.number), command.value)
        return _SEPARATOR.join(fields).encode()

    @override
    def decode(self, data: bytes) -> Change:
        kind, key, client, number, value = data.decode().split(_SEPARATOR)
        return Change(kind, key, value, client, int(number))


class Store(StateMachine[Change, str]):
    """Strings by key. Padding that made a command huge is not kept."""

    commands: ClassVar[CommandCodec[Any]] = _Codec()

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.answered: dict[str, tuple[int, str]] = {}

    @override
    def apply(self, command: Change) -> str:
        number, answer = self.answered.get(command.client, (0, ""))
        if command.number and command.number <= number:
            return answer
        old = self.values.get(command.key, "")
        new = command.value.rstrip(_PADDING)
        self.values[command.key] = new if command.kind == "put" else old + new
        if command.number:
            self.answered[command.client] = command.number, old
        return old

    @override
    def touches(self, command: Change) -> Collection[Hashable]:
        return (command.key,)

    @override
    def snapshot(self) -> Iterable[bytes]:
        data = json.dumps([self.values, self.answered]).encode()
        # In pieces that no chunk's bounds agree with.
        return [data[start : start + 100] for start in range(0, len(data), 100)]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.values, answered = json.loads(b"".join([chunk async for chunk in chunks]))
        self.answered = {client: (number, answer) for client, (number, answer) in answered.items()}


class StoreModel(Model[str]):
    """What the store must look like to its clients."""

    @override
    def initial(self) -> str:
        return ""

    @override
    def step(self, state: str, request: Any, response: Any) -> tuple[bool, str]:
        possible = response is UNKNOWN or response == state
        if isinstance(request, Get):
            return possible, state
        value = request.value.rstrip(_PADDING)
        return possible, value if request.kind == "put" else state + value

    @override
    def key(self, request: Any) -> Hashable:
        key: str = request.key
        return key

    @override
    def is_read(self, request: Any) -> bool:
        return isinstance(request, Get)


def _value_of(key: str, store: Store) -> str:
    return store.values.get(key, "")


class Load:
    """Clients at work on a store, each with a random pause after each call, until told to stop.

    Attributes:
        calls: how many have been made.
    """

    def __init__(self, cluster: Simulation[Change, str], plan: Plan) -> None:
        self._cluster = cluster
        self._plan = plan
        self._done = False
        self._stopped = trio.Event()
        self._open: Counter[str] = Counter()
        self._stubborn: set[Client[Change, str]] = set()
        self.calls: int = 0

    async def run(self) -> None:
        """Have all clients work; return when each has its last answer after `stop`."""
        async with trio.open_nursery() as nursery:
            for number in range(self._plan.clients):
                nursery.start_soon(self._work, number)
            for number in range(self._plan.readers):
                nursery.start_soon(self._doubt, number)
        self._stopped.set()

    def stop(self) -> None:
        """Have no further calls made, and those that wait go to any node: who was removed while it could not be told
        has no answer to give, however often it is asked.
        """
        self._done = True
        for client in self._stubborn:
            client.stubborn = 0.0

    async def wait_stopped(self) -> None:
        """Wait until every client has its last answer."""
        await self._stopped.wait()

    async def _doubt(self, number: int) -> None:
        """Whenever more than one node takes itself for the leader, have the newest one make a change, and see whether
        the oldest one answers as if nothing had happened."""
        cluster, rng = self._cluster, Random(f"{self._cluster.seed} reader {number}")
        client, count = cluster.client(f"r{number}"), 0
        while not self._done:
            await trio.sleep(rng.uniform(*_DOUBT_S))
            statuses = [node.status() for node in cluster.nodes.values()]
            leaders = sorted((status.term, status.node_id) for status in statuses if status.role is RoleName.LEADER)
            if len(leaders) < 2:
                continue
            self.calls += 2
            count += 1
            key = rng.choice(_KEYS)
            client.go_to(leaders[-1][1])
            await client.call(self._change(client.name, count, rng, "put", key), retry=True)
            await client.read_once(leaders[0][1], Get(key), partial(_value_of, key), self._level(rng), (key,))

    async def _work(self, number: int) -> None:
        """One client after the other: when one dies within a call, another takes its place."""
        rng = Random(f"{self._cluster.seed} load {number}")
        incarnation = 0
        while not self._done:
            incarnation += 1
            await self._live(f"c{number}.{incarnation}", rng)

    async def _live(self, name: str, rng: Random) -> None:
        client, plan, count = self._cluster.client(name), self._plan, 0
        sessions = Random(f"{self._cluster.seed} sessions {name}")
        client.patience_s, client.stubborn = plan.patience_s, plan.stubborn
        self._stubborn.add(client)
        if plan.in_step_s:
            client.hop_s = _STEP_HOP_S
        while not self._done:
            await self._think(rng)
            self.calls += 1
            key, kind = rng.choice(_KEYS), rng.choice(("get", "get", "put", "append", "append", "append"))
            mortal = rng.random() < plan.client_crashes
            with trio.move_on_after(rng.expovariate(20.0) if mortal else float("inf")) as scope:
                if kind == "get":
                    await client.read(Get(key), partial(_value_of, key), self._level(rng), (key,))
                else:
                    several = rng.randint(2, 4) if rng.random() < _SEVERAL and self._may_stay_open(key) else 1
                    changes = [self._change(name, count + more, rng, kind, key) for more in range(1, several + 1)]
                    count += several
                    once = several > 1 or rng.random() < _ONCE
                    await self._call(client, changes, once=once, in_session=sessions.random() < _IN_SESSION)
            if scope.cancelled_caught:
                return

    def _level(self, rng: Random) -> ReadLevel:
        """A level that promises all that was committed."""
        return Lease() if self._plan.leases is not None and rng.random() < _BY_LEASE else LINEARIZABLE

    async def _think(self, rng: Random) -> None:
        """Wait until the next call; where clients act in step, until a moment at which others call, too."""
        call_at = trio.current_time() + rng.expovariate(1 / self._plan.think_s)
        step_s = self._plan.in_step_s
        await trio.sleep_until(math.ceil(call_at / step_s) * step_s if step_s else call_at)

    def _may_stay_open(self, key: str) -> bool:
        """Whether the outcome of further changes of a value may remain unknown."""
        return self._open[key] < _MOST_OPEN

    async def _call(
        self, client: Client[Change, str], changes: list[Change], *, once: bool, in_session: bool = False
    ) -> None:
        """Have changes of one value made; `once`: never propose them again where their outcome is unknown, but for what
        is made in a session."""
        key = changes[0].key
        if not once or not self._may_stay_open(key):
            await client.call(changes[0], retry=True)
            return
        changes = [attrs.evolve(change, number=0) for change in changes]
        self._open[key] += len(changes)
        try:
            if len(changes) == 1 and in_session:
                await client.call_once(changes[0])
            elif len(changes) == 1:
                await client.call(changes[0])
            else:
                await client.call_many(changes)
        except OutcomeUnknown:
            return
        self._open[key] -= len(changes)

    def _change(self, client: str, number: int, rng: Random, kind: str, key: str) -> Change:
        """A change with a value like no other."""
        value = f"{client}.{number} "
        if self._plan.huge_bytes and rng.random() < self._plan.huge_share:
            value = value.ljust(self._plan.huge_bytes, _PADDING)
        return Change(kind, key, value, client, number)
