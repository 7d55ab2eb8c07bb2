"""Every storage keeps the contract of `raft_actors.persistence.abc`: opening, what it recovers, and all calls alike."""

from __future__ import annotations

import contextlib
from contextlib import AbstractAsyncContextManager

import pytest
import trio
import trio.testing

from raft_actors import ClusterConfig, Node, open_node
from raft_actors.errors import ConfigurationError, StorageFailed, StorageLocked, StorageMismatch
from raft_actors.persistence import HardState, LogWrite, MemoryStorage, Storage, StoreIdentity, TermRun
from raft_actors.raft.entries import EntryKind
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.raft.starts import Met, Renewed, Start
from raft_actors.transports import MemoryNetwork, TcpTransport
from raft_actors.transports.abc import Transport
from tests.cluster.support import CommandLog
from tests.persistence.support import EVERYTHING, IDENTITY, Place, append, batch, filled, singles, take_snapshot


async def test_a_new_store_is_empty(storage: Storage) -> None:
    recovered = await storage.open(IDENTITY, tail_bytes=EVERYTHING)
    assert recovered.hard_state == HardState(0, None)
    assert recovered.snapshot is None
    assert (recovered.first_index, recovered.last_index) == (1, 0)
    assert recovered.term_runs == ()
    assert recovered.tail == ()
    assert await storage.open_snapshot() is None


async def test_a_store_keeps_the_incarnation_that_was_drawn_when_it_was_made(storage: Storage, place: Place) -> None:
    made = await storage.open(IDENTITY, tail_bytes=EVERYTHING)
    assert made.incarnation
    assert (await place.recover(storage)).incarnation == made.incarnation
    other = MemoryStorage()
    assert (await other.open(IDENTITY, tail_bytes=EVERYTHING)).incarnation not in ("", made.incarnation)
    await other.aclose()


async def test_each_opening_is_a_start_and_is_kept(storage: Storage, place: Place) -> None:
    made = await storage.open(IDENTITY, tail_bytes=EVERYTHING)
    first = made.starts.latest
    assert first is not None
    assert (first.number, made.met, made.renewed) == (1, {}, Renewed.NO)
    again = await place.recover(storage)
    assert again.starts.last == 2
    assert again.starts.latest != first
    assert not again.starts.lack(first)


async def test_whom_it_has_met_is_kept_and_replaces_what_was_kept_before(storage: Storage, place: Place) -> None:
    met = {"n2": Met("2222", Start(7, "00000000000000aa")), "n3": Met("3333", Start(1, "00000000000000bb"))}
    await filled(storage, batch(1, 1, b"a"))
    storage.remember({"n9": met["n3"]})
    storage.remember(met)
    async with place.reopened(storage) as (again, recovered):
        assert recovered.met == met
        again.remember({})
        await again.write([append(batch(2, 1, b"b"))])
        emptied = await place.recover(again)
        assert (emptied.met, emptied.last_index) == ({}, 2)
        again.remember(met)  # it is closed: nothing is there to keep it
    assert (await place.recover(storage)).met == {}


async def test_a_store_that_is_renewed_is_another_one_with_all_that_it_held(storage: Storage, place: Place) -> None:
    await filled(storage, batch(1, 1, b"a", b"b"))
    await storage.write([LogWrite(HardState(4, "n2"))])
    async with place.reopened(storage) as (again, before):
        await again.renew()
        async with place.reopened(again) as (renewed, after):
            assert after.incarnation not in ("", before.incarnation)
            assert after.renewed is Renewed.JOINS
            assert (after.hard_state, after.tail, after.starts.last) == (before.hard_state, before.tail, 3)
            await renewed.write([append(batch(3, 4, b"c"))])  # and it goes on
    assert (await place.recover(storage)).last_index == 3
    with pytest.raises(StorageFailed):
        await storage.renew()


async def test_a_store_notes_what_it_lacks_and_goes_on_as_the_one_that_it_is(storage: Storage, place: Place) -> None:
    await filled(storage, batch(1, 1, b"a"))
    async with place.reopened(storage) as (again, before):
        again.note_loss()
        again.remember({"n2": Met("2222", Start(7, "00000000000000aa"))})
        await again.write([append(batch(2, 1, b"b"))])
        after = await place.recover(again)
        assert (before.renewed, after.renewed) == (Renewed.NO, Renewed.DOUBTS)
        assert (after.incarnation, after.last_index, [*after.met]) == (before.incarnation, 2, ["n2"])
        again.note_loss()  # it is closed: nothing is there to note it
    assert (await place.recover(storage)).renewed


