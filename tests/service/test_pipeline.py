"""How requests are grouped into proposals and reads, and what a client is told when one fails."""

from __future__ import annotations

import pytest
import trio

from raft_actors import (
    CommandFailed,
    CommandTooLarge,
    LeadershipLost,
    NodeStopped,
    NotLeader,
    NotMember,
    Overloaded,
    ProposalError,
)
from raft_actors.service.connection import ServiceConfig
from raft_actors.service.pipeline import LONGEST_RUN
from tests.service.support import ADDRESSES, Conversation, LoneReplica, request


def pipeline(*requests: str) -> bytes:
    return b"".join(request(*words.split()) for words in requests)


async def test_reads_between_writes_go_with_them_and_keep_their_order() -> None:
    conversation = Conversation()
    wire = pipeline(
        *("GET a", "SET a 1", "INCR a", "GET a", "MGET a b", "EXISTS a a", "SET a x", "STRLEN a", "PING"),
        *("TYPE a", "DBSIZE", "GET a", "INCR a"),
    )
    replies = await conversation.say(wire)
    assert replies.split(b"\r\n") == [
        *(b"$-1", b"+OK", b":2", b"$1", b"2", b"*2", b"$1", b"2", b"$-1", b":2", b"+OK", b":1", b"+PONG"),
        *(b"+string", b":1", b"$1", b"x", b"-ERR value is not an integer or out of range", b""),
    ]
    assert conversation.replica.calls == [("write", 8), ("write", 4)]


async def test_reads_alone_do_not_write() -> None:
    conversation = Conversation()
    replies = await conversation.say(pipeline("GET a", "KEYS *", "nosuch", "MGET a b", "SCAN 0"))
    assert replies.startswith(b"$-1\r\n*0\r\n-ERR unknown command")
    assert replies.endswith(b"*2\r\n$-1\r\n$-1\r\n*2\r\n$1\r\n0\r\n*0\r\n")
    assert conversation.replica.calls == [("read", 1)]


async def test_walks_over_the_keys_are_kept_out_of_the_log() -> None:
    conversation = Conversation()
    await conversation.say(pipeline("SET a 1", "KEYS *", "GET a", "SCAN 0", "SET b 2", "GET b", "SCAN 0"))
    calls = [("write", 1), ("read", 1), ("write", 2), ("read", 1)]
    assert conversation.replica.calls == calls


async def test_a_read_behind_an_append_is_a_run_of_its_own() -> None:
    conversation = Conversation()
    replies = await conversation.say(pipeline("APPEND a x", "APPEND a y", "GET a", "APPEND a z"))
    assert replies == b":1\r\n:2\r\n$2\r\nxy\r\n:3\r\n"
    assert conversation.replica.calls == [("write", 2), ("write", 2)]


async def test_a_value_of_the_size_that_config_names_can_be_set() -> None:
    conversation = Conversation()
    size = int((await conversation.ask("CONFIG", "GET", "proto-max-bulk-len")).splitlines()[-1])
    assert await conversation.ask("SET", "k" * 500, "v" * size) == b"+OK\r\n"
    assert (await conversation.ask("SET", "k", "v" * (size + 1024))).startswith(b"-ERR a command of ")


@pytest.mark.parametrize("wire", [("SET a 1", "MGET {} {}", "SET a 2"), ("MGET {} {}", "SET a 1")])
async def test_a_read_larger_than_a_command_may_be_is_a_run_of_its_own(wire: tuple[str, ...]) -> None:
    conversation = Conversation(config=ServiceConfig(addresses=ADDRESSES, max_command_bytes=100))
    replies = await conversation.say(pipeline(*(words.format("x" * 50, "y" * 50) for words in wire)))
    assert b"*2\r\n$-1\r\n$-1\r\n" in replies
    assert ("read", 1) in conversation.replica.calls
    assert conversation.replica.applied == len(wire) - 1


async def test_the_outcome_of_a_write_is_unknown_and_of_a_read_beside_it_there_is_none() -> None:
    conversation = Conversation(LoneReplica(error=LeadershipLost(4, 17)))
    replies = await conversation.say(pipeline("GET a", "SET a 1", "GET a"))
    assert [reply.split()[0] for reply in replies.splitlines()] == [b"-CLUSTERDOWN", b"-UNKNOWN", b"-CLUSTERDOWN"]


async def test_mistakes_do_not_end_a_run_and_cost_nothing() -> None:
    conversation = Conversation()
    wire = b"".join(request(*words.split()) for words in ["SET a 1", "SET a", "nosuch", "INCRBY a x", "INCR a"])
    replies = (await conversation.say(wire)).splitlines()
    assert replies[0] == b"+OK"
    assert [reply[:1] for reply in replies[1:4]] == [b"-", b"-", b"-"]
    assert replies[4] == b":2"
    assert conversation.replica.calls == [("write", 2)]


