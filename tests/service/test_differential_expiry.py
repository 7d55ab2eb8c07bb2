"""Keys that expire, in Redis itself and in the service: the same replies, as far as no time passes in between."""

from __future__ import annotations

import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from raft_actors.service.resp import Request
from tests.service.real_redis import Redis
from tests.service.support import Conversation, request
from tests.service.test_differential import fixed, keys, spelt, values

# Moments far enough in the future or the past, so that it does not matter how long a test takes; and what is none.
moments = st.sampled_from([b"100", b"100000", b"9000000000", b"9000000000000"])
units = spelt("ex", "px", "exat", "pxat")
errors = [b"0", b"-1", b"1.5", b"x", b"", b"9223372036854775807", b"9223372036854775", b"-9223372036854775808"]
not_moments = st.sampled_from(errors) | moments
set_words = st.one_of(
    st.tuples(units, not_moments).map(list),
    st.sampled_from([[b"EXAT", b"1"], [b"pxat", b"1"]]),
    st.sampled_from([[b"NX"], [b"xx"], [b"GET"], [b"KEEPTTL"], [b"EX"], [b"PERSIST"], [b"oops"]]),
)
set_for = st.tuples(keys, values, st.lists(set_words, max_size=3)).map(
    lambda parts: [b"SET", parts[0], parts[1], *(word for words in parts[2] for word in words)]
)
anytime = [b"NX", b"xx", b"oops"]
# "GT" and "LT" by moments alone: whether a time that begins now ends after one as long that began before is a matter of
# whether a millisecond has passed in between.
compared = [*anytime, b"GT", b"lt"]


def expiring(names: tuple[str, str], words: list[bytes]) -> st.SearchStrategy[Request]:
    parts = st.tuples(spelt(*names), keys, not_moments, st.lists(st.sampled_from(words), max_size=2))
    return parts.map(lambda parts: [*parts[:3], *parts[3]])


expire = expiring(("expire", "pexpire"), anytime) | expiring(("expireat", "pexpireat"), compared)
getex_words = st.one_of(
    st.just(list[bytes]()),
    st.tuples(units, moments).map(list),
    st.just([b"EXAT", b"1"]),
    st.sampled_from([[b"PERSIST"], [b"persist", b"EX", b"10"], [b"EX", b"10", b"PERSIST"], [b"EX"], [b"NX"]]),
)
timed = st.one_of(
    set_for,
    expire,
    fixed("expireat", keys, st.just(b"1")),
    *(fixed(name, keys, not_moments, values) for name in ("setex", "psetex")),
    st.tuples(spelt("getex"), keys, getex_words).map(lambda parts: [*parts[:2], *parts[2]]),
    *(fixed(name, keys) for name in ("ttl", "pttl", "persist", "get", "getdel", "incr", "exists")),
    fixed("set", keys, values),
)


def lasts_as_long(ours: bytes, theirs: bytes, asked: Request) -> bool:
    """Whether replies are the same, but for the time between two questions."""
    if asked[0].upper() not in (b"TTL", b"PTTL") or not (ours[:1] == theirs[:1] == b":"):
        return ours == theirs
    left, also_left = int(ours[1:]), int(theirs[1:])
    slack = 0 if min(left, also_left) < 0 else 1 if asked[0].upper() == b"TTL" else 2000
    return abs(left - also_left) <= slack


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(timed, max_size=25))
@example(sequence=[[b"SET", b"a", b"1", b"EX", b"100"], [b"SET", b"a", b"2", b"KEEPTTL"], [b"TTL", b"a"]])
@example(sequence=[[b"SET", b"a", b"1", b"EXAT", b"1"], [b"GET", b"a"], [b"TTL", b"a"]])
@example(sequence=[[b"SETEX", b"a", b"100", b"1"], [b"EXPIRE", b"a", b"900", b"GT"], [b"EXPIRE", b"a", b"99", b"GT"]])
@example(sequence=[[b"SETEX", b"a", b"900", b"1"], [b"EXPIRE", b"a", b"99", b"LT"], [b"EXPIRE", b"a", b"900", b"LT"]])
def test_keys_expire_as_in_redis(redis: Redis, sequence: list[Request]) -> None:
    conversation = Conversation()
    redis.say(request(b"RESET") + request(b"FLUSHALL"))

    async def compare() -> None:
        for asked in [*sequence, *([b"PTTL", key] for key in (b"a", b"b", b"key:1", b"key:2", b"", b"h[x]*"))]:
            wire = request(*asked)
            assert lasts_as_long(await conversation.say(wire), redis.say(wire), asked), asked

    trio.run(compare)
