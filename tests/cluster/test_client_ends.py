"""What a client of a simulated cluster tells its callers where something is in the way, and what it survives."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from typing_extensions import override

from raft_actors import (
    CommandFailed,
    CommandTooLarge,
    ConfigurationError,
    InternalError,
    Local,
    NodeConfig,
    OutcomeUnknown,
    QueryFailed,
    RaftClient,
    SessionExpired,
    SessionState,
    Unavailable,
    Unreachable,
    open_client,
)
from raft_actors.node import serving
from raft_actors.node.client_messages import (
    Ask,
    Notice,
    Outcome,
    Tell,
    entries_of,
    pack,
    packed,
    refusal_of,
    results_of,
    unpack,
)
from raft_actors.raft.sessions import close, numbered, register, tick
from raft_actors.transports.conversation import Conversation, Dialer
from tests.cluster.client_support import (
    UNREADABLE,
    At,
    Cluster,
    Count,
    Deaf,
    ReadableLog,
    client_of,
    is_left_by_n1,
    open_readable,
)
from tests.cluster.support import CommandLog


async def test_it_outlives_all_nodes_that_it_was_told_of() -> None:
    """Every member is replaced, one configuration after the other, and those that were are gone for good."""
    async with open_readable(1, joiners=3) as cluster:
        await cluster.wait_for_one_leader()
        async with client_of(cluster) as client:
            assert await client.propose(b"a") == 1
            leader = cluster.node(cluster.leader() or "")
            await leader.change_members({f"n{number}": f"n{number}.test:1" for number in (4, 5, 6)})
            for old in ("n1", "n2", "n3"):
                cluster.crash(old)
            assert await client.propose(b"b") == 2
            assert set(client.status().members) == {"n4", "n5", "n6"}
            assert await client.read(Count()) == 2


@attrs.define(eq=False)
class Said(Conversation):
    """A conversation with a node that says what the test says."""

    says: trio.MemoryReceiveChannel[bytes]

    @override
    async def send(self, payloads: Sequence[bytes]) -> None:
        await trio.lowlevel.checkpoint()

    @override
    async def receive(self) -> list[bytes]:
        return [await self.says.receive()]

    @override
    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@attrs.define(eq=False)
class Dialled(Dialer):
    """Reaches one node, at `a:1`, and remembers who it was to reach."""

    says: trio.MemoryReceiveChannel[bytes]
    dialled: list[tuple[str, str | None]] = attrs.field(factory=list[tuple[str, str | None]])

    @override
    async def dial(self, address: str, cluster_id: str, node_id: str | None = None) -> Conversation:
        await trio.lowlevel.checkpoint()
        self.dialled.append((address, node_id))
        if address != "a:1":
            raise Unreachable("nobody answers")
        return Said(self.says)


def notice(config: int, members: dict[str, str]) -> bytes:
    said = Notice(node_id="n1", term=1, leader="n1", config=config, members=members, most_requests=9, most_bytes=999)
    return pack(Tell.NOTICE, 0, said.encode())


async def test_an_address_is_dialled_as_the_member_that_has_it_now(autojump_clock: MockClock) -> None:
    say, says = trio.open_memory_channel[bytes](1)
    dialer = Dialled(says)
    async with open_client(["a:1"], ReadableLog, cluster="c", dialer=dialer):
        for config, member in ((1, "n2"), (2, "n3")):
            await say.send(notice(config, {"n1": "a:1", member: "b:1"}))
            await trio.sleep(5.0)
            assert dialer.dialled[-1] == ("b:1", member)


async def test_while_nobody_can_serve_nothing_is_done_and_that_is_said() -> None:
    async with open_readable(1) as cluster:
        await cluster.wait_for_one_leader()
        async with client_of(cluster, patience_s=3.0) as client:
            assert await client.propose(b"a") == 1
            cluster.crash("n1")
            cluster.crash("n2")
            began = trio.current_time()
            with pytest.raises(OutcomeUnknown):
                await client.propose(b"b")  # the leader had it, or may have had it
            assert trio.current_time() - began == pytest.approx(3.0, abs=0.1)
            await trio.sleep(5.0)  # now n3 knows that it leads nobody
            for request in (client.propose(b"c"), client.propose_many([b"d", b"e"]), client.read(Count())):
                with pytest.raises(Unavailable):
                    await request
            assert await client.read(At(0), Local()) == b"a"
            await cluster.start("n1")
            assert await client.propose(b"f") >= 2
        applied = [entry.command for entry in cluster.facts.history]
        assert not {b"c", b"d", b"e"} & {*applied}


async def test_refusals_of_the_state_machine_come_as_themselves() -> None:
    async with open_readable(1) as cluster, client_of(cluster) as client:
        with pytest.raises(CommandFailed) as failed:
            await client.propose(b"no")
        assert str(failed.value.__cause__) == "ValueError: not that one"
        one, failure, two = await client.propose_many([b"a", b"no", b"b"])
        assert (one, two) == (1, 2)
        assert isinstance(failure, CommandFailed)
        with pytest.raises(QueryFailed, match="IndexError"):
            await client.read(At(7))
        with pytest.raises(TypeError, match="is no query of this state machine"):
            await client.read(lambda log: log)
        assert await client.propose_many([]) == []


async def test_many_commands_go_in_order_in_parts() -> None:
    async with open_readable(1) as cluster, client_of(cluster) as client:
        commands = [b"%d" % number for number in range(3000)]
        assert await client.propose_many(commands) == list(range(1, 3001))
        large = [bytes([number]) * 400_000 for number in range(8)]
        assert await client.propose_many(large) == list(range(3001, 3009))
        assert [entry.command for entry in cluster.facts.history] == commands + large


async def test_many_commands_go_also_where_only_small_ones_may() -> None:
    async with open_readable(1, config=NodeConfig(max_command_bytes=10_000)) as cluster, client_of(cluster) as client:
        assert await client.propose_many([bytes(10_000)] * 200) == list(range(1, 201))
        with pytest.raises(CommandTooLarge):
            await client.propose(bytes(10_001))


async def test_an_idle_client_whose_session_was_forgotten_begins_a_new_one() -> None:
    async with open_readable(1) as cluster, client_of(cluster) as client:
        assert await client.propose(b"a") == 1
        submission = cluster.node("n1")._submission
        for _ in range(2):
            session = client._session.session_id
            await submission.propose_entry(close(session or 0))
            assert await client.propose(b"b") > 1
            await submission.propose_entry(close(client._session.session_id or 0))
            assert await client.propose_many([b"c", b"d"])
        assert len(cluster.facts.history) == 7


async def test_a_session_that_was_forgotten_with_a_command_under_way_is_told(autojump_clock: MockClock) -> None:
    """The node carried it out, and its answer was lost; then the session ended: nobody may carry it out once more."""
    async with open_readable(1) as cluster, client_of(cluster) as client:
        assert await client.propose(b"a") == 1
        session = client._session.session_id
        async with trio.open_nursery() as nursery:

            async def propose() -> None:
                with pytest.raises(SessionExpired):
                    await client.propose(b"b")

            nursery.start_soon(propose)
            await wait_all_tasks_blocked()
            cluster.partition({"client"}, cluster.node_ids)
            await trio.sleep(2.0)
            await cluster.node("n1")._submission.propose_entry(close(session or 0))
            cluster.heal()
        assert await client.propose(b"c") == 3
        assert [entry.command for entry in cluster.facts.history] == [b"a", b"b", b"c"]


async def test_a_session_is_taken_up_by_another_client() -> None:
    async with open_readable(1) as cluster:
        async with client_of(cluster, name="one") as client, client.session(end=False) as session:
            assert await session.propose(b"a") == 1
            number = session.prepare(b"b")
            state = session.state()
        async with client_of(cluster, "n2", name="two") as client, client.session(state) as session:
            assert await session.outcomes() == {number: 2}
            again = SessionState(state.session, state.next_number, {1: b"a"})
        async with client_of(cluster, name="three") as client, client.session(again) as session:
            with pytest.raises(SessionExpired):
                await session.propose(b"c")


async def test_a_call_that_is_cancelled_leaves_no_trace_in_the_client() -> None:
    async with open_readable(1) as cluster, client_of(cluster) as client:
        await client.propose(b"a")
        cluster.partition({"n1"}, {"n2"}, {"n3"}, {"client"})
        for _ in range(5):
            with trio.move_on_after(0.5):
                await client.propose(b"b")
            with trio.move_on_after(0.1):
                await client.read(Count())
        assert client.status().waiting == 0
        cluster.heal()
        assert await client.propose(b"c") >= 2


async def test_a_closed_client_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise InternalError("ours")

    async with open_readable(1) as cluster:
        async with client_of(cluster) as client:
            await client.wait_ready()
        with pytest.raises(Unavailable, match="closed"):
            await client.propose(b"a")
        with pytest.raises(ZeroDivisionError):
            async with client_of(cluster) as client:
                _ = 1 // 0
    crashes: list[InternalError] = []
    async with open_readable(1) as cluster:
        try:
            async with client_of(cluster) as client:
                monkeypatch.setattr(client._board, "tick", fail)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.sleep_forever)
                    await client.propose(b"a")
        except InternalError as crash:
            crashes.append(crash)
        finally:  # a cancellation that got out instead would end the test, as if it had passed
            assert len(crashes) == 1
    nobody: list[str] = []
    for addresses in (nobody, "n1:1"):
        with pytest.raises(ConfigurationError, match="needs the address of a member"):
            async with open_client(addresses, ReadableLog, cluster="c"):
                pass


# --- what a node takes from a client -------------------------------------------------------------------------


class Raw:
    """A client that says what it likes."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.told: list[tuple[int, int, bytes]] = []

    async def send(self, *payloads: bytes) -> None:
        await self.conversation.send(payloads)

    async def answer(self, number: int) -> tuple[int, bytes]:
        """The kind and the body of the answer."""
        while True:
            for kind, found, body in self.told:
                if found == number and kind != Tell.NOTICE:
                    return kind, body
            payloads = await self.conversation.receive()
            if not payloads:
                raise EOFError
            self.told += [(kind, found, bytes(body)) for kind, found, body in map(unpack, payloads)]