async def test_a_run_is_bounded() -> None:
    conversation = Conversation()
    await conversation.say(request("INCR", "a") * (2 * LONGEST_RUN + 1))
    assert conversation.replica.calls == [("write", LONGEST_RUN), ("write", LONGEST_RUN), ("write", 1)]


async def test_a_command_that_is_too_large_spoils_no_other() -> None:
    conversation = Conversation(config=ServiceConfig(addresses=ADDRESSES, max_command_bytes=100))
    wire = request("SET", "a", "1") + request("SET", "a", "x" * 101) + request("GET", "a")
    replies = await conversation.say(wire)
    assert replies.startswith(b"+OK\r\n-ERR a command of 1")
    assert replies.endswith(b"$1\r\n1\r\n")
    assert conversation.replica.calls == [("write", 2)]


@pytest.mark.parametrize(
    ("error", "write", "read"),
    [
        (NotLeader("n2", "raft:1"), "NOTLEADER the leader is n2 at 127.0.0.1:6380", None),
        (NotLeader("n9", "raft:1"), "NOTLEADER the leader is n9", None),
        (NotLeader(None), "CLUSTERDOWN no leader is known, and nothing was done: try again", None),
        (NotMember("n2", "raft:1"), "NOTLEADER the leader is n2 at 127.0.0.1:6380", None),
        (
            NotMember(None),
            "CLUSTERDOWN this node is not a member of the cluster, and nothing was done: ask another node",
            None,
        ),
        (
            LeadershipLost(4, 17),
            "UNKNOWN the outcome of this write: leadership of term 4 was lost before it was known",
            "CLUSTERDOWN leadership was lost, try again",
        ),
        (Overloaded("slow down"), "OVERLOADED slow down", None),
        (NodeStopped("n1"), "SHUTDOWN node 'n1' has stopped", None),
        (
            CommandTooLarge(10, 5),
            "ERR a command of 10 bytes is too large for this service, which takes 5",
            None,
        ),
    ],
)
@pytest.mark.parametrize("count", [1, 3])
async def test_refusals(error: ProposalError, write: str, read: str | None, count: int) -> None:
    conversation = Conversation(LoneReplica(error=error))
    for command, text in (("INCR", write), ("GET", read or write)):
        replies = (await conversation.say(request(command, "k") * count)).decode().splitlines()
        assert len(replies) == count
        assert all(reply.startswith(f"-{text}") for reply in replies)