async def test_what_was_written_is_there_after_reopening(storage: Storage, place: Place) -> None:
    batches = (batch(1, 1, b"", kind=EntryKind.NOOP), batch(2, 1, b"a", b"bb", b""), batch(5, 3, b"c"))
    await filled(storage, *batches)
    await storage.write([LogWrite(HardState(4, None))])
    recovered = await place.recover(storage)
    assert recovered.hard_state == HardState(4, None)
    assert (recovered.first_index, recovered.last_index) == (1, 5)
    assert recovered.term_runs == (TermRun(1, 1), TermRun(3, 5))
    assert recovered.tail == batches
    assert [one.kind for one in recovered.tail] == [EntryKind.NOOP, EntryKind.COMMAND, EntryKind.COMMAND]


@pytest.mark.parametrize(("room", "kept"), [(0, 1), (40, 1), (78, 2), (79, 2), (39 * 10, 10), (10_000, 10)])
async def test_the_tail_holds_whole_batches_within_the_bytes_asked_for(
    storage: Storage, place: Place, room: int, kept: int
) -> None:
    batches = singles(1, 1, 10)
    assert batches[0].size == 39
    await filled(storage, *batches)
    assert (await place.recover(storage, tail_bytes=room)).tail == batches[10 - kept :]


async def test_a_tail_of_thousands_of_batches(storage: Storage, place: Place) -> None:
    batches = singles(1, 1, 5000)
    await filled(storage, *batches)
    assert (await place.recover(storage, tail_bytes=39 * 2500)).tail == batches[2500:]
    assert (await place.recover(storage)).tail == batches


async def test_the_tail_keeps_a_large_last_batch_whole(storage: Storage, place: Place) -> None:
    large = batch(2, 1, *[b"x" * 100] * 50)
    await filled(storage, batch(1, 1, b"a"), large)
    assert (await place.recover(storage, tail_bytes=10)).tail == (large,)


async def test_the_tail_is_cut_at_the_first_entry_kept(storage: Storage, place: Place) -> None:
    whole = batch(1, 1, b"a", b"b", b"c", b"d")
    await filled(storage, whole)
    await take_snapshot(storage, 3, 1, [b"s"], first_index=3)
    recovered = await place.recover(storage)
    assert recovered.tail == (whole.since(3),)
    assert recovered.term_runs == (TermRun(1, 3),)


async def test_a_store_that_is_open_is_locked(storage: Storage, place: Place) -> None:
    await storage.open(IDENTITY, tail_bytes=0)
    with pytest.raises(StorageLocked):
        await storage.open(IDENTITY, tail_bytes=0)
    other = place.storage()
    with pytest.raises(StorageLocked):
        await other.open(IDENTITY, tail_bytes=0)
    await storage.aclose()
    await other.open(IDENTITY, tail_bytes=0)  # the failed try does no harm, and the file is free at once
    await other.aclose()


@pytest.mark.parametrize("wrong", [StoreIdentity("orders", "n2"), StoreIdentity("bills", "n1")])
async def test_another_identity_is_refused_by_name(storage: Storage, place: Place, wrong: StoreIdentity) -> None:
    await storage.open(IDENTITY, tail_bytes=0)
    await storage.aclose()
    with pytest.raises(StorageMismatch) as caught:
        await place.storage().open(wrong, tail_bytes=0)
    for name in ("n1", "orders", wrong.node_id, wrong.cluster_id):
        assert repr(name) in str(caught.value)
    await storage.open(IDENTITY, tail_bytes=0)  # a closed storage may be opened again


async def test_the_voters_that_an_opening_named_first_are_kept(storage: Storage, place: Place) -> None:
    async def open_naming(*voters: str) -> tuple[str, ...]:
        reopened = place.storage()
        recovered = await reopened.open(StoreIdentity("orders", "n1", voters), tail_bytes=0)
        await reopened.aclose()
        return recovered.initial_voters

    assert (await storage.open(IDENTITY, tail_bytes=0)).initial_voters == ()
    await storage.aclose()
    assert await open_naming("n1", "ñ2") == ("n1", "ñ2")
    assert await open_naming("n1") == ("n1", "ñ2")
    assert await open_naming() == ("n1", "ñ2")
    assert await open_naming("n3") == ("n1", "ñ2")


