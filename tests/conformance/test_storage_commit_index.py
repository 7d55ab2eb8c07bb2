"""Every storage keeps the contract of `raft_actors.persistence.abc`: what it remembers of the commit index."""

from __future__ import annotations

import pytest

from raft_actors.errors import InternalError
from raft_actors.persistence import HardState, LogWrite, Storage
from tests.persistence.support import EVERYTHING, IDENTITY, Place, batch, filled, singles, take_snapshot


async def test_a_new_store_knows_of_no_commit(storage: Storage) -> None:
    assert (await storage.open(IDENTITY, tail_bytes=EVERYTHING)).commit_index == 0


@pytest.mark.parametrize(
    "write",
    [
        LogWrite(entries=(batch(4, 1, b"d"),), commit_index=3),
        LogWrite(HardState(2), entries=(batch(4, 2, b"d"),), commit_index=3),
        LogWrite(HardState(2), commit_index=3),
        LogWrite(truncate_from=4, commit_index=3),
        LogWrite(commit_index=3),
    ],
    ids=["append", "append in a new term", "vote", "truncation", "nothing else"],
)
async def test_what_a_write_told_is_known_after_closing(storage: Storage, place: Place, write: LogWrite) -> None:
    await filled(storage, *singles(1, 1, 3))
    await storage.write([write])
    assert (await place.recover(storage)).commit_index == 3


async def test_it_does_not_fall(storage: Storage, place: Place) -> None:
    await filled(storage, *singles(1, 1, 3))
    await storage.write([LogWrite(commit_index=2)])
    await storage.write([LogWrite(entries=(batch(4, 1, b"d"),), commit_index=1)])
    await storage.write([LogWrite(HardState(2))])
    async with place.reopened(storage) as (again, recovered):
        assert recovered.commit_index == 2
        await again.write([LogWrite(HardState(3))])
        assert (await place.recover(again)).commit_index == 2


async def test_it_may_speak_of_the_entries_of_the_same_write(storage: Storage, place: Place) -> None:
    await filled(storage, *singles(1, 1, 3))
    one = LogWrite(truncate_from=2, entries=(batch(2, 2, b"x"),), commit_index=2)
    await storage.write([one, LogWrite(entries=(batch(3, 2, b"y"),), commit_index=3)])
    assert (await place.recover(storage)).commit_index == 3


async def test_a_snapshot_is_of_what_is_committed(storage: Storage, place: Place) -> None:
    await filled(storage, *singles(1, 1, 5))
    await storage.write([LogWrite(commit_index=4)])
    await take_snapshot(storage, 3, 1, [b"s"])
    async with place.reopened(storage) as (again, recovered):
        assert recovered.commit_index == 4
        await take_snapshot(again, 9, 2, [b"t"], discard_log=True)
        assert (await place.recover(again)).commit_index == 9


async def test_what_is_not_there_can_not_be_committed(storage: Storage, place: Place) -> None:
    await filled(storage, *singles(1, 1, 3))
    for write in (
        LogWrite(commit_index=4),
        LogWrite(truncate_from=3, commit_index=3),
        LogWrite(entries=(batch(4, 1, b"d"),), commit_index=5),
    ):
        with pytest.raises(InternalError, match=r"can't be committed in a log that ends with entry [234]"):
            await storage.write([write])
    assert (await place.recover(storage)).commit_index == 0


async def test_what_is_committed_can_not_be_removed(storage: Storage, place: Place) -> None:
    await filled(storage, *singles(1, 1, 3))
    with pytest.raises(InternalError, match="entries up to 2 are committed"):
        await storage.write([LogWrite(commit_index=2), LogWrite(truncate_from=2)])
    await storage.write([LogWrite(truncate_from=3)])
    assert (await place.recover(storage)).last_index == 2