@asynccontextmanager
async def raw(cluster: Cluster) -> AsyncGenerator[Raw]:
    conversation = await cluster.network.dialer("raw").dial("n1", "simulated")
    yield Raw(conversation)
    await conversation.aclose()


async def test_what_would_harm_the_cluster_is_refused() -> None:
    """Nobody but a leader says how much time has passed, and no entry comes into the log that can't be applied."""
    async with open_readable(1) as cluster:
        await cluster.wait_for_one_leader()
        async with raw(cluster) as client:
            await client.send(pack(Ask.PROPOSE, 1, packed([register()])))
            _, [(outcome, session)] = results_of((await client.answer(1))[1], 1)
            assert outcome == Outcome.BEGUN
            refused = {
                2: (pack(Ask.PROPOSE, 2, packed([tick(10_000_000)])), "ProtocolError"),
                3: (pack(Ask.PROPOSE, 3, packed([b"\7entry"])), "ProtocolError"),
                4: (pack(Ask.PROPOSE, 4, packed([register(), register()])), "ProtocolError"),
                5: (pack(Ask.PROPOSE, 5, packed([numbered(session, 1, 0, bytes(9_000_000))])), "CommandTooLarge"),
                9: (pack(Ask.PROPOSE, 9, packed([numbered(session, 1, 0, UNREADABLE)])), "ConfigurationError"),
                6: (pack(99, 6, b""), "UnknownRequest"),
                7: (pack(Ask.READ, 7, packed({"query": b"?", "level": "Local"})), "ConfigurationError"),
            }
            for number, (payload, kind) in refused.items():
                await client.send(payload)
                told, body = await client.answer(number)
                assert (told, refusal_of(body)["kind"]) == (Tell.REFUSAL, kind)
            await client.send(pack(Ask.PROPOSE, 8, packed([numbered(session, 1, 0, b"a")])))
            assert results_of((await client.answer(8))[1], 1)[1] == [(Outcome.RESULT, b"\x01")]
        assert len(cluster.nodes) == 3


