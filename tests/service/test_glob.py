"""Patterns, against a matcher that tries everything, and against patterns made to take for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_actors.service.glob import MAX_PATTERN_BYTES, compile_glob, matching


def matches(pattern: bytes, text: bytes) -> bool:
    """The meaning of `*`, `?` and plain characters, by trial."""
    if not pattern:
        return not text
    if pattern[0] == ord("*"):
        return any(matches(pattern[1:], text[skipped:]) for skipped in range(len(text) + 1))
    return bool(text) and pattern[0] in (ord("?"), text[0]) and matches(pattern[1:], text[1:])


@given(st.text("ab*?\n", max_size=8), st.text("ab\n", max_size=10))
def test_stars_and_question_marks(pattern: str, text: str) -> None:
    found = compile_glob(pattern.encode()).fullmatch(text.encode())
    assert (found is not None) == (matches(pattern.encode(), text.encode()) and bool(text or not pattern))


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_any_bytes_are_a_pattern(pattern: bytes, text: bytes) -> None:
    compile_glob(pattern).fullmatch(text)


@given(st.binary(max_size=20))
def test_an_escaped_text_matches_itself(text: bytes) -> None:
    assert compile_glob(b"".join(b"\\%c" % character for character in text)).fullmatch(text)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (b"h[ae]llo", b"hallo", True),
        (b"h[ae]llo", b"hillo", False),
        (b"h[^e]llo", b"hallo", True),
        (b"h[^e]llo", b"hello", False),
        (b"h[a-c]llo", b"hbllo", True),
        (b"h[c-a]llo", b"hbllo", True),
        (b"[", b"[", False),
        (b"[a", b"a", True),
        (b"[]a", b"a", False),
        (b"[^]", b"x", True),
        (b"[a\\]b]", b"]", True),
        (b"[a-]", b"-", False),
        (b"a\\", b"a\\", True),
        (b"a.c", b"abc", False),
        (b"**", b"a", True),
        (b"**", b"", False),
        (b"", b"", True),
    ],
)
def test_sets_escapes_and_what_is_empty(pattern: bytes, text: bytes, expected: bool) -> None:
    assert (compile_glob(pattern).fullmatch(text) is not None) == expected


def test_no_pattern_backtracks_without_end() -> None:
    # A translation with plain `.*` would need longer than the universe has existed.
    assert not compile_glob(b"*a" * 50 + b"b").fullmatch(b"a" * 2000)


def test_long_patterns_are_refused() -> None:
    compile_glob(b"a" * MAX_PATTERN_BYTES)
    with pytest.raises(ValueError, match="1024"):
        compile_glob(b"a" * (MAX_PATTERN_BYTES + 1))


async def test_matching_many_keys() -> None:
    keys = [b"key:%d" % number for number in range(10_000)]
    assert await matching(keys, b"*") == keys
    assert await matching(keys, b"key:12?") == [b"key:%d" % number for number in range(120, 130)]
