"""A command's refusal is an outcome; a replica's failure ends its node; what ends all of them can be left out."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import pytest

from raft_actors import ClusterConfig, CommandFailed, ConfigurationError, NodeStopped, StateMachineError, open_node
from raft_actors.node.failures import command_digest
from raft_actors.persistence import MemoryDisk, MemoryStorage
from raft_actors.testing import simulate
from tests.actors.machines import Machine
from tests.embedding.support import arguments


class Failing(Machine):
    """Raises what a command names."""

    fatal_errors: ClassVar[tuple[type[Exception], ...]] = (OSError,)

    def apply(self, command: bytes) -> str:
        errors: dict[bytes, type[Exception]] = {
            b"memory": MemoryError,
            b"recursion": RecursionError,
            b"timeout": TimeoutError,
        }
        if command in errors:
            raise errors[command]
        return super().apply(command)


class HiddenCoroutine(Machine):
    def apply(self, command: bytes) -> Any:
        async def later() -> str:
            return super(HiddenCoroutine, self).apply(command)

        return later()


async def _poison(disk: MemoryDisk, command: bytes) -> StateMachineError:
    async def live() -> None:
        async with open_node("n1", **arguments(Failing, storage=MemoryStorage(disk))) as node:
            await node.wait_leader()
            await node.propose(b"before")
            with pytest.raises(NodeStopped):
                await node.propose(command)
            await node.wait_applied(99)

    with pytest.raises(StateMachineError) as crash:
        await live()
    return crash.value


@pytest.mark.parametrize(
    ("command", "kind"), [(b"memory", MemoryError), (b"recursion", RecursionError), (b"timeout", TimeoutError)]
)
async def test_a_failure_of_the_replica_ends_the_node(command: bytes, kind: type[Exception]) -> None:
    crash = await _poison(MemoryDisk(), command)
    assert isinstance(crash.__cause__, kind)
    assert "the command at index 3 met" in str(crash)
    assert "skipped_commands={3: " in str(crash)


async def test_a_refusal_is_an_outcome_and_the_next_command_goes_on() -> None:
    class Filing(Machine):
        def apply(self, command: bytes) -> str:
            if command == b"missing":
                raise FileNotFoundError(command)  # of a replicated filing system, say
            return super().apply(command)

    async with open_node("n1", **arguments(Filing)) as node:
        await node.wait_leader()
        with pytest.raises(CommandFailed) as failed:
            await node.propose(b"missing")
        assert isinstance(failed.value.__cause__, FileNotFoundError)
        assert await node.propose(b"next") == "result of next"


async def test_a_coroutine_that_apply_returns_ends_the_node() -> None:
    async def live() -> None:
        async with open_node("n1", **arguments(HiddenCoroutine)) as node:
            await node.wait_leader()
            await node.propose(b"x")

    with pytest.raises(StateMachineError, match="apply returned a coroutine, so nothing of it was carried out"):
        await live()


@pytest.mark.parametrize("declared", [[OSError], (1,), OSError])
async def test_what_is_declared_fatal_must_be_exception_classes(declared: Any) -> None:
    machine = type("Wrong", (Machine,), {"fatal_errors": declared})
    with pytest.raises(ConfigurationError, match=r"Wrong\.fatal_errors must be a tuple of exception classes"):
        async with open_node("n1", **arguments(machine)):
            pass


async def test_a_command_that_ends_every_replica_can_be_left_out_by_name() -> None:
    disk = MemoryDisk()
    crash = await _poison(disk, b"memory")
    with pytest.raises(StateMachineError):  # again at each start
        async with open_node("n1", **arguments(Failing, storage=MemoryStorage(disk))) as node:
            await node.wait_applied(99)
    named = re.search(r"skipped_commands=\{(\d+): '(\w+)'\}", str(crash))
    assert named is not None
    cluster = ClusterConfig("c", {"n1": "memory"}, skipped_commands={int(named[1]): named[2]})
    for _ in range(2):
        async with open_node("n1", **arguments(Failing, storage=MemoryStorage(disk), cluster=cluster)) as node:
            await node.wait_leader()
            assert await node.propose(b"after") == "result of after"
            applied = await node.read(lambda machine: machine.commands_applied)
            assert b"memory" not in applied
            async with node.applied(from_index=1) as log:
                seen = [(await log.receive()).command for _ in applied]  # type: ignore[union-attr]
            assert seen == applied


@pytest.mark.parametrize(("index", "found"), [(2, "where the log holds [0-9a-f]{16}"), (1, "where the log holds none")])
async def test_another_command_than_the_one_named_is_not_left_out(index: int, found: str) -> None:
    disk = MemoryDisk()
    await _poison(disk, b"memory")
    cluster = ClusterConfig("c", {"n1": "memory"}, skipped_commands={index: "0123456789abcdef"})
    with pytest.raises(StateMachineError, match=f"skipped_commands names '0123456789abcdef' at index {index}, {found}"):
        async with open_node("n1", **arguments(Machine, storage=MemoryStorage(disk), cluster=cluster)) as node:
            await node.wait_applied(99)


async def test_commands_around_those_left_out_get_their_own_results() -> None:
    skipped = {index: command_digest(index, 1, b"c%d" % index) for index in (2, 4, 5, 7)}
    cluster = ClusterConfig("c", {"n1": "memory"}, skipped_commands=skipped)
    async with open_node("n1", **arguments(cluster=cluster)) as node:
        await node.wait_leader()
        results = await node.propose_many([b"c%d" % index for index in range(2, 8)])
        kinds = [type(result) is CommandFailed for result in results]
        assert kinds == [index in skipped for index in range(2, 8)]
        assert [result for result in results if isinstance(result, str)] == ["result of c3", "result of c6"]
        assert await node.propose(b"next") == "result of next"


async def test_in_a_simulated_cluster_the_replica_that_fails_ends_alone(autojump_clock: object) -> None:
    made: list[Machine] = []

    class Poor(Machine):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

        def apply(self, command: bytes) -> str:
            if command == b"big" and self is made[0]:
                raise MemoryError
            return super().apply(command)

    async with simulate(Poor, nodes=3, seed=1) as cluster:
        cluster.tolerated = (StateMachineError,)
        await cluster.wait_for_one_leader()
        await cluster.one(b"big", 2)
        await cluster.one(b"after", 2)
        assert b"big" not in made[0].commands_applied
        assert b"after" not in made[0].commands_applied
        assert len(cluster.nodes) == 2