@pytest.mark.parametrize(
    "payload",
    [b"", b"\1", pack(Ask.PROPOSE, 1, b"\xc1"), pack(Ask.PROPOSE, 1, packed([1])), pack(Ask.READ, 1, packed([]))],
)
async def test_who_says_what_no_client_says_is_disconnected(payload: bytes) -> None:
    async with open_readable(1) as cluster:
        await cluster.wait_for_one_leader()
        async with raw(cluster) as client:
            await client.send(payload)
            with pytest.raises(EOFError):
                await client.answer(1)


async def test_who_asks_too_much_or_does_not_read_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MOST_REQUESTS", 3)
    monkeypatch.setattr(serving, "MOST_UNTOLD_BYTES", 10_000)
    async with open_readable(1) as cluster:
        await cluster.wait_for_one_leader()
        cluster.disconnect("n1")
        cluster.network.connect("n1")
        cluster.partition({"n1", "raw"}, {"n2", "n3"})
        async with raw(cluster) as client:
            await client.send(*[pack(Ask.PROPOSE, number, packed([register()])) for number in range(4)])
            with pytest.raises(EOFError):
                await client.answer(0)
        await is_left_by_n1(cluster, Deaf(2000))


async def test_short_answers_that_nobody_reads_count_for_the_memory_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MOST_UNTOLD_BYTES", 10_000)
    async with open_readable(1) as cluster:
        await cluster.wait_for_one_leader()
        await is_left_by_n1(cluster, Deaf(200))  # a thousand bytes on the wire


async def test_a_proposal_that_waits_for_room_and_is_cancelled_waits_no_more() -> None:
    async with open_readable(1, config=NodeConfig(max_pending_proposals=2)) as cluster:
        await cluster.wait_for_one_leader()
        cluster.partition({"n1", "raw"}, {"n2", "n3"})
        async with raw(cluster) as client:
            for number in range(1, 50):
                await client.send(pack(Ask.PROPOSE, number, packed([register()])))
            await trio.sleep(0.1)
            admission = cluster.node("n1")._supervisor.admission
            assert len(admission._waiting) == 47
            await client.send(*[pack(Ask.CANCEL, number) for number in range(1, 50)])
            await trio.sleep(0.1)
            assert not admission._waiting


def test_entries_are_bytes_alone() -> None:
    assert entries_of(packed([b"a", b"b"])) == [b"a", b"b"]


def test_a_client_is_typed_by_its_state_machine() -> None:
    async def types(client: RaftClient[ReadableLog]) -> tuple[int, int, bytes]:
        return await client.propose(b"a"), await client.read(Count()), await client.read(At(0))

    assert types.__annotations__
    assert issubclass(ReadableLog, CommandLog)
