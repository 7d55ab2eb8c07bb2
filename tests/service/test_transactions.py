"""MULTI, EXEC and DISCARD: one command of the log, or nothing. What the replies look like is compared with Redis in
`test_differential`."""

from __future__ import annotations

import pytest

from raft_actors import LeadershipLost, NotLeader
from raft_actors.service.connection import ServiceConfig
from raft_actors.service.operations import HEAVIEST
from tests.service.support import ADDRESSES, Conversation, LoneReplica, request

ABORTED = b"-EXECABORT Transaction discarded because of previous errors.\r\n"
NOT_ALLOWED = b"-ERR Command not allowed inside a transaction\r\n"


def wire(*requests: str) -> bytes:
    return b"".join(request(*words.split()) for words in requests)


async def test_a_transaction_is_one_command_and_its_reads_see_what_is_before_them() -> None:
    conversation = Conversation()
    replies = await conversation.say(
        wire("MULTI", "SET a 1", "GET a", "PING", "INCR a", "SET a x NX XX", "MGET a b", "EXEC")
    )
    assert replies == (
        b"+OK\r\n" + b"+QUEUED\r\n" * 6 + b"*6\r\n+OK\r\n$1\r\n1\r\n+PONG\r\n:2\r\n-ERR syntax error\r\n"
        b"*2\r\n$1\r\n2\r\n$-1\r\n"
    )
    assert conversation.replica.calls == [("write", 1)]


async def test_reads_alone_are_one_read() -> None:
    conversation = Conversation()
    assert (await conversation.say(wire("MULTI", "GET a", "DBSIZE", "EXEC"))).endswith(b"*2\r\n$-1\r\n:0\r\n")
    assert conversation.replica.calls == [("read", 1)]


async def test_a_transaction_without_data_asks_nobody() -> None:
    conversation = Conversation(LoneReplica(error=NotLeader(None)))
    assert (await conversation.say(wire("MULTI", "EXEC"))) == b"+OK\r\n*0\r\n"
    assert (await conversation.say(wire("MULTI", "ECHO a", "EXEC"))).endswith(b"*1\r\n$1\r\na\r\n")
    assert conversation.replica.calls == []


@pytest.mark.parametrize(
    "words",
    [
        *("nosuch", "SET a", "KEYS *", "SCAN 0", "HELLO 3", "AUTH a b", "WATCH", "RAFT.WAIT LEADER", "RAFT.WAIT oops"),
        *("CLIENT oops", "CLIENT SETNAME", "CONFIG GET", "COMMAND COUNT x", "CLUSTER oops", "CLUSTER KEYSLOT"),
    ],
)
async def test_nothing_is_done_where_something_was_refused(words: str) -> None:
    conversation = Conversation()
    replies = await conversation.say(wire("MULTI", "SET a 1", words, "SET a 2", "EXEC", "GET a"))
    assert replies.endswith(b"+QUEUED\r\n" + ABORTED + b"$-1\r\n")
    assert conversation.replica.calls == [("read", 1)]


async def test_discard_and_reset_forget() -> None:
    conversation = Conversation()
    assert (await conversation.say(wire("MULTI", "SET a 1", "DISCARD", "GET a"))).endswith(b"+OK\r\n$-1\r\n")
    assert (await conversation.say(wire("MULTI", "SET a 1", "RESET", "GET a"))).endswith(b"+RESET\r\n$-1\r\n")
    assert await conversation.ask("EXEC") == b"-ERR EXEC without MULTI\r\n"


async def test_watch_is_refused() -> None:
    assert (await Conversation().ask("WATCH", "a")).startswith(b"-ERR WATCH is not supported")


async def test_a_transaction_goes_on_after_a_watch_in_it() -> None:
    replies = await Conversation().say(wire("MULTI", "SET a 1", "WATCH a", "GET a", "EXEC"))
    assert replies == (
        b"+OK\r\n+QUEUED\r\n-ERR WATCH inside MULTI is not allowed\r\n+QUEUED\r\n*2\r\n+OK\r\n$1\r\n1\r\n"
    )


async def test_one_that_fails_says_so_once() -> None:
    conversation = Conversation(LoneReplica(error=NotLeader("n2")))
    answer = await conversation.say(wire("MULTI", "SET a 1", "EXEC"))
    assert answer.endswith(b"-NOTLEADER the leader is n2 at 127.0.0.1:6380\r\n")
    conversation.replica.error = LeadershipLost(4, 17)
    assert b"-UNKNOWN the outcome" in await conversation.say(wire("MULTI", "GET a", "SET a 1", "EXEC"))
    assert b"-CLUSTERDOWN leadership was lost" in await conversation.say(wire("MULTI", "GET a", "EXEC"))
    assert await conversation.ask("EXEC") == b"-ERR EXEC without MULTI\r\n"


async def test_what_is_queued_is_bounded() -> None:
    conversation = Conversation(config=ServiceConfig(addresses=ADDRESSES, max_command_bytes=200))
    replies = await conversation.say(wire("MULTI", *["SET a " + "x" * 50] * 3, "EXEC"))
    assert replies.startswith(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n-ERR a command of ")
    assert replies.endswith(ABORTED)
    conversation = Conversation()
    replies = await conversation.say(wire("MULTI") + request("INCR", "a") * (HEAVIEST + 1) + wire("EXEC"))
    assert replies.count(b"+QUEUED") == HEAVIEST
    assert b"-ERR a transaction takes 16384 commands at most" in replies
    assert replies.endswith(ABORTED)
    replies = await conversation.say(wire("MULTI") + request("FLUSHALL") * 20 + wire("EXEC"))
    assert replies.endswith(ABORTED)
    assert conversation.replica.calls == []


async def test_as_many_as_may_be() -> None:
    conversation = Conversation()
    replies = await conversation.say(wire("MULTI") + request("INCR", "a") * HEAVIEST + wire("EXEC"))
    assert replies.endswith(b":%d\r\n" % HEAVIEST)
    assert conversation.replica.calls == [("write", 1)]