@pytest.mark.parametrize("count", [1, 3])
async def test_a_command_that_the_machine_refuses_fails_alone(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = Conversation()
    applied = conversation.replica.machine.apply

    def apply(command: bytes) -> object:
        if b"bad" not in command:
            return applied(command)
        failed = CommandFailed(7)
        failed.__cause__ = ValueError("out of order")
        return failed

    monkeypatch.setattr(conversation.replica.machine, "apply", apply)
    wire = request("INCR", "bad") + request("INCR", "good") * (count - 1)
    replies = (await conversation.say(wire)).splitlines()
    assert replies == [b"-ERR the command failed: out of order", b":1", b":2"][:count]


async def test_info_names_the_leader_and_the_indexes() -> None:
    conversation = Conversation()
    await conversation.ask("SET", "k", "v")
    text = (await conversation.ask("INFO", "raft", "KEYSPACE")).decode()
    assert text.split("\r\n")[1:-1] == [
        "# Raft",
        "cluster_id:kv",
        "node_id:n1",
        "node_ids:n1 n2",
        "raft_role:leader",
        "term:3",
        "leader:n1",
        "leader_redis:127.0.0.1:6379",
        "commit_index:1",
        "applied_index:1",
        "first_index:1",
        "last_index:1",
        "snapshot_index:0",
        "snapshot_term:0",
        "",
        "# Keyspace",
        "db0:keys=1,expires=0,avg_ttl=0",
        "",
    ]
    whole = await conversation.ask("INFO")
    sections = [line for line in whole.splitlines() if line.startswith(b"#")]
    assert sections == [
        *(b"# Server", b"# Clients", b"# Stats", b"# Replication", b"# Cluster", b"# Raft", b"# Keyspace")
    ]
    assert await conversation.ask("INFO", "everything") != await conversation.ask("INFO", "stats")
    assert await conversation.ask("INFO", "nosuch") == b"$0\r\n\r\n"


async def test_local_reads_need_no_leader() -> None:
    conversation = Conversation(LoneReplica(error=NotLeader("n2")))
    await conversation.ask("RAFT.LOCAL", "GET", "k")
    conversation.replica.machine.apply(b"\x93\x00\xc4\x01k\xc4\x01v")
    assert await conversation.ask("RAFT.LOCAL", "GET", "k") == b"$1\r\nv\r\n"
    assert await conversation.ask("raft.local", "scan", "0") == b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n"
    assert (
        await conversation.ask("RAFT.LOCAL", "SET", "k", "v") == b"-ERR RAFT.LOCAL takes a command that reads data\r\n"
    )
    assert await conversation.ask("RAFT.LOCAL", "PING") == b"-ERR RAFT.LOCAL takes a command that reads data\r\n"
    assert await conversation.ask("RAFT.LOCAL", "GET") == b"-ERR wrong number of arguments for 'get' command\r\n"
    assert await conversation.ask("RAFT.LOCAL", "SCAN", "x") == b"-ERR invalid cursor\r\n"
    assert conversation.replica.calls == []


async def test_waiting_for_a_leader_and_an_index() -> None:
    conversation = Conversation()
    assert await conversation.ask("RAFT.WAIT", "LEADER") == b"$2\r\nn1\r\n"
    assert await conversation.ask("RAFT.WAIT", "APPLIED", "7") == b":7\r\n"
    assert await conversation.ask("RAFT.WAIT", "APPLIED", "x") == b"-ERR value is not an integer or out of range\r\n"
    assert (
        await conversation.ask("RAFT.WAIT", "APPLIED")
        == b"-ERR wrong number of arguments for 'raft.wait|applied' command\r\n"
    )
    assert await conversation.ask("RAFT.WAIT", "x") == b"-ERR unknown subcommand 'x'. Try RAFT.WAIT HELP.\r\n"
    conversation.replica.error = NodeStopped("n1")
    assert await conversation.ask("RAFT.WAIT", "LEADER") == b"-SHUTDOWN node 'n1' has stopped\r\n"


async def test_hello_switches_the_protocol_of_what_follows_and_reset_switches_back() -> None:
    conversation = Conversation()
    wire = request("GET", "k") + request("HELLO", "3", "SETNAME", "me") + request("GET", "k") + request("RESET")
    replies = await conversation.say(wire + request("GET", "k"))
    assert replies.startswith(b"$-1\r\n%7\r\n$6\r\nserver\r\n")
    assert replies.endswith(b"_\r\n+RESET\r\n$-1\r\n")


async def test_hello_without_arguments_changes_nothing_and_a_mistake_neither() -> None:
    conversation = Conversation()
    await conversation.ask("HELLO", "3", "SETNAME", "me")
    assert b"$5\r\nproto\r\n:3\r\n" in await conversation.ask("HELLO")
    assert (await conversation.ask("HELLO", "2", "SETNAME")).startswith(b"-ERR Syntax error in HELLO option 'SETNAME'")
    assert conversation.session.protocol == 3
    assert await conversation.ask("CLIENT", "GETNAME") == b"$2\r\nme\r\n"


async def test_clients_introduce_themselves() -> None:
    conversation = Conversation()
    assert await conversation.ask("CLIENT", "ID") == b":1\r\n"
    assert await conversation.ask("CLIENT", "SETINFO", "LIB-NAME", "x") == b"+OK\r\n"
    assert (await conversation.ask("CLIENT", "SETINFO", "oops", "x")) == b"-ERR Unrecognized option 'oops'\r\n"
    assert (await conversation.ask("CLIENT", "SETINFO", "lib-ver", "1 0")).startswith(b"-ERR lib-ver cannot contain")
    assert (await conversation.ask("CLIENT", "LIST")).startswith(b"-ERR unknown subcommand 'LIST'")


async def test_long_patterns_are_refused() -> None:
    conversation = Conversation()
    for words in (["KEYS", "a" * 1025], ["SCAN", "0", "MATCH", "a" * 1025]):
        assert await conversation.ask(*words) == b"-ERR a pattern of more than 1024 bytes is refused\r\n"
    assert await conversation.ask("CONFIG", "GET", "a" * 1025) == b"-ERR syntax error\r\n"


async def test_commands_describe_themselves() -> None:
    conversation = Conversation()
    count = int((await conversation.ask("COMMAND", "COUNT"))[1:])
    assert (await conversation.ask("COMMAND")).startswith(b"*%d\r\n*10\r\n" % count)
    assert (await conversation.ask("COMMAND", "LIST")).startswith(b"*%d\r\n$" % count)
    assert (await conversation.ask("COMMAND", "INFO", "get", "nosuch")) == (
        b"*2\r\n*10\r\n$3\r\nget\r\n:2\r\n*1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n*0\r\n*0\r\n*0\r\n*0\r\n$-1\r\n"
    )
    docs = b"$3\r\nget\r\n*4\r\n$7\r\nsummary\r\n$18\r\nThe value of a key\r\n$5\r\narity\r\n:2\r\n"
    assert await conversation.ask("COMMAND", "DOCS", "GET", "nosuch") == b"*2\r\n" + docs


async def test_a_slow_listing_lets_others_run() -> None:
    conversation = Conversation()
    await conversation.say(b"".join(request("SET", f"key:{number}", "") for number in range(10_000)))
    turns = 0

    async def count_turns(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal turns
        task_status.started()
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        await nursery.start(count_turns)
        before = turns
        assert (await conversation.ask("KEYS", "key:*7")).startswith(b"*1000\r\n")
        during = turns - before
        nursery.cancel_scope.cancel()
    assert during >= 3  # one after each slice
