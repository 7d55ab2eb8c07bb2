"""Bytes that are nearly in order: seeds, changed in the ways in which parsers go wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

_MOST_CHANGES = 6
_NOTABLE = (
    *(b"\0", b"\x7f", b"\x80", b"\xff", b"\0\0", b"\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff"),
    *(b"\x90", b"\x9f", b"\xc4\xff", b"\xc6\xff\xff\xff\xff"),
    *(b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"),
    *(b"\r\n", b"$-1", b"*1048577\r\n", b"$99999999999999999999\r\n", b"\\x", b'"', b"'", b"%2F", b"%00", b"{node}"),
    *(b"\\ud800", b"99999", b"-1", b"1e999", b"null", b"[]", b"{}"),
    *("ü".encode(), "\u202e".encode(), b"\xed\xa0\x80"),
)

Change = Callable[[random.Random, bytearray, Sequence[bytes]], None]


def _flip(rng: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(rng: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.randrange(256)


def _insert(rng: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    at = rng.randint(0, len(data))
    data[at:at] = rng.choice(_NOTABLE)


def _overwrite(rng: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    piece = rng.choice(_NOTABLE)
    at = rng.randint(0, max(0, len(data) - len(piece)))
    data[at : at + len(piece)] = piece


def _remove(rng: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    start = rng.randint(0, len(data))
    del data[start : start + rng.randint(1, 16)]


def _cut(rng: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    del data[rng.randint(0, len(data)) :]


def _repeat(rng: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    start = rng.randint(0, len(data))
    data[start:start] = data[start : start + rng.randint(1, 64)] * rng.randint(1, 8)


def _splice(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    other = rng.choice(seeds)
    data[rng.randint(0, len(data)) :] = other[rng.randint(0, len(other)) :]


def _count(rng: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    """A number of one to eight bytes becomes one more or less."""
    size = rng.choice((1, 2, 4, 8))
    if len(data) >= size:
        at = rng.randint(0, len(data) - size)
        number = int.from_bytes(data[at : at + size], "big") + rng.choice((-1, 1))
        data[at : at + size] = (number % (1 << 8 * size)).to_bytes(size, "big")


_CHANGES: tuple[Change, ...] = (_flip, _set, _insert, _overwrite, _remove, _cut, _repeat, _splice, _count)


def mutated(rng: random.Random, seeds: Sequence[bytes], most_bytes: int) -> bytes:
    """One of the seeds, changed in a few places."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, _MOST_CHANGES)):
        rng.choice(_CHANGES)(rng, data, seeds)
    return bytes(data[:most_bytes])
