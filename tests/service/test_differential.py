"""The same requests to Redis itself and to the service: the same bytes come back."""

from __future__ import annotations

import socket

import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from raft_actors.service.resp import Request, RequestParser
from tests.service.real_redis import Redis
from tests.service.support import Conversation, request

keys = st.sampled_from([b"a", b"b", b"key:1", b"key:2", b"", b"h[x]*"])
edges = [b"9223372036854775807", b"-9223372036854775808", b"9223372036854775806", b"-9223372036854775807"]
values = st.one_of(
    st.binary(max_size=6),
    st.integers(-20, 20).map(lambda number: b"%d" % number),
    st.sampled_from([*edges, b"9223372036854775808", b"01", b"+1", b" 1", b"1 ", b"1.5", b"-0", b"", b"nan"]),
)
words = st.one_of(keys, values, st.sampled_from([b"NX", b"xx", b"GET", b"MATCH", b"COUNT", b"TYPE", b"string", b"10"]))


def spelt(*names: str) -> st.SearchStrategy[bytes]:
    return st.sampled_from([spelling.encode() for name in names for spelling in (name.upper(), name, name.title())])


def fixed(name: str, *parts: st.SearchStrategy[bytes]) -> st.SearchStrategy[Request]:
    return st.tuples(spelt(name), *parts).map(list)


def repeated(name: str, part: st.SearchStrategy[bytes]) -> st.SearchStrategy[Request]:
    return st.tuples(spelt(name), st.lists(part, min_size=1, max_size=5)).map(lambda both: [both[0], *both[1]])


set_with_options = st.tuples(
    keys, values, st.lists(st.sampled_from([b"NX", b"nx", b"XX", b"GET", b"get", b"oops", b""]), max_size=3)
).map(lambda parts: [b"SET", parts[0], parts[1], *parts[2]])

patterns = st.text("ab*?[]^-\\:keyhx12", max_size=8).map(str.encode)

good = st.one_of(
    fixed("set", keys, values),
    set_with_options,
    fixed("setnx", keys, values),
    fixed("getset", keys, values),
    fixed("getdel", keys),
    repeated("mset", values),
    repeated("del", keys),
    repeated("unlink", keys),
    *(fixed(name, keys) for name in ("incr", "decr", "get", "strlen", "type")),
    *(fixed(name, keys, values) for name in ("incrby", "decrby", "append")),
    *(repeated(name, keys) for name in ("mget", "exists")),
    fixed("dbsize"),
    fixed("flushall"),
    fixed("flushdb"),
    fixed("flushall", st.sampled_from([b"sync", b"ASYNC", b"oops"])),
    fixed("echo", values),
    fixed("ping"),
    fixed("ping", values),
    fixed("select", values),
)
# Any words after any name: mostly mistakes, and in the same order of precedence as Redis finds them.
names = spelt(
    *("set", "setnx", "getset", "mset", "del", "incr", "incrby", "decr", "decrby", "append", "flushall"),
    *("get", "mget", "exists", "strlen", "type", "dbsize", "ping", "echo", "select", "nosuch"),
    *("getdel", "unlink", "flushdb", "persist", "ttl", "pttl", "getex", "setex", "psetex"),
)
# RESET, QUIT, AUTH and HELLO differ from Redis on purpose; INFO and CLUSTER in what they tell.
mistaken = st.tuples(names, st.lists(words, max_size=4)).map(lambda both: [both[0], *both[1]])

# Of the commands with subcommands: those that tell the same, and mistakes. (What Redis has and the service has not is
# left out, and so is CLIENT SETINFO, which came with Redis 7.2.)
nothing = st.sampled_from([b"oops", b"", b"get name", b"get\r\nname", b"i\0d", b"n" * 200])
groups = spelt("client", "config", "command", "cluster")
with_subcommand = st.one_of(
    st.tuples(groups, nothing, st.lists(words, max_size=2)).map(lambda parts: [parts[0], parts[1], *parts[2]]),
    st.tuples(spelt("client", "config", "cluster")).map(list),
    fixed("client", spelt("getname")),
    fixed("client", spelt("getname", "id"), words),
    fixed("client", spelt("setname")),
    fixed("client", spelt("setname"), words),
    fixed("client", spelt("setname"), words, words),
    fixed("config", spelt("get")),
    fixed("config", spelt("get"), st.sampled_from([b"save", b"timeou[t]", b"oops"])),
    fixed("command", spelt("count"), words),
    fixed("command", spelt("list", "info", "docs"), st.sampled_from([b"oops", b""])),
    fixed("cluster", spelt("slots", "shards", "nodes", "info", "myid"), words),
    fixed("cluster", spelt("keyslot")),
    fixed("cluster", spelt("keyslot"), words, words),
)


boundaries = st.one_of(*(fixed(name) for name in ("multi", "exec", "exec", "discard"))) | st.sampled_from(
    [[b"MULTI", b"x"], [b"EXEC", b"x"], [b"DISCARD", b"x"], [b"WATCH"], [b"watch", b"a"], [b"WATCH", b"a", b"b"]]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(st.one_of(good, mistaken, with_subcommand, boundaries, boundaries), max_size=40))