async def test_a_new_store_keeps_the_voters_that_it_is_made_with(storage: Storage, place: Place) -> None:
    identity = StoreIdentity("orders", "n1", ("n1", "n2"))
    assert (await storage.open(identity, tail_bytes=0)).initial_voters == ("n1", "n2")
    await storage.write([append(batch(1, 1, b"a")), LogWrite(HardState(2, "n2"))])
    await take_snapshot(storage, 1, 1, [b"s"])
    await storage.aclose()
    recovered = await place.storage().open(IDENTITY, tail_bytes=0)
    assert (recovered.initial_voters, recovered.hard_state) == (("n1", "n2"), HardState(2, "n2"))


async def test_calls_while_not_open_fail(storage: Storage) -> None:
    async def check() -> None:
        with pytest.raises(StorageFailed, match="not open"):
            await storage.write([append(batch(1, 1, b"a"))])
        with pytest.raises(StorageFailed, match="not open"):
            await storage.read_entries(1, 1, 1)
        with pytest.raises(StorageFailed, match="not open"):
            await storage.begin_snapshot(SnapshotMetadata(1, 1))
        with pytest.raises(StorageFailed, match="not open"):
            await storage.write_snapshot_chunk(1, 0, b"")
        with pytest.raises(StorageFailed, match="not open"):
            await storage.discard_snapshot(1)
        with pytest.raises(StorageFailed, match="not open"):
            await storage.open_snapshot()
        assert storage.statistics().commits == 0

    await storage.aclose()
    await check()
    await storage.open(IDENTITY, tail_bytes=0)
    await storage.aclose()
    await storage.aclose()
    await check()


async def test_every_call_is_a_checkpoint(storage: Storage) -> None:
    with trio.testing.assert_checkpoints():
        await storage.open(IDENTITY, tail_bytes=0)
    with trio.testing.assert_checkpoints():
        await storage.write([append(batch(1, 1, b"a", b"b"))])
    with trio.testing.assert_checkpoints():
        await storage.write([])
    with trio.testing.assert_checkpoints():
        await storage.read_entries(1, 1, 1)
    with trio.testing.assert_checkpoints():
        snapshot_id = await storage.begin_snapshot(SnapshotMetadata(1, 1))
    with trio.testing.assert_checkpoints():
        await storage.write_snapshot_chunk(snapshot_id, 0, b"x")
    with trio.testing.assert_checkpoints():
        await storage.discard_snapshot(snapshot_id)
    with trio.testing.assert_checkpoints():
        await storage.discard_snapshot(snapshot_id)
    await take_snapshot(storage, 1, 1, [b"x"])
    with trio.testing.assert_checkpoints():
        reader = await storage.open_snapshot()
    assert reader is not None
    with trio.testing.assert_checkpoints():
        await reader.read_chunk(0)
    reader.close()
    with trio.testing.assert_checkpoints():
        await storage.aclose()
    with trio.testing.assert_checkpoints():
        await storage.aclose()


async def test_a_storage_that_is_open_is_refused_to_a_second_node_and_serves_the_first(
    storage: Storage, place: Place
) -> None:
    network, cluster = MemoryNetwork(), ClusterConfig("orders", {"n1": "n1"})

    def node(use: Storage, on: MemoryNetwork) -> AbstractAsyncContextManager[Node[CommandLog]]:
        return open_node("n1", cluster=cluster, state_machine=CommandLog(), storage=use, transport=on.transport("n1"))

    async with node(storage, network) as first:
        await first.wait_leader()
        assert await first.propose(b"a") == 1
        for again in (storage, place.storage()):
            with pytest.raises(StorageLocked):
                async with node(again, MemoryNetwork()):
                    raise AssertionError("two nodes have the store open")
            with trio.CancelScope() as scope, contextlib.suppress(StorageLocked):
                scope.cancel()
                async with node(again, MemoryNetwork()):
                    raise AssertionError("it began though it was cancelled")
        assert await first.propose(b"b") == 2


async def test_a_transport_that_runs_is_refused_to_a_second_node_and_serves_the_first(place: Place) -> None:
    cluster = ClusterConfig("orders", {"n1": "127.0.0.1:1"})
    for transport in (MemoryNetwork().transport("n1"), TcpTransport("127.0.0.1:0")):
        storage = MemoryStorage()

        def node(use: Storage, over: Transport = transport) -> AbstractAsyncContextManager[Node[CommandLog]]:
            return open_node("n1", cluster=cluster, state_machine=CommandLog(), storage=use, transport=over)

        async with node(storage) as first:
            await first.wait_leader()
            second = MemoryStorage()
            with pytest.raises(ConfigurationError, match="runs already"):
                async with node(second):
                    raise AssertionError("two nodes use one transport")
            assert second.disk.holder is None
            assert await first.propose(b"a") == 1
        async with node(storage) as again:
            await again.wait_leader()
            assert await again.propose(b"b") == 2
