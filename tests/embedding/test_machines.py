"""What is made sure of before a state machine is trusted with a log."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterable, Callable, Iterable
from contextvars import ContextVar
from typing import Any

import attrs
import pytest
import trio

from raft_actors import ConfigurationError, StateMachine, StorageFailed, open_node
from raft_actors.persistence import MemoryDisk, MemoryStorage
from raft_actors.testing import simulate
from tests.actors.machines import Machine
from tests.embedding.support import arguments

REQUEST: ContextVar[str] = ContextVar("request")


class AsyncApply(Machine):
    async def apply(self, command: bytes) -> str:  # type: ignore[override]
        return super().apply(command)


class AsyncSnapshot(Machine):
    async def snapshot(self) -> Iterable[bytes]:  # type: ignore[override]
        return super().snapshot()


class AsyncChunks(Machine):
    async def snapshot(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]  # noqa: ASYNC900 - on purpose
        yield b""


class YieldingApply(Machine):
    def apply(self, command: bytes) -> Any:
        yield super().apply(command)


class YieldingSnapshot(Machine):
    def snapshot(self) -> Iterable[bytes]:
        yield from super().snapshot()


class WrappedApply(Machine):
    @functools.lru_cache  # noqa: B019
    async def apply(self, command: bytes) -> str:  # type: ignore[override]
        return super().apply(command)


@attrs.define(eq=True)
class Slotted(StateMachine[bytes, int]):
    """Has slots, compares by value, and can't be hashed."""

    count: int = 0

    def apply(self, command: bytes) -> int:
        self.count += 1
        return self.count

    def snapshot(self) -> Iterable[bytes]:
        return [b"%d" % self.count]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.count = int(b"".join([chunk async for chunk in chunks]))


@pytest.mark.parametrize(
    ("machine", "text"),
    [
        (AsyncApply, r"AsyncApply\.apply is an async function.*write `def apply`"),
        (AsyncSnapshot, r"AsyncSnapshot\.snapshot is an async function"),
        (AsyncChunks, r"AsyncChunks\.snapshot is an async function"),
        (WrappedApply, r"WrappedApply\.apply is an async function"),
        (YieldingApply, r"YieldingApply\.apply is a generator function"),
        (YieldingSnapshot, r"YieldingSnapshot\.snapshot is a generator function.*return a generator"),
        (dict, "dict is none"),
        ({}, "dict is none"),
    ],
)
async def test_one_that_would_carry_out_nothing_is_refused_at_opening(machine: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        async with open_node("n1", **arguments(machine)):
            pass


async def test_a_simulated_cluster_refuses_it_too(autojump_clock: object) -> None:
    with pytest.raises(ConfigurationError, match=r"AsyncApply\.apply is an async function"):
        async with simulate(AsyncApply, nodes=1):
            pass
    machine = Machine()
    with pytest.raises(ConfigurationError, match="has served a node before"):
        async with simulate(lambda: machine, nodes=2):
            pass


async def test_an_async_query_is_refused_at_the_call_and_the_node_goes_on() -> None:
    async def query(machine: Machine) -> list[bytes]:
        return machine.commands_applied

    async def chunks(machine: Machine) -> Any:  # noqa: ASYNC900 - wrong on purpose
        yield machine

    async with open_node("n1", **arguments()) as node:
        await node.wait_leader()
        with pytest.raises(TypeError, match="the query returned a coroutine, so nothing of it was carried out"):
            await node.read(query)  # type: ignore[unused-coroutine]
        with pytest.raises(TypeError, match="the query returned a async_generator"):
            await node.read(chunks)
        assert await node.propose(b"x") == "result of x"


@pytest.mark.parametrize("make", [Machine, Slotted])
async def test_one_that_served_a_node_is_refused(make: Callable[[], StateMachine[bytes, Any]]) -> None:
    disk, machine = MemoryDisk(), make()
    async with open_node("n1", **arguments(machine, storage=MemoryStorage(disk))) as node:
        await node.wait_leader()
        await node.propose(b"x")
        with pytest.raises(ConfigurationError, match=r"has served a node before.*hand in a factory"):
            async with open_node("n1", **arguments(machine)):
                pass
        assert await node.propose(b"y") in ("result of y", 2)
    with pytest.raises(ConfigurationError, match="has served a node before"):
        async with open_node("n1", **arguments(machine, storage=MemoryStorage(disk))):
            pass


async def test_equal_ones_are_not_the_same_and_a_failed_opening_uses_none_up() -> None:
    class Failing(MemoryStorage):
        async def open(self, *_: Any, **__: Any) -> Any:
            raise StorageFailed("not today")

    machine = Slotted()
    with pytest.raises(StorageFailed):
        async with open_node("n1", **arguments(machine, storage=Failing())):
            pass
    for each in (machine, Slotted()):
        async with open_node("n1", **arguments(each)) as node:
            await node.wait_leader()
            assert await node.propose(b"x") == 1


async def test_a_factory_makes_one_for_each_life() -> None:
    disk = MemoryDisk()
    for life in (1, 2, 3):
        async with open_node("n1", **arguments(Slotted, storage=MemoryStorage(disk))) as node:
            await node.wait_leader()
            assert await node.propose(b"x") == life


async def test_memory_of_a_used_one_is_not_kept_for_its_successors() -> None:
    for _ in range(100):  # objects that follow each other get the same address
        async with open_node("n1", **arguments(Slotted())):
            pass


async def test_a_query_runs_in_its_callers_context_and_apply_in_the_openers() -> None:
    class Contextual(Machine):
        def apply(self, command: bytes) -> str:
            return REQUEST.get()

    def query(_machine: Machine) -> str:
        seen = REQUEST.get()
        REQUEST.set("set by the query")
        return seen

    REQUEST.set("opener")
    async with open_node("n1", **arguments(Contextual)) as node:
        await node.wait_leader()
        REQUEST.set("request 7")
        assert await node.read(query) == "request 7"
        assert await node.propose(b"x") == "opener"
        assert REQUEST.get() == "request 7"
    await trio.lowlevel.checkpoint()