@example(sequence=[[b"MULTI"], [b"MULTI"], [b"SET", b"a", b"1"], [b"EXEC"]])
@example(sequence=[[b"MULTI"], [b"SET", b"a", b"x"], [b"INCR", b"a"], [b"SET", b"a", b"1", b"oops"], [b"EXEC"]])
@example(sequence=[[b"MULTI"], [b"SET", b"a"], [b"SET", b"a", b"1"], [b"EXEC"], [b"GET", b"a"]])
@example(sequence=[[b"MULTI"], [b"SET", b"a", b"1"], [b"CLIENT", b"oops"], [b"EXEC"], [b"GET", b"a"]])
@example(sequence=[[b"MULTI"], [b"SET", b"a", b"1"], [b"config", b"get"], [b"EXEC"], [b"GET", b"a"]])
@example(sequence=[[b"MULTI"], [b"SET", b"a", b"1"], [b"COMMAND", b"COUNT", b"x"], [b"EXEC"], [b"GET", b"a"]])
@example(sequence=[[b"MULTI"], [b"SET", b"a", b"1"], [b"CLUSTER", b"KEYSLOT"], [b"EXEC"], [b"GET", b"a"]])
@example(sequence=[[b"MULTI"], [b"SET", b"a", b"1"], [b"WATCH", b"a"], [b"EXEC"], [b"GET", b"a"]])
@example(sequence=[[b"MULTI"], [b"SET", b"a", b"1"], [b"WATCH"], [b"EXEC"], [b"GET", b"a"]])
def test_same_transactions_as_redis(redis: Redis, sequence: list[Request]) -> None:
    conversation = Conversation()
    redis.say(request(b"RESET") + request(b"FLUSHALL"))

    async def compare() -> None:
        for asked in [*sequence, [b"DISCARD"], *sequence, [b"DISCARD"]]:
            if asked[0].upper() == b"WATCH" and conversation.session.transaction is None:
                continue  # which Redis has, and the service has not
            wire = request(*asked)
            theirs = redis.say_in_transaction(wire)
            assert await conversation.say(wire) == theirs, asked

    trio.run(compare)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(st.one_of(good, mistaken, with_subcommand), max_size=25), protocol=st.sampled_from([2, 3]))
@example(sequence=[[b"nosuch", b"a\0b", b"\0", b"c"], [b"no\0such", b"\0"]], protocol=2)
def test_same_replies_as_redis(redis: Redis, sequence: list[Request], protocol: int) -> None:
    conversation = Conversation()
    redis.say(request(b"RESET") + request(b"FLUSHALL") + request(b"HELLO", b"%d" % protocol))

    async def compare() -> None:
        await conversation.ask("HELLO", str(protocol))
        for asked in sequence:
            wire = request(*asked)
            assert await conversation.say(wire) == redis.say(wire), asked
        wire = b"".join(request(*asked) for asked in sequence)  # once more, all at once
        assert await conversation.say(wire) == redis.say(wire)

    trio.run(compare)


