"""Patterns over keys as Redis has them: `*`, `?`, `[a-z]`, `[^a]`, and `\\` before a character that means itself."""

from __future__ import annotations

import re

import trio

MAX_PATTERN_BYTES = 1024
"""Longer patterns are refused: compiling one holds up the event loop."""

_STAR = ord("*")


def compile_glob(pattern: bytes) -> re.Pattern[bytes]:
    """A regular expression that fully matches the keys that `pattern` matches.

    A naive translation would let a hostile pattern such as `*a*a*a*a*b` backtrack for hours. Every part
    between two stars has a fixed length, so the first place where it fits is as good as any later one, and an
    atomic group can hold it there.

    Raises:
        ValueError: the pattern is longer than `MAX_PATTERN_BYTES`.
    """
    if len(pattern) > MAX_PATTERN_BYTES:
        raise ValueError(f"a pattern may have {MAX_PATTERN_BYTES} bytes")
    parts = _translate(pattern)
    if len(parts) == 1:
        return re.compile(parts[0], re.DOTALL)
    first, *middle, last = parts
    held = b"".join(b"(?>.*?%b)" % part for part in middle if part)
    # Redis finds the empty key with the empty pattern alone (and with a single star, which it does not match at all).
    return re.compile(b"(?=.)" + first + held + b".*" + last, re.DOTALL)


def _translate(pattern: bytes) -> list[bytes]:
    """The regular expressions of the parts between stars."""
    parts: list[bytes] = []
    part: list[bytes] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == _STAR:
            parts.append(b"".join(part))
            part = []
        elif character == ord("?"):
            part.append(b".")
        elif character == ord("["):
            expression, position = _translate_class(pattern, position)
            part.append(expression)
        else:
            if character == ord("\\") and position < len(pattern):
                character = pattern[position]
                position += 1
            part.append(b"\\x%02x" % character)
    parts.append(b"".join(part))
    return parts


def _translate_class(pattern: bytes, position: int) -> tuple[bytes, int]:
    """The set that starts after its `[`, and the position after its `]` (or the end: Redis closes it there)."""
    negated = pattern[position : position + 1] == b"^"
    if negated:
        position += 1
    members: list[bytes] = []
    end = len(pattern)
    while position < end and pattern[position] != ord("]"):
        if pattern[position] == ord("\\") and position + 1 < end:
            members.append(b"\\x%02x" % pattern[position + 1])
            position += 2
        elif position + 2 < end and pattern[position + 1] == ord("-"):
            # Even when the third character is the `]` that seems to close the set: Redis takes it for the
            # range's end.
            low, high = sorted((pattern[position], pattern[position + 2]))
            members.append(b"\\x%02x-\\x%02x" % (low, high))
            position += 3
        else:
            members.append(b"\\x%02x" % pattern[position])
            position += 1
    if members:
        expression = b"[%b%b]" % (b"^" if negated else b"", b"".join(members))
    else:
        expression = b"." if negated else b"(?!)"
    return expression, position + 1


_SLICE = 4096


async def matching(keys: list[bytes], pattern: bytes) -> list[bytes]:
    """Those of `keys` that match, found in slices so that other tasks get their turn between.

    Raises:
        ValueError: the pattern is longer than `MAX_PATTERN_BYTES`.
    """
    if pattern == b"*":
        return keys
    matches = compile_glob(pattern).fullmatch
    found: list[bytes] = []
    for start in range(0, len(keys), _SLICE):
        found += filter(matches, keys[start : start + _SLICE])
        await trio.lowlevel.checkpoint()
    return found
