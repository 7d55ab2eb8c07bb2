"""The request parser: any cut of the same bytes gives the same requests, and garbage gives protocol errors alone."""

from __future__ import annotations

import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_actors.errors import ProtocolError
from raft_actors.service.memory import FREE_BYTES
from raft_actors.service.resp import Request, RequestLimits, RequestParser, split_inline
from tests.service.support import request

LIMITS = RequestLimits(max_arguments=6, max_bulk_bytes=100, max_inline_bytes=64, max_request_bytes=200)


def parse(pieces: list[bytes], limits: RequestLimits = LIMITS) -> tuple[list[Request], str | None]:
    parser = RequestParser(limits)
    requests = [request for piece in pieces for request in parser.feed(piece)]
    return requests, None if parser.error is None else str(parser.error)


def cut(wire: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(wire) + 1) for place in places), len(wire)]
    return [wire[a:b] for a, b in pairwise(edges)]


arguments = st.lists(st.binary(max_size=30), min_size=1, max_size=5)
places = st.lists(st.integers(0, 10_000), max_size=20)

# Bytes that look enough like the protocol to get past its first checks.
almost = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"*",
                b"$",
                b"\r\n",
                b"\n",
                b"*1\r\n",
                b"*3\r\n",
                b"$3\r\n",
                b"abc\r\n",
                b"*-1\r\n",
                b"*0\r\n",
                b"$-1\r\n",
                b"*7\r\n",
                b"$101\r\n",
                b"$0\r\n\r\n",
                b"PING\r\n",
                b'"',
                b"'",
                b"\\x4",
                b"+1",
                b"01",
                b"9" * 20,
                b" ",
            ]
        ),
        st.binary(max_size=40),
    ),
    max_size=12,
).map(b"".join)


@given(st.lists(arguments, max_size=6), places)
def test_requests_survive_any_cut(requests: list[Request], cuts: list[int]) -> None:
    wire = b"".join(request(*arguments) for arguments in requests)
    assert parse(cut(wire, cuts)) == (requests, None)


@given(almost, places)
def test_garbage_gives_the_same_requests_and_error_for_any_cut(wire: bytes, cuts: list[int]) -> None:
    whole = parse([wire])
    assert parse(cut(wire, cuts)) == whole
    assert parse([wire[i : i + 1] for i in range(len(wire))]) == whole
    # Short requests that come in one piece are taken apart by another way, if the limits have room for any.
    roomy = RequestLimits()
    assert parse([wire[i : i + 1] for i in range(len(wire))], roomy) == parse([wire], roomy)


