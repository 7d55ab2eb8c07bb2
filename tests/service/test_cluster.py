"""What clients in cluster mode are told, and MOVED for those who want it."""

from __future__ import annotations

import attrs
import pytest
from redis.crc import key_slot
from typing_extensions import override

from raft_actors.node.members import MembersStatus
from raft_actors.service.connection import ServiceConfig
from raft_actors.service.topology import slot_of
from tests.service.support import ADDRESSES, Conversation, LoneReplica, request


async def replies(conversation: Conversation, *asked: str) -> list[str]:
    return [(await conversation.ask(*one.split())).decode() for one in asked]


@pytest.mark.parametrize(
    ("leader", "master", "role"), [("n1", "n1", "master"), ("n2", "n2", "slave"), (None, "n1", "master")]
)
async def test_all_that_tells_of_the_cluster_agrees(leader: str | None, master: str, role: str) -> None:
    conversation = Conversation(LoneReplica(leader=leader))
    nodes, slots, shards, roles, hello, info, state = await replies(
        conversation,
        *("CLUSTER NODES", "CLUSTER SLOTS", "CLUSTER SHARDS", "ROLE", "HELLO", "INFO replication", "CLUSTER INFO"),
    )
    port, other = ADDRESSES[master].rpartition(":")[2], "6380" if master == "n1" else "6379"
    first, second = (line.split() for line in nodes.splitlines()[1:-1])
    assert first[1:3] == [f"127.0.0.1:{port}@1{port}", "myself,master" if role == "master" else "master"]
    assert first[3:] == ["-", "0", "0", "3", "connected", "0-16383"]
    assert second[1:4] == [f"127.0.0.1:{other}@1{other}", "slave" if role == "master" else "myself,slave", first[0]]
    assert slots.startswith(
        f"*1\r\n*4\r\n:0\r\n:16383\r\n*4\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$40\r\n{first[0]}\r\n*0\r\n"
    )
    assert slots.endswith(f":{other}\r\n$40\r\n{second[0]}\r\n*0\r\n")
    assert shards.index("master") < shards.index("replica")
    assert f"$4\r\nport\r\n:{port}" in shards
    assert roles.splitlines()[2] == role
    assert (f"127.0.0.1\r\n:{port}\r\n" in roles) == (role == "slave")
    assert (
        f"$4\r\nrole\r\n${len(role) if role == 'master' else 7}\r\n{'master' if role == 'master' else 'replica'}"
        in hello
    )
    assert "$7\r\ncluster\r\n" in hello
    assert f"\r\nrole:{role}\r\n" in info
    assert (f"\r\nmaster_port:{port}\r\n" in info) == (role == "slave")
    assert f"cluster_state:{'fail' if leader is None else 'ok'}" in state
    me = first[0] if role == "master" else second[0]
    assert (await conversation.ask("CLUSTER", "MYID")).decode() == f"$40\r\n{me}\r\n"


async def test_a_leader_that_is_no_member_here_is_not_told_of() -> None:
    """As at a node that joins: it hears of the leader before it has the configuration."""

    class Joining(LoneReplica):
        @override
        def members(self) -> MembersStatus:
            return attrs.evolve(super().members(), members={})

    conversation = Conversation(Joining(leader="n2"))
    roles, info, slots = await replies(conversation, "ROLE", "INFO replication", "CLUSTER SLOTS")
    assert roles == "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
    assert "\r\nrole:master\r\n" in info
    assert slots == "*0\r\n"
    await replies(conversation, "RAFT.MOVED ON")
    assert await replies(conversation, "SET foo 1") == ["+OK\r\n"]


@pytest.mark.parametrize("leader", [None, "n3"])
async def test_no_replica_is_named_as_master_by_a_node_that_knows_none(leader: str | None) -> None:
    """As at a node that was removed: it is no member, and who leads now is not known to it, or not by an address."""

    class Removed(LoneReplica):
        @override
        def members(self) -> MembersStatus:
            found = super().members()
            return attrs.evolve(found, members={"n2": found.members["n2"]})

    conversation = Conversation(Removed(leader=leader))
    nodes, slots, shards, info = await replies(
        conversation, "CLUSTER NODES", "CLUSTER SLOTS", "CLUSTER SHARDS", "CLUSTER INFO"
    )
    assert nodes.splitlines()[1].endswith(" 127.0.0.1:6380@16380 slave - 0 0 3 connected")  # where it may be asked
    assert (slots, shards) == ("*0\r\n", "*0\r\n")
    assert "cluster_slots_assigned:0\r\ncluster_slots_ok:0\r\n" in info