def array_items(reply: bytes) -> list[bytes]:
    """The bulk strings of a flat array."""
    parts = reply.split(b"\r\n")
    assert parts[0] == b"*%d" % (len(parts) // 2 - 1), reply
    return parts[2::2]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(present=st.sets(st.text("abkey:hx12[]*-^\\", max_size=6), max_size=12), pattern=patterns)
def test_keys_finds_what_redis_finds(redis: Redis, present: set[str], pattern: bytes) -> None:
    conversation = Conversation()
    filling = request(b"FLUSHALL") + b"".join(request(b"SET", key, b"v") for key in present)

    async def compare() -> None:
        assert await conversation.say(filling) == redis.say(request(b"RESET") + filling).removeprefix(b"+RESET\r\n")
        ours, theirs = await conversation.ask("KEYS", pattern), redis.say(request(b"KEYS", pattern))
        assert sorted(array_items(ours)) == sorted(array_items(theirs))

    trio.run(compare)


# All that Redis takes for 0, and what it refuses. Others mean other parts of the keys here and there.
cursors = st.sampled_from(
    [
        *(b"0", b"", b"+0", b"-0", b"00", b"0" * 30, b"\0", b"0\0x", b"\0x"),
        *(b"x", b"-", b"+", b"--0", b"0x", b" 0", b"0 ", b"\n0", b"0\n", b"1.0"),
        *(b"18446744073709551616", b"-18446744073709551616", b"99999999999999999999999"),
    ]
)

scan_arguments = st.lists(
    st.one_of(
        st.sampled_from([b"MATCH", b"match", b"COUNT", b"count", b"TYPE", b"string", b"STRING", b"hash", b"*", b"a*"]),
        st.sampled_from([b"10", b"0", b"-1", b"x", b"9223372036854775808", b""]),
    ),
    max_size=6,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cursor=cursors, words=scan_arguments)
def test_scan_refuses_what_redis_refuses(redis: Redis, cursor: bytes, words: list[bytes]) -> None:
    conversation = Conversation()
    filling = request(b"FLUSHALL") + request(b"MSET", b"a", b"1", b"ab", b"2", b"c", b"3")
    asked = request(b"SCAN", cursor, *words)

    async def compare() -> None:
        await conversation.say(filling)
        redis.say(request(b"RESET") + filling)
        ours, theirs = await conversation.say(asked), redis.say(asked)
        if theirs.startswith(b"-"):
            assert ours == theirs
        else:  # three keys fit in one answer of either
            head = b"*2\r\n$1\r\n0\r\n"
            assert ours.startswith(head)
            assert theirs.startswith(head)
            assert sorted(array_items(ours.removeprefix(head))) == sorted(array_items(theirs.removeprefix(head)))

    trio.run(compare)


LOWEST, HIGHEST = "-9223372036854775808", "9223372036854775807"


@pytest.mark.parametrize(
    "wire",
    [
        request("DECRBY", "k", LOWEST),
        request("INCRBY", "k", LOWEST) + request("DECR", "k"),
        request("SET", "k", HIGHEST) + request("INCR", "k") + request("DECRBY", "k", HIGHEST) + request("GET", "k"),
        request("SET", "k", "-1") + request("DECRBY", "k", HIGHEST) + request("DECR", "k"),
        request("SET", "k", "v", "NX", "XX"),
        request("SET", "k", "v", "GET") + request("SET", "k", "w", "NX", "GET") + request("GET", "k"),
        request("MSET", "a", "1", "b"),
        request("SCAN", "0", "COUNT", "0"),
        request("SCAN", "0", "COUNT", "-1"),
        request("SCAN", "0", "COUNT", "x"),
        request("SCAN", "0", "COUNT"),
        request("SCAN", "0", "MATCH"),
        request("SCAN", "0", "TYPE", "STRING"),
        request("SCAN", "0", "TYPE", "hash"),
    ],
)
def test_same_replies_at_the_edges(redis: Redis, wire: bytes) -> None:
    redis.say(request("RESET") + request("FLUSHALL"))
    assert trio.run(Conversation().say, wire) == redis.say(wire)


@pytest.mark.parametrize(
    "wire",
    [
        request("HELLO", "4"),
        request("HELLO", "x"),
        request("HELLO", "3", "oops"),
        request("HELLO", "3", "SETNAME", "a b"),
        request("CLIENT"),
        request("CLIENT", "oops"),
        request("CLIENT", "ID", "x"),
        request("CLIENT", "SETNAME"),
        request("CLIENT", "SETNAME", "a b"),
        request("CLIENT", "SETNAME", "me") + request("CLIENT", "GETNAME"),
        request("RESET") + request("CLIENT", "GETNAME"),
        request("CLIENT", "GETNAME"),
        request("CONFIG"),
        request("CONFIG", "GET"),
        request("CONFIG", "GET", "no such setting"),
        request("CONFIG", "GET", "save"),
        request("CONFIG", "GET", "timeou[t]"),
        request("COMMAND", "COUNT", "x"),
        request("COMMAND", "OOPS"),
        request("COMMAND", "INFO", "oops"),
        request("COMMAND", "DOCS", "oops"),
        request("ECHO"),
        request("PING", "a", "b"),
        request("SELECT", "0"),
        request("SELECT", "99"),
        request("SELECT", "x"),
        request("nosuch", "a" * 200, "b"),
        request("nosuch", "a" * 100, "b" * 50, "c"),
        request("no\r\nsuch", "a\nb"),
        request("n" * 200),
        b"PING\r\n",
        b'ECHO "a\\x41 b"\r\n',
        b"\r\nPING\r\n",
        b"*0\r\n*-1\r\nPING\r\n",
    ],
)
@pytest.mark.parametrize("protocol", [2, 3])
async def test_same_replies_on_connections_and_mistakes(redis: Redis, wire: bytes, protocol: int) -> None:
    conversation = Conversation()
    redis.say(request(b"RESET") + request(b"CONFIG", b"SET", b"save", b"") + request(b"HELLO", b"%d" % protocol))
    await conversation.ask("HELLO", str(protocol))
    assert await conversation.say(wire) == redis.say(wire)


@pytest.mark.parametrize(
    "wire",
    [
        b"*x\r\n",
        b"*1\r\n:1\r\n",
        b"*1\r\n$x\r\n",
        b"*1\r\n$-1\r\n",
        b"*2147483648\r\n",
        b"*1\r\n$536870913\r\n",
        b'ECHO "abc\r\n',
        b"*" + b"1" * 70_000,
        b"*1\r\n$" + b"1" * 70_000,
        b"x" * 70_000,
    ],
)
def test_same_protocol_errors(redis: Redis, wire: bytes) -> None:
    parser = RequestParser()
    parser.feed(wire)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(redis.address))
        connection.sendall(wire)
        with connection.makefile("rb") as replies:
            assert f"-ERR Protocol error: {parser.error}\r\n".encode() == replies.read()