@pytest.mark.parametrize(
    "wire",
    [
        *(
            b"*2\r\n$1\r\na\r\n$%b\r\nbb\r\n*1\r\n$4\r\nPING\r\n" % length
            for length in (b"1", b"2", b"3", b"02", b"-2", b"x")
        ),
        b"*3\r\n$1\r\na\r\n$1\r\nb\r\n" + request(b"PING"),
        *(b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$%b\r\ncc\r\n" % size + request(b"PING") for size in (b"1", b"2", b"3")),
        b"*2\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
        *(request(b"SET", b"k", b"v" * size) for size in (0, 998, 999, 1000, 1001)),
        request(b"GET", b"a\r\nb") + request(b"SET", b"k", b"\r") + request(b"GET", b"\n"),
    ],
)
def test_short_requests_are_the_same_in_one_piece_and_in_many(wire: bytes) -> None:
    roomy = RequestLimits()
    assert parse([wire], roomy) == parse([wire[i : i + 1] for i in range(len(wire))], roomy)


@pytest.mark.parametrize(
    ("wire", "error"),
    [
        (b"*x\r\n", "invalid multibulk length"),
        (b"*+1\r\n", "invalid multibulk length"),
        (b"* 1\r\n", "invalid multibulk length"),
        (b"*1_0\r\n", "invalid multibulk length"),
        (b"*7\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*" + b"1" * 40, "too big mbulk count string"),
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$101\r\n", "invalid bulk length"),
        (b"*1\r\n$" + b"1" * 40, "too big bulk count string"),
        (b"*1\r\n$1\r\nabc", "a bulk string does not end where its length says"),
        (b"*3\r\n$90\r\n" + b"a" * 90 + b"\r\n$99\r\n", "too big request"),
        (b"a" * 64, "too big inline request"),
        (b'"abc\r\n', "unbalanced quotes in request"),
    ],
)
def test_protocol_errors(wire: bytes, error: str) -> None:
    good = request(b"PING")
    assert parse([good + wire]) == ([[b"PING"]], error)


def test_nothing_is_taken_after_an_error() -> None:
    parser = RequestParser(LIMITS)
    parser.feed(b"*x\r\n")
    assert parser.feed(request(b"PING")) == []


def test_limits_are_met_exactly() -> None:
    limits = RequestLimits(max_arguments=2, max_bulk_bytes=5, max_inline_bytes=8, max_request_bytes=26)
    wire = request(b"12345", b"12345")
    assert len(wire) == 26
    assert parse([wire], limits) == ([[b"12345", b"12345"]], None)
    assert parse([wire[i : i + 1] for i in range(len(wire))], limits) == ([[b"12345", b"12345"]], None)
    assert parse([b"a b   \r\n"], limits) == ([[b"a", b"b"]], None)
    assert parse([b"a b    \r\n"], limits)[1] == "too big inline request"
    assert parse([b"a b c\r\n"], limits)[1] == "invalid multibulk length"


def test_empty_and_null_arrays_and_blank_lines_ask_nothing() -> None:
    assert parse([b"*0\r\n*-1\r\n\r\n  \n", request(b"PING")]) == ([[b"PING"]], None)


def test_a_large_argument_is_waited_for_without_looking_again_at_each_piece() -> None:
    size = 4 * 1024 * 1024
    parser = RequestParser()
    parser.feed(b"*1\r\n$%d\r\n" % size)
    assert parser.missing_bytes == size + 2
    piece = b"x" * 65536
    for sent in range(0, size, len(piece)):
        assert parser.feed(piece) == []
        assert parser.missing_bytes == size - sent - len(piece) + 2
    assert parser.feed(b"\r\n") == [[b"x" * size]]


def test_what_python_takes_for_each_argument_counts() -> None:
    arguments = [b"%d" % number for number in range(10, 100)] * 100
    wire = request(*arguments)
    taken = sum(map(sys.getsizeof, arguments)) + 8 * len(arguments)  # each has a place in a list, too
    assert taken > 5 * len(wire)
    parser = RequestParser()
    parser.feed(wire[:-4])  # the last argument is under way
    assert taken <= parser.bound_bytes <= 2 * taken
    assert parser.feed(wire[-4:]) == [arguments]
    assert parser.bound_bytes == 0


def test_who_begins_a_request_of_many_arguments_may_be_going_to_send_them_all() -> None:
    limits, count = RequestLimits(), 500_000
    parser = RequestParser(limits)
    parser.feed(b"*%d\r\n" % count)
    assert parser.bound_bytes <= FREE_BYTES  # it costs nothing to say so
    parser.feed(b"$2\r\nab\r\n" * 4000)
    assert parser.bound_bytes >= limits.max_request_bytes + sys.getsizeof(b"") * count


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"SET k v", [b"SET", b"k", b"v"]),
        (b" SET\tk  v \r", [b"SET", b"k", b"v"]),
        (b'SET k "a b"', [b"SET", b"k", b"a b"]),
        (rb'SET k "a\n\r\t\b\a\"\\\x41\xzz\q"', [b"SET", b"k", b'a\n\r\t\b\a"\\Axzzq']),
        (rb"SET k 'a\'b\n'", [b"SET", b"k", rb"a'b\n"]),
        (b"SET k \"\" ''", [b"SET", b"k", b"", b""]),
        (b'SET pre"fix"', [b"SET", b"prefix"]),
    ],
)
def test_inline_requests(line: bytes, expected: Request) -> None:
    assert split_inline(line) == expected


@pytest.mark.parametrize("line", [b'"', b"'", b'"a"b', b"'a'b", b'"\\', b'"a\\"'])
def test_unbalanced_quotes(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="unbalanced quotes"):
        split_inline(line)
