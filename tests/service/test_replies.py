"""Replies as bytes, in both versions of the protocol."""

from __future__ import annotations

from typing import Any

import pytest

from raft_actors.errors import InternalError
from raft_actors.service.replies import OK, ErrorReply, SetReply, SimpleString, Text, encode


@pytest.mark.parametrize(
    ("reply", "second", "third"),
    [
        (b"a\r\n", b"$3\r\na\r\n\r\n", None),
        (b"", b"$0\r\n\r\n", None),
        (-5, b":-5\r\n", None),
        (None, b"$-1\r\n", b"_\r\n"),
        (OK, b"+OK\r\n", None),
        (SimpleString("a\r\nb"), b"+a  b\r\n", None),
        (ErrorReply("ERR é"), "-ERR é\r\n".encode(), None),
        ([], b"*0\r\n", None),
        ([1, [b"a", None]], b"*2\r\n:1\r\n*2\r\n$1\r\na\r\n$-1\r\n", b"*2\r\n:1\r\n*2\r\n$1\r\na\r\n_\r\n"),
        ({b"a": 1}, b"*2\r\n$1\r\na\r\n:1\r\n", b"%1\r\n$1\r\na\r\n:1\r\n"),
        (SetReply((1, 2)), b"*2\r\n:1\r\n:2\r\n", b"~2\r\n:1\r\n:2\r\n"),
        (Text("é"), b"$2\r\n\xc3\xa9\r\n", b"=6\r\ntxt:\xc3\xa9\r\n"),
    ],
)
def test_encoding(reply: Any, second: bytes, third: bytes | None) -> None:
    assert b"".join(encode(reply, 2)) == second
    assert b"".join(encode(reply, 3)) == (third or second)


@pytest.mark.parametrize("reply", [True, 1.5, "text", (1,), bytearray(b"a")])
def test_what_is_no_reply_is_our_bug(reply: Any) -> None:
    with pytest.raises(InternalError, match=f"no reply can be made of a {type(reply).__name__}"):
        list(encode(reply, 2))


def test_an_array_is_encoded_piece_by_piece() -> None:
    value = b"x" * 1_000_000
    assert max(len(piece) for piece in encode([value] * 5, 2)) < 1_100_000
