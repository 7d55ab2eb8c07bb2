"""Random work leaves both storages holding what a plain model says, also after reopening and power cuts."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from raft_actors.persistence import MemoryStorage, SqliteStorage, inspect_store, stored_entries
from tests.persistence.model import Model, carry_out, random_operation, random_work, states
from tests.persistence.support import EVERYTHING, IDENTITY, Place, contents, taken_apart


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.lists(st.sampled_from(["write", "write", "write", "read", "reopen"])))
def test_random_work_agrees_with_the_model(seed: int, steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trio.run(_agree, Path(folder) / "n1.db", seed, steps)


async def _agree(path: Path, seed: int, steps: list[str]) -> None:
    rng, model = random.Random(seed), Model()
    places = [Place(path), Place(None)]
    storages = [place.storage() for place in places]
    for storage in storages:
        await storage.open(IDENTITY, tail_bytes=0)
    for step in steps:
        if step == "write":
            operation = random_operation(model, rng)
            model.apply(operation)
            for storage in storages:
                await carry_out(storage, operation)
        elif step == "read" and model.last_index >= model.first_index:
            first = rng.randint(model.first_index, model.last_index)
            last, room = rng.randint(first, model.last_index + 3), rng.choice([0, 100, 20_000, EVERYTHING])
            found = [await storage.read_entries(first, last, room) for storage in storages]
            assert found[0] == found[1]
            entries = taken_apart(found[0])
            assert entries == [model.log[index] for index in range(first, first + len(entries))]
            assert entries[-1].index == min(last, model.last_index) or room < EVERYTHING
        elif step == "reopen":
            tail_bytes = rng.choice([0, 500, 50_000])
            for storage in storages:
                await storage.aclose()
            assert inspect_store(path).last_index == model.last_index
            storages = [place.storage() for place in places]
            for storage in storages:
                held = await contents(storage, tail_bytes=tail_bytes)
                assert held == model.contents()
                assert held.commit_index == model.commit_index
    for storage in storages:
        await storage.aclose()
        assert await contents(storage) == model.contents()
        await storage.aclose()
    assert tuple(stored_entries(path)) == model.contents().entries


@pytest.mark.parametrize("seed", range(20))
async def test_memory_keeps_exactly_what_was_acknowledged_through_a_power_cut(
    seed: int, autojump_clock: trio.testing.MockClock
) -> None:
    work = list(random_work(seed, 40))
    after = states(work)
    place = Place(None)
    place.disk.write_delay_s = 0.001
    acknowledged = 0
    rng = random.Random(seed)

    async def run() -> None:
        nonlocal acknowledged
        storage = MemoryStorage(place.disk)
        await storage.open(IDENTITY, tail_bytes=0)
        for operation in work:
            await carry_out(storage, operation)
            acknowledged += 1

    with trio.move_on_after(rng.random() * 0.06):
        await run()
    place.disk.cut_power()
    held = await contents(place.storage())
    assert held == after[acknowledged]
    assert held.commit_index == after[acknowledged].commit_index


async def test_the_same_work_gives_the_same_file_contents(tmp_path: Path) -> None:
    for name in ("a.db", "b.db"):
        storage = SqliteStorage(tmp_path / name)
        await storage.open(IDENTITY, tail_bytes=0)
        for operation in random_work(7, 60):
            await carry_out(storage, operation)
        await storage.aclose()
    assert list(stored_entries(tmp_path / "a.db")) == list(stored_entries(tmp_path / "b.db"))
