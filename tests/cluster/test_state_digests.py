"""Replicas that have parted ways are found out, and end; the others go on."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from contextlib import AsyncExitStack, suppress
from typing import Any
from zlib import crc32

import attrs
import pytest
import trio

from raft_actors import NodeConfig, StateDiverged, StateMachine, StatesDiffer
from raft_actors.testing import simulate
from raft_actors.testing.invariants import STANDARD_INVARIANTS, EqualResults

EVERY = 10
#: It would find them before the nodes do.
INVARIANTS = [make for make in STANDARD_INVARIANTS if make is not EqualResults]
CONFIG = NodeConfig(state_check_entries=EVERY)


@attrs.frozen(eq=False)
class Salted:
    """A string as another process sees it, whose hash seed is another: sets of it come in another order there."""

    text: str
    salt: int

    def __hash__(self) -> int:
        return crc32(f"{self.salt} {self.text}".encode())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Salted) and self.text == other.text


class Tags(StateMachine[bytes, int]):
    """Keeps tags in a set, and whatever is drawn from that set in a list."""

    def __init__(self, salt: int, *, drawn: bool, fails_on: int = 0) -> None:
        self.salt = salt
        self.fails_on = fails_on
        self.tags: set[Salted] = set()
        self.drawn: list[str] | None = [] if drawn else None

    def apply(self, command: bytes) -> int:
        if self.fails_on == self.salt and command == b"tag 5":
            raise KeyError(command)  # as it may where a library is of another version
        self.tags.add(Salted(command.decode(), self.salt))
        if self.drawn is not None:
            self.drawn += [tag.text for tag in self.tags]  # a mistake
        return len(self.tags)

    def snapshot(self) -> Iterable[bytes]:
        return [repr([tag.text for tag in self.tags]).encode()]

    def state_digest(self) -> bytes:
        return repr((sorted(tag.text for tag in self.tags), self.drawn)).encode()

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        async for _ in chunks:
            raise NotImplementedError


def salts(*values: int, drawn: bool = False, fails_on: int = 0) -> Any:
    """What makes the nodes' state machines, in the order of the nodes."""
    made = iter(values)
    return lambda: Tags(next(made, values[-1]), drawn=drawn, fails_on=fails_on)


async def run(make: Any, *, nodes: int = 3) -> tuple[dict[str, StateDiverged], list[str]]:
    """The errors that nodes end with, by node, and those that were told of a difference."""
    async with (
        simulate(make, nodes=nodes, seed=1, config=CONFIG, invariants=INVARIANTS) as cluster,
        AsyncExitStack() as stack,
    ):
        cluster.tolerated = (StateDiverged,)
        await cluster.wait_for_one_leader()
        all_nodes = dict(cluster.nodes)
        channels = {name: await stack.enter_async_context(node.events()) for name, node in all_nodes.items()}
        for number in range(2 * EVERY):
            if len(cluster.nodes) > nodes // 2:
                leader = await cluster.wait_for_one_leader()
                await cluster.start_command(leader, b"tag %d" % number)
            await trio.sleep(0.05)
        told = []
        for name, channel in channels.items():
            with suppress(trio.WouldBlock, trio.EndOfChannel):
                while not isinstance(event := channel.receive_nowait(), StatesDiffer):
                    pass
                assert (event.index, len(event.digests)) in ((EVERY, 2), (EVERY, 3))
                told.append(name)
        return {name: node.crash for name, node in all_nodes.items() if isinstance(node.crash, StateDiverged)}, told


@pytest.mark.parametrize("odd", [0, 1, 2])
@pytest.mark.parametrize("fault", [{"drawn": True}, {"fails_on": 8}])
async def test_a_replica_that_iterates_over_a_set_or_fails_alone_ends(odd: int, fault: dict[str, int]) -> None:
    values = [7, 7, 7]
    values[odd] = 8
    ended, told = await run(salts(*values, **fault))  # type: ignore[arg-type]
    name = f"n{odd + 1}"
    assert {*ended} == {name}
    assert (ended[name].index, ended[name].node_id) == (EVERY, name)
    assert len(set(ended[name].digests.values())) == 2
    assert {*told} >= {"n1", "n2", "n3"} - {name}


@pytest.mark.parametrize("nodes", [2, 3])
async def test_where_no_state_has_a_majority_every_replica_ends(nodes: int) -> None:
    ended, _ = await run(salts(7, 8, 9, drawn=True), nodes=nodes)
    assert len(ended) == nodes


async def test_an_order_that_does_not_matter_is_no_difference() -> None:
    assert await run(salts(7, 8, 9)) == ({}, [])