@pytest.mark.parametrize("said", ["", "127.0.0.1", "6381", "a:b", "a b:6381", "a:" + 5000 * "9"])
async def test_what_is_no_address_is_not_told_of(said: str) -> None:
    class Added(LoneReplica):
        @override
        def members(self) -> MembersStatus:
            found = super().members()
            added = attrs.evolve(found.members["n2"], metadata={"redis": said})
            return attrs.evolve(found, members={**found.members, "n2": added, "n3": added})

    slots, info = await replies(Conversation(Added()), "CLUSTER SLOTS", "INFO replication")
    assert (slots.count("127.0.0.1"), slots.count(":6380")) == (2, 1)
    assert "connected_slaves:1" in info


async def test_subcommands_that_are_none() -> None:
    conversation = Conversation()
    assert await replies(conversation, "CLUSTER FAILOVER", "CLUSTER SLOTS x", "RAFT.MOVED maybe") == [
        "-ERR unknown subcommand 'FAILOVER'. Try CLUSTER HELP.\r\n",
        "-ERR wrong number of arguments for 'cluster|slots' command\r\n",
        "-ERR syntax error\r\n",
    ]
    assert await replies(conversation, "READONLY", "READWRITE", "ASKING") == ["+OK\r\n"] * 3


@pytest.mark.parametrize("key", [b"", b"foo", b"{user1}.a", b"a{}b", b"a{b", b"{{x}}", b"}{y}"])
async def test_slots_are_those_of_redis_clients(key: bytes) -> None:
    assert slot_of(key) == key_slot(key)
    assert await Conversation().ask("CLUSTER", "KEYSLOT", key) == b":%d\r\n" % slot_of(key)


async def test_who_wants_moved_gets_it() -> None:
    conversation = Conversation(LoneReplica(leader="n2"))
    assert await replies(conversation, "SET foo 1", "RAFT.MOVED ON", "SET foo 2", "GET {foo}x", "PING", "DBSIZE") == [
        *("+OK\r\n", "+OK\r\n", "-MOVED 12182 127.0.0.1:6380\r\n", "-MOVED 12182 127.0.0.1:6380\r\n"),
        *("+PONG\r\n", ":1\r\n"),
    ]
    assert await replies(conversation, "READONLY", "GET foo", "SET foo 2", "READWRITE", "GET foo") == [
        *("+OK\r\n", "$1\r\n1\r\n", "-MOVED 12182 127.0.0.1:6380\r\n", "+OK\r\n", "-MOVED 12182 127.0.0.1:6380\r\n")
    ]
    assert await replies(conversation, "MULTI", "SET foo 2", "EXEC") == [
        *("+OK\r\n", "-MOVED 12182 127.0.0.1:6380\r\n"),
        "-EXECABORT Transaction discarded because of previous errors.\r\n",
    ]
    for leader in ("n1", None):  # it is served here, and waits where nobody leads
        conversation.replica.leader = leader
        assert await conversation.ask("SET", "foo", "2") == b"+OK\r\n"
    conversation.replica.leader = "n2"
    assert await replies(conversation, "RAFT.MOVED OFF", "SET foo 3") == ["+OK\r\n"] * 2


async def test_moved_as_a_setting() -> None:
    conversation = Conversation(LoneReplica(leader="n2"), ServiceConfig(addresses=ADDRESSES, moved=True))
    conversation.session.want_moved(True)  # as the service does
    await conversation.ask("RAFT.MOVED", "OFF")
    assert await conversation.say(request("SET", "foo", "1") + request("RESET") + request("SET", "foo", "2")) == (
        b"+OK\r\n+RESET\r\n-MOVED 12182 127.0.0.1:6380\r\n"
    )
