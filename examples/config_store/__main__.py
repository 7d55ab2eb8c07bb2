"""A watcher at a follower sees what is set at the leader: `python -m examples.config_store`."""

from __future__ import annotations

import trio

from examples.config_store.store import ConfigStore, Delete, Set, watch
from examples.three_nodes import follower_of, leader_of, three_nodes
from raft_actors import CommandFailed


async def main() -> None:
    """Change keys at one node, watch at another."""
    async with three_nodes(ConfigStore) as nodes, watch(follower_of(nodes), "db/") as changes:
        store = leader_of(nodes)
        revision = await store.propose(Set("db/host", "10.0.0.1"))
        print("set at revision", revision)
        await store.propose(Set("web/port", "80"))  # another prefix: nobody watches it
        await store.propose(Set("db/host", "10.0.0.2", if_revision=revision))
        try:
            await store.propose(Set("db/host", "10.0.0.3", if_revision=revision))
        except CommandFailed as failure:
            print("refused:", failure.__cause__)
        await store.propose(Delete("db/host"))
        for _ in range(3):
            print(await changes.receive())
        print("now:", await store.read(lambda machine: dict(machine.values)))


trio.run(main)
