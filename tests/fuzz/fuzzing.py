"""Feeding targets, and what counts as a finding."""

from __future__ import annotations

import random
import traceback
import tracemalloc
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs
import trio
from trio.testing import MockClock

from tests.fuzz.mutating import mutated
from tests.fuzz.target import Target

T = TypeVar("T")

CORPUS = Path(__file__).parent / "corpus"
"""For each target a file of inputs that were findings once, or get far: a line in hexadecimal for each."""

_MEMORY_EVERY = 500
_MOST_FINDINGS = 5


@attrs.frozen
class Finding:
    """An input that a target did not take as it promised."""

    data: bytes
    what: str


Heard = Callable[[bytes, Exception | None], None]
"""Told of each input that a target took as it promised, and of the error that it raised, if it did."""


def corpus(name: str) -> list[bytes]:
    """The inputs that are kept for a target."""
    file = CORPUS / f"{name}.txt"
    if not file.exists():
        return []
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="ascii").splitlines())
    return [bytes.fromhex(line) for line in lines if line]


async def feed(target: Target, data: bytes, heard: Heard | None = None) -> Finding | None:
    """Feed a target once, in a run of `run_for`."""
    if not target.waits:
        return _feed_at_once(target, data, heard)
    try:
        await cast("Coroutine[Any, Any, object]", target.feed(data))
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return _told(target, data, heard, error)
    return _told(target, data, heard, None)


def _feed_at_once(target: Target, data: bytes, heard: Heard | None) -> Finding | None:
    """As `feed`, of a target that does not wait: for a quick one the coroutine would be much of the time."""
    try:
        target.feed(data)
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return _told(target, data, heard, error)
    return _told(target, data, heard, None)


def _told(target: Target, data: bytes, heard: Heard | None, error: Exception | None) -> Finding | None:
    """What an input comes to; called while its error is handled."""
    if error is not None and not isinstance(error, target.promised):
        return Finding(data, traceback.format_exc(limit=-3))
    if heard is not None:
        heard(data, error)
    return None


async def _feed_watching_memory(target: Target, data: bytes, heard: Heard | None) -> Finding | None:
    tracemalloc.start()
    try:
        found = await feed(target, data, heard)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if found is None and peak > target.free_bytes + target.memory_factor * len(data):
        return Finding(data, f"{peak:,} bytes of memory for {len(data):,} bytes of input")
    return found


def run_for(target: Target, coroutine: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run what feeds a target: where that waits, in a Trio run, whose clock jumps."""
    if target.waits:
        return trio.run(coroutine, clock=MockClock(autojump_threshold=0))
    try:
        coroutine().send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    raise AssertionError("a target waits that says that it does not")


def try_one(target: Target, data: bytes) -> Finding | None:
    """Feed a target once."""
    return run_for(target, lambda: feed(target, data))


def try_memory(target: Target, data: bytes) -> Finding | None:
    """Feed a target once, and see what it takes of memory."""
    return run_for(target, lambda: _feed_watching_memory(target, data, None))


def inputs(target: Target, kept: Sequence[bytes], rng: random.Random) -> Iterator[bytes]:
    """Seeds and kept inputs as they are, and then changed without end."""
    seeds = [*target.seeds, *kept]
    yield from seeds
    draw, most_bytes = rng.random, target.most_bytes
    while True:
        yield mutated(draw, seeds, most_bytes)


def fuzz(
    target: Target,
    kept: Sequence[bytes],
    seed: int,
    count: int,
    *,
    heard: Heard | None = None,
    is_over: Callable[[], bool] = lambda: False,
) -> tuple[int, list[Finding]]:
    """Feed a target so many inputs, or until it is over; return how many, and what was found: at most a few."""

    async def feed_all() -> tuple[int, list[Finding]]:
        findings: list[Finding] = []
        done = 0
        for done, data in enumerate(inputs(target, kept, random.Random(seed)), 1):
            if done % _MEMORY_EVERY == 0:
                found = await _feed_watching_memory(target, data, heard)
            elif target.waits:
                found = await feed(target, data, heard)
            else:
                found = _feed_at_once(target, data, heard)
            if found is not None:
                findings.append(found)
            if done == count or len(findings) == _MOST_FINDINGS or (done % 64 == 0 and is_over()):
                break
        return done, findings

    return run_for(target, feed_all)
