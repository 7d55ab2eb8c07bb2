from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_actors.errors import ProtocolError
from raft_actors.transports.wire.handshake import (
    ANSWER_BYTES,
    MAGIC,
    MAX_HELLO_BYTES,
    VERSION,
    Hello,
    Verdict,
    decode_answer,
    encode_answer,
    judge,
)

IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=255)
HELLO = Hello("orders", "a", "b")


@given(IDS, IDS, IDS)
def test_a_hello_comes_back_as_it_was_and_fits(cluster_id: str, sender: str, receiver: str) -> None:
    hello = Hello(cluster_id, sender, receiver)
    assert Hello.decode(hello.encode()) == hello
    assert len(hello.encode()) <= MAX_HELLO_BYTES


def test_the_longest_ids_fit() -> None:
    longest = "\U0001f600" * 255
    assert len(Hello(longest, longest, longest).encode()) == MAX_HELLO_BYTES


def test_a_hello_cut_short_or_continued_is_no_hello() -> None:
    data = HELLO.encode()
    for end in range(len(data)):
        with pytest.raises(ProtocolError):
            Hello.decode(data[:end])
    with pytest.raises(ProtocolError):
        Hello.decode(data + b"\0")


@given(st.binary(max_size=60))
def test_noise_is_no_hello(noise: bytes) -> None:
    with pytest.raises(ProtocolError):
        Hello.decode(noise)
    with pytest.raises(ProtocolError):
        Hello.decode(MAGIC + VERSION.to_bytes(2) + b"\xff" + noise)
    with pytest.raises(ProtocolError):
        decode_answer(noise)


def test_ids_must_be_text() -> None:
    with pytest.raises(ProtocolError, match="utf-8"):
        Hello.decode(HELLO.encode().replace(b"orders", b"\xff" * 6))


def test_another_version_is_told_whatever_follows() -> None:
    for rest in (b"", b"what a later version may say"):
        hello = Hello.decode(MAGIC + (VERSION + 1).to_bytes(2) + rest)
        assert hello.version == VERSION + 1
        assert judge(hello, "orders", "b", ("a",)) is Verdict.OTHER_VERSION
        assert decode_answer(MAGIC + (VERSION + 1).to_bytes(2) + rest) is Verdict.OTHER_VERSION


@pytest.mark.parametrize(
    ("hello", "verdict"),
    [
        (HELLO, Verdict.ACCEPTED),
        (Hello("orders", "a", "b", VERSION + 1), Verdict.OTHER_VERSION),
        (Hello("stock", "a", "b"), Verdict.OTHER_CLUSTER),
        (Hello("orders", "b", "b"), Verdict.ITSELF),
        (Hello("orders", "b", "c"), Verdict.ITSELF),
        (Hello("orders", "a", "c"), Verdict.WRONG_RECEIVER),
        (Hello("orders", "x", "b"), Verdict.UNKNOWN_NODE),
    ],
    ids=str,
)
def test_the_verdict(hello: Hello, verdict: Verdict) -> None:
    assert judge(hello, "orders", "b", ("a", "c")) is verdict


@pytest.mark.parametrize("verdict", Verdict)
def test_an_answer_comes_back_as_it_was(verdict: Verdict) -> None:
    data = encode_answer(verdict)
    assert decode_answer(data) is verdict
    assert len(data) == ANSWER_BYTES


@pytest.mark.parametrize("data", [encode_answer(Verdict.ACCEPTED)[:-1], encode_answer(Verdict.ACCEPTED) + b"\0"])
def test_an_answer_of_the_wrong_length_is_none(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="bytes"):
        decode_answer(data)


def test_an_unknown_verdict_is_none() -> None:
    with pytest.raises(ProtocolError, match="verdict 99"):
        decode_answer(encode_answer(Verdict.ACCEPTED)[:-1] + b"\x63")
