"""Bytes that are nearly in order: seeds, changed in the ways in which parsers go wrong."""

from __future__ import annotations

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

Draw = Callable[[], float]
"""A `Random.random`: drawn from directly, because `randrange` takes four times as long, and most parsers are quick."""

Change = Callable[[Draw, bytearray, Sequence[bytes]], None]


def _flip(draw: Draw, data: bytearray, _seeds: Sequence[bytes]) -> None:
    if data:
        data[int(draw() * len(data))] ^= 1 << int(draw() * 8)


def _set(draw: Draw, data: bytearray, _seeds: Sequence[bytes]) -> None:
    if data:
        data[int(draw() * len(data))] = int(draw() * 256)


def _insert(draw: Draw, data: bytearray, _seeds: Sequence[bytes]) -> None:
    at = int(draw() * (len(data) + 1))
    data[at:at] = _NOTABLE[int(draw() * len(_NOTABLE))]


def _overwrite(draw: Draw, data: bytearray, _seeds: Sequence[bytes]) -> None:
    piece = _NOTABLE[int(draw() * len(_NOTABLE))]
    at = int(draw() * (max(0, len(data) - len(piece)) + 1))
    data[at : at + len(piece)] = piece


def _remove(draw: Draw, data: bytearray, _seeds: Sequence[bytes]) -> None:
    start = int(draw() * (len(data) + 1))
    del data[start : start + 1 + int(draw() * 16)]


def _cut(draw: Draw, data: bytearray, _seeds: Sequence[bytes]) -> None:
    del data[int(draw() * (len(data) + 1)) :]


def _repeat(draw: Draw, data: bytearray, _seeds: Sequence[bytes]) -> None:
    start = int(draw() * (len(data) + 1))
    data[start:start] = data[start : start + 1 + int(draw() * 64)] * (1 + int(draw() * 8))


def _splice(draw: Draw, data: bytearray, seeds: Sequence[bytes]) -> None:
    other = seeds[int(draw() * len(seeds))]
    data[int(draw() * (len(data) + 1)) :] = other[int(draw() * (len(other) + 1)) :]


def _count(draw: Draw, data: bytearray, _seeds: Sequence[bytes]) -> None:
    """A number of one to eight bytes becomes one more or less."""
    size = 1 << int(draw() * 4)
    if len(data) >= size:
        at = int(draw() * (len(data) - size + 1))
        number = int.from_bytes(data[at : at + size], "big") + (1 if draw() < 0.5 else -1)
        data[at : at + size] = (number % (1 << 8 * size)).to_bytes(size, "big")


_CHANGES: tuple[Change, ...] = (_flip, _set, _insert, _overwrite, _remove, _cut, _repeat, _splice, _count)


def mutated(draw: Draw, seeds: Sequence[bytes], most_bytes: int) -> bytes:
    """One of the seeds, changed in a few places."""
    data = bytearray(seeds[int(draw() * len(seeds))])
    for _ in range(1 + int(draw() * _MOST_CHANGES)):
        _CHANGES[int(draw() * len(_CHANGES))](draw, data, seeds)
    del data[most_bytes:]
    return bytes(data)
