"""A cluster of one that grows to three over TCP, with stores on disk, and goes on without the node that began it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from raft_actors import ClusterConfig, Member, Node, NotLeader, NotMember, open_node
from raft_actors.persistence import SqliteStorage
from raft_actors.transports import TcpTransport
from tests.actors.machines import Machine


async def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    listeners = [(await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] for _ in range(count)]
    ports = [listener.socket.getsockname()[1] for listener in listeners]
    for listener in listeners:
        await listener.aclose()
    return ports


async def propose(nodes: list[Node[Machine]], command: bytes) -> None:
    """At whoever leads."""
    with trio.fail_after(30):
        while True:
            for node in nodes:
                try:
                    await node.propose(command)
                except NotLeader:
                    continue
                return
            await trio.sleep(0.01)


async def test_one_node_becomes_three_and_three_become_two(tmp_path: Path) -> None:
    one, two, three = await free_ports(3)
    addresses = {"n1": f"127.0.0.1:{one}", "n2": f"127.0.0.1:{two}", "n3": f"127.0.0.1:{three}"}
    cluster = ClusterConfig("growing", {"n1": addresses["n1"]})
    async with AsyncExitStack() as stack:
        nodes: list[Node[Machine]] = []
        for name, address in addresses.items():
            node = await stack.enter_async_context(
                open_node(
                    name,
                    cluster=cluster,
                    state_machine=Machine,
                    storage=SqliteStorage(tmp_path / f"{name}.db"),
                    transport=TcpTransport(address),
                    join=name != "n1",
                )
            )
            nodes.append(node)
        first, *others = nodes
        with trio.fail_after(30):
            await first.wait_leader()
            for number in range(200):
                await first.propose(b"%d" % number)
            with pytest.raises(NotMember):
                await others[0].propose(b"too early")
            members = await first.change_members(addresses)
            assert sorted(members.voters) == ["n1", "n2", "n3"]
            await propose(nodes, b"of three")
            # The one that began it leaves: it hands over, and the others go on without it.
            rest = {name: address for name, address in addresses.items() if name != "n1"}
            members = await first.change_members(rest)
            assert sorted(members.voters) == ["n2", "n3"]
            await propose(others, b"of two")
            with pytest.raises(NotMember):
                await first.propose(b"too late")
        index = max(node.status().last_index for node in others)
        for node in others:
            await node.wait_applied(index)
            assert node.status().voters == ("n2", "n3")


async def test_who_comes_back_before_its_leave_is_over_is_bound_to_its_store(tmp_path: Path) -> None:
    """Its connection is older than its being a member, and what it said then was forgotten."""
    one, two = await free_ports(2)
    addresses: dict[str, str] = {"n1": f"127.0.0.1:{one}", "n2": f"127.0.0.1:{two}"}
    cluster = ClusterConfig("returning", addresses)
    async with AsyncExitStack() as stack:
        nodes: dict[str, Node[Machine]] = {}
        for name, address in addresses.items():
            storage, transport = SqliteStorage(tmp_path / f"{name}.db"), TcpTransport(address)
            node = open_node(name, cluster=cluster, state_machine=Machine, storage=storage, transport=transport)
            nodes[name] = await stack.enter_async_context(node)
        with trio.fail_after(30):
            leader = nodes[await nodes["n1"].wait_leader()]
            [other] = addresses.keys() - {leader.node_id}
            await leader.propose(b"x")
            own = {leader.node_id: Member(addresses[leader.node_id])}
            await leader.change_members(own)
            # It holds its removal, and is not told yet that this is committed: it is no stranger to the leader.
            await leader.change_members({**own, other: Member(addresses[other])})
            assert leader.members().voters == addresses.keys()
            store = leader.members().members[other].incarnation
            await nodes[other].wait_applied(leader.status().commit_index)
        assert store == leader.statistics().transport.peers[other].incarnation != ""
