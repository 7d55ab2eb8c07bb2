"""A node's life in one store, in two halves; each may be lived by another version: python lifetime.py begin|go-on FILE

It uses what has been public for as long as compatibility is promised, for old versions run it, too. Both halves print
what the node then holds, as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import trio

from raft_actors import ClusterConfig, Member, Node, NodeConfig, SessionState, StateMachine, open_node
from raft_actors.persistence import SqliteStorage
from raft_actors.transports import MemoryNetwork

LARGE = b"large " * 20_000  # in a segment
CLUSTER = ClusterConfig(cluster_id="orders", voters={"n1": "address of n1"})
CONFIG = NodeConfig(trailing_entries=2)


class Lines(StateMachine[bytes, int]):
    """Keeps each command, and answers how many there are."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def apply(self, command: bytes) -> int:
        self.lines.append(command)
        return len(self.lines)

    def snapshot(self) -> Iterable[bytes]:
        return [b"\n".join(self.lines)]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.lines = b"".join([chunk async for chunk in chunks]).split(b"\n")


def opened(file: Path, machine: Lines) -> AbstractAsyncContextManager[Node[Lines]]:
    return open_node(
        "n1",
        cluster=CLUSTER,
        state_machine=machine,
        storage=SqliteStorage(file),
        transport=MemoryNetwork().transport("n1"),
        config=CONFIG,
    )


def found(node: Node[Any], machine: Lines) -> dict[str, Any]:
    members, status = node.members(), node.status()
    return {
        "lines": [[line[:6].decode(), len(line)] for line in machine.lines],
        "snapshot": status.snapshot_index,
        "voters": sorted(members.voters),
        "learners": sorted(members.learners),
        "metadata": {member_id: dict(member.metadata) for member_id, member in sorted(members.members.items())},
    }


async def begin(file: Path) -> dict[str, Any]:
    """All that a store can hold: a snapshot with a session and with members in it, and more of each behind it."""
    machine, n2 = Lines(), Member("address of n2", {"zone": "a"})
    async with opened(file, machine) as node:
        await node.wait_leader()
        await node.propose(b"first")
        await node.change_members(learners={"n2": n2})
        async with node.session(end=False) as session:
            assert await session.propose(b"once") == 2
            await node.take_snapshot()
            assert await session.propose(LARGE) == 3
            await node.change_members(learners={"n2": n2, "n3": Member("address of n3")})
            await node.propose_many([b"after", b"after"])
            state = session.state()
            return {**found(node, machine), "session": state.session, "next": state.next_number}


async def go_on(file: Path, session: int, next_number: int) -> dict[str, Any]:
    """What the first half left, and that its session is known still: what it asks again is not done again."""
    machine = Lines()
    async with opened(file, machine) as node:
        await node.wait_leader()
        state = SessionState(session, next_number, {next_number - 1: LARGE})
        async with node.session(state, end=False) as taken_up:
            again = await taken_up.outcomes()
            held = found(node, machine)
            assert await taken_up.propose(b"more") == len(held["lines"]) + 1
            return {**held, "session": session, "next": next_number, "again": [*again.values()]}


def main(half: str, file: str, *numbers: str) -> None:
    work = begin(Path(file)) if half == "begin" else go_on(Path(file), *map(int, numbers))
    sys.stdout.write(json.dumps(trio.run(lambda: work)))


if __name__ == "__main__":
    main(*sys.argv[1:])
