from __future__ import annotations

from collections import Counter
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from raft_actors.errors import ConfigurationError
from raft_actors.raft.messages import AppendEntriesAccepted, InstallSnapshot, Message, RequestVote
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.transports import Faults, LinkStatistics, MemoryNetwork, encode
from raft_actors.transports.links import REQUESTS
from raft_actors.transports.wire.codec import TAGS
from tests.transports.support import SAMPLES, Member, numbered

REQUEST = RequestVote(1, 1, 1)
REPLY = numbered(1)


async def start(network: MemoryNetwork, nursery: trio.Nursery, node_ids: str = "ab") -> list[Member]:
    members: list[Member] = []
    for node_id in node_ids:
        peers = dict.fromkeys("abcd".replace(node_id, ""), "")
        members.append(Member.make(network.transport(node_id), node_id, peers))
        await members[-1].start(nursery)
    return members


def numbers(member: Member) -> list[int]:
    return [message.match_index for _, message in member.received if isinstance(message, AppendEntriesAccepted)]


async def settle() -> None:
    """Let all that is under way arrive: the clock jumps over every wait until only this one is left."""
    await trio.sleep(1_000)


# --- without faults ------------------------------------------------------------------------------------------


async def test_messages_arrive_at_once_and_in_order(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    a, b = await start(MemoryNetwork(), nursery)
    began = trio.current_time()
    for number in range(100):
        assert a.transport.send_nowait("b", numbered(number))
    await trio.testing.wait_all_tasks_blocked()
    assert numbers(b) == list(range(100))
    assert trio.current_time() == began


async def test_the_receiver_gets_the_very_object_unless_the_network_encodes(nursery: trio.Nursery) -> None:
    for encoding in (False, True):
        a, b = await start(MemoryNetwork(encode=encoding), nursery)
        a.transport.send_nowait("b", REQUEST)
        _, message = await b.inbox.receive()
        assert message == REQUEST
        assert (message is not REQUEST) is encoding
        await a.stop()
        await b.stop()


async def test_a_message_under_way_is_lost_when_its_receiver_stops(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    network = MemoryNetwork(requests=Faults(delay_s=(1, 1)))
    a, b = await start(network, nursery)
    a.transport.send_nowait("b", REQUEST)
    assert network.link_statistics("a", "b").in_flight == 1
    await b.stop()
    await b.start(nursery)
    await settle()
    assert b.received == []
    assert (network.link_statistics("a", "b").blocked, network.link_statistics("a", "b").in_flight) == (1, 0)


async def test_a_message_under_way_arrives_although_its_sender_stops(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    a, b = await start(MemoryNetwork(requests=Faults(delay_s=(1, 1))), nursery)
    a.transport.send_nowait("b", REQUEST)
    await a.stop()
    await settle()
    assert b.received == [("a", REQUEST)]


async def test_nobody_runs_twice_on_one_network(nursery: trio.Nursery) -> None:
    network = MemoryNetwork()
    a, _ = await start(network, nursery)
    with pytest.raises(ConfigurationError, match="'a' runs already on this network"):
        await network.transport("a").run(a.endpoint)
    with pytest.raises(ConfigurationError, match="transport of 'b' can't run for 'a'"):
        await network.transport("b").run(a.endpoint)


# --- faults --------------------------------------------------------------------------------------------------


async def test_drop(nursery: trio.Nursery) -> None:
    network = MemoryNetwork(seed=1, replies=Faults(drop=0.25), max_in_flight=10_000)
    a, b = await start(network, nursery)
    for number in range(4_000):
        assert a.transport.send_nowait("b", numbered(number))
    await trio.testing.wait_all_tasks_blocked()
    counted = network.link_statistics("a", "b")
    assert counted.delivered == len(b.received) == 4_000 - counted.dropped
    assert 900 < counted.dropped < 1_100


async def test_delay(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    network = MemoryNetwork(seed=1, replies=Faults(delay_s=(1.0, 3.0)))
    a, b = await start(network, nursery)
    began, delays = trio.current_time(), list[float]()
    for number in range(200):
        a.transport.send_nowait("b", numbered(number))
    for _ in range(200):
        await b.inbox.receive()
        delays.append(trio.current_time() - began)
    assert 1.0 <= delays[0] < 1.1
    assert 2.9 < delays[-1] <= 3.0
    assert sorted(numbers(b)) == list(range(200)) != numbers(b)


async def test_a_later_message_may_be_due_first(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    network = MemoryNetwork(requests=Faults(delay_s=(5, 5)), replies=Faults(delay_s=(1, 1)))
    a, b = await start(network, nursery)
    a.transport.send_nowait("b", REQUEST)
    await trio.testing.wait_all_tasks_blocked()  # the receiver waits for the request
    a.transport.send_nowait("b", REPLY)
    began = trio.current_time()
    assert await b.inbox.receive() == ("a", REPLY)
    assert trio.current_time() - began == pytest.approx(1)
    assert await b.inbox.receive() == ("a", REQUEST)
    assert trio.current_time() - began == pytest.approx(5)


async def test_duplicate(nursery: trio.Nursery) -> None:
    network = MemoryNetwork(seed=1, replies=Faults(duplicate=0.5))
    a, b = await start(network, nursery)
    for number in range(1_000):
        a.transport.send_nowait("b", numbered(number))
    await trio.testing.wait_all_tasks_blocked()
    counted = network.link_statistics("a", "b")
    assert 400 < counted.duplicated < 600
    assert len(b.received) == counted.delivered == 1_000 + counted.duplicated
    assert set(Counter(numbers(b)).values()) == {1, 2}
    assert counted.messages == 1_000


async def test_reorder(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    network = MemoryNetwork(seed=1, replies=Faults(reorder=2 / 3, reorder_delay_s=(0.2, 2.2)))
    a, b = await start(network, nursery)
    for number in range(300):
        a.transport.send_nowait("b", numbered(number))
    await trio.testing.wait_all_tasks_blocked()
    at_once = numbers(b)
    assert at_once == sorted(at_once)
    assert 70 < len(at_once) < 130
    await settle()
    assert sorted(numbers(b)) == list(range(300))


async def test_requests_and_replies_have_faults_of_their_own(nursery: trio.Nursery) -> None:
    network = MemoryNetwork()
    a, b = await start(network, nursery)

    async def arrivals() -> list[Message]:
        b.received.clear()
        a.transport.send_nowait("b", REQUEST)
        a.transport.send_nowait("b", REPLY)
        await trio.testing.wait_all_tasks_blocked()
        return [message for _, message in b.received]

    network.set_faults(Faults(drop=1), replies=Faults())
    assert await arrivals() == [REPLY]
    network.set_faults(Faults(), replies=Faults(drop=1))
    assert await arrivals() == [REQUEST]
    network.set_faults(Faults(drop=1))
    assert await arrivals() == []
    network.set_link_faults("a", "b", Faults(duplicate=1))
    assert await arrivals() == [REQUEST, REQUEST, REPLY, REPLY]
    network.set_link_faults("a", "b", None)
    assert await arrivals() == []


def test_every_message_asks_or_answers_but_one_that_tells() -> None:
    asks = {cls.__name__ for cls in TAGS.values() if not cls.__name__.endswith(("Reply", "Accepted", "Rejected"))}
    assert asks - {"StateDigest"} == {cls.__name__ for cls in REQUESTS}


@pytest.mark.parametrize(
    "wrong",
    [
        {"drop": 1.1},
        {"drop": -0.1},
        {"duplicate": 2},
        {"reorder": -1},
        {"delay_s": (2, 1)},
        {"reorder_delay_s": (-1, 1)},
    ],
    ids=str,
)
def test_impossible_faults_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        attrs.evolve(Faults(), **wrong)


# --- cuts ----------------------------------------------------------------------------------------------------


async def reached(members: list[Member]) -> set[str]:
    """Every pair of which the first can reach the second, as "ab"."""
    for member in members:
        member.received.clear()
        for peer in members:
            member.transport.send_nowait(peer.endpoint.node_id, REQUEST)
    await trio.testing.wait_all_tasks_blocked()
    return {sender + member.endpoint.node_id for member in members for sender, _ in member.received}


ALL = {"ab", "ac", "ba", "bc", "ca", "cb"}


async def test_a_cut_is_one_way(nursery: trio.Nursery) -> None:
    network = MemoryNetwork()
    members = await start(network, nursery, "abc")
    network.cut("a", "b")
    assert await reached(members) == ALL - {"ab"}
    assert not members[0].peer("b").connected
    assert members[1].peer("a").connected
    network.mend("a", "b")
    assert await reached(members) == ALL


async def test_a_disconnected_node_neither_reaches_nor_is_reached(nursery: trio.Nursery) -> None:
    network = MemoryNetwork()
    members = await start(network, nursery, "abc")
    network.disconnect("c")
    assert await reached(members) == {"ab", "ba"}
    network.connect("c")
    assert await reached(members) == ALL


async def test_a_partition_parts_groups(nursery: trio.Nursery) -> None:
    network = MemoryNetwork()
    members = await start(network, nursery, "abc")
    network.partition({"a", "b"}, {"c"})
    assert await reached(members) == {"ab", "ba"}
    network.partition({"a"}, {"c"})
    assert await reached(members) == ALL - {"ac", "ca"}


async def test_healing_undoes_every_cut(nursery: trio.Nursery) -> None:
    network = MemoryNetwork()
    members = await start(network, nursery, "abc")
    network.cut("a", "b")
    network.disconnect("c")
    network.partition({"b"}, {"a"})
    assert await reached(members) == set()
    network.heal()
    assert await reached(members) == ALL


async def test_a_cut_loses_what_is_under_way(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    network = MemoryNetwork(requests=Faults(delay_s=(1, 1)))
    a, b = await start(network, nursery)
    a.transport.send_nowait("b", REQUEST)
    network.cut("a", "b")
    await settle()
    assert b.received == []
    assert network.link_statistics("a", "b").blocked == 1


# --- determinism ---------------------------------------------------------------------------------------------

STORM = Faults(drop=0.2, duplicate=0.2, delay_s=(0, 1), reorder=0.2, reorder_delay_s=(0, 5))


async def storm(seed: int, *, cut: bool = False, chatter: bool = False) -> list[tuple[float, int]]:
    """What arrives at b of 200 messages from a, and when."""
    network, arrivals = MemoryNetwork(seed=seed, requests=STORM, replies=STORM), list[tuple[float, int]]()
    async with trio.open_nursery() as nursery:
        a, b, c = await start(network, nursery, "abc")
        began = trio.current_time()

        async def listen() -> None:
            async for sender, message in b.inbox:
                if sender == "a" and isinstance(message, AppendEntriesAccepted):
                    arrivals.append((trio.current_time() - began, message.match_index))

        nursery.start_soon(listen)
        for number in range(200):
            if cut and number < 100:
                network.cut("a", "b")
            a.transport.send_nowait("b", numbered(number))
            network.mend("a", "b")
            if chatter:
                c.transport.send_nowait("b", numbered(number))
                b.transport.send_nowait("a", numbered(number))
        await trio.sleep(1_000)
        nursery.cancel_scope.cancel()
    return arrivals


async def test_the_same_seed_gives_the_same_run(autojump_clock: trio.testing.MockClock) -> None:
    assert [round_times(await storm(7)) for _ in range(2)] == [round_times(await storm(7))] * 2


async def test_another_seed_gives_another_run(autojump_clock: trio.testing.MockClock) -> None:
    assert round_times(await storm(7)) != round_times(await storm(8))


async def test_other_links_do_not_change_what_befalls_a_link(autojump_clock: trio.testing.MockClock) -> None:
    assert round_times(await storm(7)) == round_times(await storm(7, chatter=True))


async def test_links_differ_in_what_befalls_them(nursery: trio.Nursery) -> None:
    a, b, c = await start(MemoryNetwork(seed=1, replies=Faults(drop=0.5)), nursery, "abc")
    for number in range(100):
        a.transport.send_nowait("b", numbered(number))
        a.transport.send_nowait("c", numbered(number))
    await trio.testing.wait_all_tasks_blocked()
    assert numbers(b) != numbers(c)


async def test_a_cut_does_not_change_what_befalls_later_messages(autojump_clock: trio.testing.MockClock) -> None:
    later = [(when, number) for when, number in round_times(await storm(7)) if number >= 100]
    assert round_times(await storm(7, cut=True)) == later


def round_times(arrivals: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """The clock's own offset leaves its mark in the last digits."""
    return [(round(when, 6), number) for when, number in arrivals]


# --- bounds and counters -------------------------------------------------------------------------------------


async def test_links_are_bounded_one_by_one(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    network = MemoryNetwork(max_in_flight=3, requests=Faults(delay_s=(1, 1)))
    a, _, _ = await start(network, nursery, "abc")
    assert [a.transport.send_nowait("b", REQUEST) for _ in range(5)] == [True] * 3 + [False] * 2
    assert a.transport.send_nowait("c", REQUEST)
    assert network.link_statistics("a", "b").refused == 2
    assert a.peer("b").dropped_messages == 2
    await settle()
    assert a.transport.send_nowait("b", REQUEST)


async def test_messages_and_bytes_are_counted(nursery: trio.Nursery) -> None:
    network = MemoryNetwork(count_bytes=True)
    a, b = await start(network, nursery)
    for message in SAMPLES.values():
        a.transport.send_nowait("b", message)
    b.transport.send_nowait("a", REPLY)
    await trio.testing.wait_all_tasks_blocked()
    counted = network.link_statistics("a", "b")
    assert counted.sent == Counter(type(message).__name__ for message in SAMPLES.values())
    assert (counted.messages, counted.requests) == (len(SAMPLES), 13)
    assert counted.sent_bytes == sum(len(encode(message)) for message in SAMPLES.values())
    total = network.statistics()
    assert (total.messages, total.delivered, total.requests) == (len(SAMPLES) + 1, len(SAMPLES) + 1, 13)
    assert total.sent_bytes == counted.sent_bytes + len(encode(REPLY))
    assert network.link_statistics("c", "d") == LinkStatistics()


async def test_bytes_are_not_counted_unless_asked_for(nursery: trio.Nursery) -> None:
    network = MemoryNetwork()
    a, _ = await start(network, nursery)
    a.transport.send_nowait("b", InstallSnapshot(1, SnapshotMetadata(1, 1), 0, b"x" * 50, False))
    assert network.statistics().sent_bytes == 0


async def test_statistics_are_a_copy(nursery: trio.Nursery) -> None:
    network = MemoryNetwork()
    a, _ = await start(network, nursery)
    before = network.link_statistics("a", "b")
    a.transport.send_nowait("b", REQUEST)
    assert before == LinkStatistics()
    network.link_statistics("a", "b").sent["RequestVote"] += 1
    assert network.link_statistics("a", "b").messages == 1
