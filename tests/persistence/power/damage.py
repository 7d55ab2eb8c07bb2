"""Damages what a crash left, after it was durable: flips bits, and replaces or cuts off sectors.

No disk that does this keeps its word, so the store may be refused, at opening or at reading, with a `StorageError`.
What it must not do is to open and hold something else. The mark (see `persistence/sqlite/mark.py`) is up to date here.
"""

from __future__ import annotations

import random

from raft_actors.errors import StorageError
from tests.persistence.model import Contents
from tests.persistence.power.crashes import Point, compare, read_real_store, read_store
from tests.persistence.power.disk import SECTOR
from tests.persistence.power.playing import Recording
from tests.persistence.power.tally import Tally

_WAYS = ("bit", "zeros", "garbage", "cut")


async def damage_at(recording: Recording, point: Point, seed: int, tally: Tally) -> None:
    """Kill the process at one point, and damage its files in every way."""
    rng = random.Random(f"{seed} {point.number} damage")
    tally.points += 1
    disk = point.disk.copy()
    held, _, files = await read_store(disk)
    files.kill()
    for name in sorted(disk.shown.names):
        for way in _WAYS:
            left = disk.copy()
            data = left.shown.files[left.shown.names[name]]
            if not data:
                continue
            where = _damage(data, way, rng)
            try:
                await _reopen(left.shown.contents(), held, tally)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a violation at this point
                tally.violations.append(f"{point}: {name} damaged ({way} at {where}): {type(error).__name__}: {error}")


async def _reopen(files: dict[str, bytes], held: Contents, tally: Tally) -> None:
    tally.reopenings += 1
    try:
        found = await read_real_store(files)
    except StorageError:
        tally.refusals += 1
    else:
        compare(found, [held])


def _damage(data: bytearray, way: str, rng: random.Random) -> int:
    position = rng.randrange(len(data))
    sector = slice(position // SECTOR * SECTOR, min(len(data), (position // SECTOR + 1) * SECTOR))
    size = sector.stop - sector.start
    if way == "bit":
        data[position] ^= 1 << rng.randrange(8)
    elif way == "cut":
        del data[position:]
    else:
        data[sector] = bytes(size) if way == "zeros" else rng.randbytes(size)
    return position
