"""Feeding targets, and what counts as a finding."""

from __future__ import annotations

import random
import traceback
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from tests.fuzz.mutating import mutated
from tests.fuzz.target import Target

CORPUS = Path(__file__).parent / "corpus"
"""For each target a file of inputs that were findings once, or get far: a line in hexadecimal for each."""

_MEMORY_EVERY = 500


@attrs.frozen
class Finding:
    """An input that a target did not take as it promised."""

    data: bytes
    what: str


def corpus(name: str) -> list[bytes]:
    """The inputs that are kept for a target."""
    file = CORPUS / f"{name}.txt"
    if not file.exists():
        return []
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="ascii").splitlines())
    return [bytes.fromhex(line) for line in lines if line]


def try_one(target: Target, data: bytes) -> Finding | None:
    """Feed a target once."""
    try:
        target.feed(data)
    except target.promised:
        return None
    except Exception:  # noqa: BLE001 - that is what is looked for
        return Finding(data, traceback.format_exc(limit=-3))
    return None


def try_memory(target: Target, data: bytes) -> Finding | None:
    """Feed a target once, and see what it takes of memory."""
    tracemalloc.start()
    try:
        found = try_one(target, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if found is None and peak > target.free_bytes + target.memory_factor * len(data):
        return Finding(data, f"{peak:,} bytes of memory for {len(data):,} bytes of input")
    return found


def inputs(target: Target, kept: Sequence[bytes], rng: random.Random) -> Iterator[bytes]:
    """Seeds and kept inputs as they are, and then changed without end."""
    seeds = [*target.seeds, *kept]
    yield from seeds
    while True:
        yield mutated(rng, seeds, target.most_bytes)


def fuzz(target: Target, kept: Sequence[bytes], seed: int, count: int) -> tuple[int, list[Finding]]:
    """Feed a target so many inputs; return how many, and what was found: at most a few."""
    rng = random.Random(seed)
    findings: list[Finding] = []
    done = 0
    for done, data in enumerate(inputs(target, kept, rng), 1):
        attempt = try_memory if done % _MEMORY_EVERY == 0 else try_one
        found = attempt(target, data)
        if found is not None:
            findings.append(found)
        if done == count or len(findings) == 5:
            break
    return done, findings
