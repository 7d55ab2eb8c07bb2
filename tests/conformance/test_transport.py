"""Every transport keeps the contract of `raft_actors.transports.abc`, sentence by sentence."""

from __future__ import annotations

import attrs
import pytest
import trio

from raft_actors.errors import ConfigurationError
from raft_actors.raft.messages import InstallSnapshot, Message
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.testing.network import SimulatedNetwork
from raft_actors.transports import Endpoint, encode
from tests.conformance.worlds import QUEUE, World
from tests.transports.support import MAX_MESSAGE_BYTES, SAMPLES, Member, numbered, wait_until


def message_of(size: int) -> Message:
    """A message of exactly that many bytes once encoded."""
    chunk = InstallSnapshot(1, SnapshotMetadata(1, 1), 0, bytes(size), False)
    surplus = len(encode(chunk)) - size
    return attrs.evolve(chunk, data=bytes(size - surplus))


@pytest.mark.parametrize("message", SAMPLES.values(), ids=SAMPLES)
async def test_a_message_arrives_unaltered_and_names_its_sender(
    world: World, nursery: trio.Nursery, message: Message
) -> None:
    a, b = world.member("a"), world.member("b")
    await a.start(nursery)
    await b.start(nursery)
    await a.exchange(b, message)
    await b.exchange(a, message)


async def test_every_member_reaches_every_other(world: World, nursery: trio.Nursery) -> None:
    members = [world.member(node_id) for node_id in "abc"]
    for member in members:
        await member.start(nursery)
    for sender in members:
        for receiver in members:
            if sender is not receiver:
                await sender.exchange(receiver, numbered(1))


async def test_nothing_is_delivered_inside_send_nowait(world: World, nursery: trio.Nursery) -> None:
    a, b = world.member("a"), world.member("b")
    await a.start(nursery)
    await b.start(nursery)
    await a.wait_connected("b")
    assert a.transport.send_nowait("b", numbered(1))
    assert b.received == []
    await b.inbox.receive()


def chunk(number: int) -> Message:
    """A large message that can be told from others."""
    return InstallSnapshot(1, SnapshotMetadata(6, 1), number, b"x" * 50_000, False)


async def test_a_full_queue_refuses_and_counts(world: World, nursery: trio.Nursery) -> None:
    a, b = world.member("a"), world.member("b")
    await a.start(nursery)
    await b.start(nursery)
    await a.wait_connected("b")
    # No checkpoint between the sends, so the peer reads nothing: what the network does not hold fills the queue.
    sent = [chunk(number) for number in range(2_000)]
    taken = [a.transport.send_nowait("b", message) for message in sent]
    count = taken.index(False)
    assert taken == [True] * count + [False] * (len(sent) - count)
    assert (a.peer("b").dropped_messages, a.peer("b").queued_messages) == (len(sent) - count, QUEUE)
    assert [await b.inbox.receive() for _ in range(count)] == [("a", message) for message in sent[:count]]
    assert a.peer("b").queued_messages == 0
    await a.exchange(b, numbered(99))


async def test_a_transport_that_does_not_run_sends_nothing(world: World, nursery: trio.Nursery) -> None:
    a, b = world.member("a"), world.member("b")
    await b.start(nursery)
    assert not a.transport.send_nowait("b", numbered(1))
    await a.start(nursery)
    await a.exchange(b, numbered(2))
    await a.stop()
    before = a.peer("b").dropped_messages
    assert not a.transport.send_nowait("b", numbered(3))
    assert a.peer("b").dropped_messages == before + 1
    assert not a.peer("b").connected


async def test_who_is_no_peer_gets_nothing(world: World, nursery: trio.Nursery) -> None:
    a, c = world.member("a", peers="ab"), world.member("c")
    await a.start(nursery)
    await c.start(nursery)
    assert not a.transport.send_nowait("c", numbered(1))
    assert not a.transport.send_nowait("a", numbered(1))
    assert set(a.transport.statistics().peers) == {"b"}


async def test_a_transport_runs_again_after_it_has_stopped(world: World, nursery: trio.Nursery) -> None:
    a, b = world.member("a"), world.member("b")
    await a.start(nursery)
    await b.start(nursery)
    await a.reach(b, numbered(1))
    await b.stop()
    await b.start(nursery)
    await a.reach(b, numbered(2))
    await b.reach(a, numbered(3))
    assert b.peer("a").received_messages == b.received.count(("a", numbered(2)))  # counters begin anew


async def test_a_new_transport_takes_the_place_of_a_stopped_one(world: World, nursery: trio.Nursery) -> None:
    a, old = world.member("a"), world.member("b")
    await a.start(nursery)
    await old.start(nursery)
    await a.reach(old, numbered(1))
    await old.stop()
    new = world.member("b")
    await new.start(nursery)
    await a.reach(new, numbered(2))
    await new.reach(a, numbered(3))
    assert ("a", numbered(2)) not in old.received


async def test_a_transport_runs_for_one_node_at_a_time(world: World, nursery: trio.Nursery) -> None:
    a = world.member("a")
    await a.start(nursery)
    with pytest.raises(ConfigurationError, match="runs already"):
        await a.transport.run(a.endpoint)
    b = world.member("b")
    await b.start(nursery)
    await a.exchange(b, numbered(1))  # and is not disturbed by the attempt


async def test_a_peer_that_never_runs_delays_no_other(world: World, nursery: trio.Nursery) -> None:
    a, c = world.member("a"), world.member("c")
    await a.start(nursery)
    await c.start(nursery)
    await a.wait_connected("c")
    for number in range(10 * QUEUE):
        a.transport.send_nowait("b", numbered(number))
        await a.exchange(c, numbered(number))
    await wait_until(lambda: not a.transport.send_nowait("b", numbered(0)))
    assert not a.peer("b").connected


async def test_a_node_whose_inbox_is_full_disturbs_no_other(world: World, nursery: trio.Nursery) -> None:
    a, b, c = world.member("a"), world.member("b", full=True), world.member("c")
    for member in (a, b, c):
        await member.start(nursery)
    for number in range(3):
        await a.exchange(b, numbered(number))
        await a.exchange(c, numbered(number))


async def test_messages_up_to_the_largest_size_arrive(world: World, nursery: trio.Nursery) -> None:
    a, b = world.member("a"), world.member("b")
    await a.start(nursery)
    await b.start(nursery)
    message = message_of(MAX_MESSAGE_BYTES)
    assert len(encode(message)) == MAX_MESSAGE_BYTES
    await a.exchange(b, message)


async def test_a_larger_message_is_refused_and_does_no_harm(world: World, nursery: trio.Nursery) -> None:
    a, b = world.member("a"), world.member("b")
    await a.start(nursery)
    await b.start(nursery)
    await a.exchange(b, numbered(1))
    before = a.peer("b").dropped_messages
    assert not a.transport.send_nowait("b", message_of(MAX_MESSAGE_BYTES + 1))
    assert a.peer("b").dropped_messages == before + 1
    await a.exchange(b, numbered(2))
    assert b.transport.statistics().protocol_errors == 0


async def test_a_peer_that_the_node_refuses_is_counted_and_comes_again(world: World, nursery: trio.Nursery) -> None:
    a, b = world.member("a"), world.member("b")
    await a.start(nursery)
    await b.start(nursery)
    await a.exchange(b, numbered(1))
    await b.exchange(a, numbered(2))
    b.transport.refuse("a", "it says what cannot be")
    await wait_until(lambda: b.transport.statistics().refused_by_reason == {"REFUSED_MESSAGE": 1})
    assert b.transport.statistics().protocol_errors == 1
    await b.exchange(a, numbered(3))  # the other direction is not concerned
    await a.reach(b, numbered(4))


async def check_refused(a: Member, b: Member, nursery: trio.Nursery) -> None:
    await a.start(nursery)
    await b.start(nursery)

    def refused() -> bool:
        a.transport.send_nowait("b", numbered(1))
        return b.transport.statistics().refused_handshakes > 0

    await wait_until(refused)
    assert b.received == []


async def test_another_cluster_is_refused(world: World, nursery: trio.Nursery) -> None:
    await check_refused(world.member("a", cluster_id="other"), world.member("b"), nursery)


async def test_an_unknown_node_is_refused(world: World, nursery: trio.Nursery) -> None:
    await check_refused(world.member("a"), world.member("b", peers="bc"), nursery)


@pytest.mark.parametrize(("voters", "others"), [("ab", "abc"), ("abc", "ab"), ("ac", "bc")])
async def test_a_cluster_that_began_with_other_voters_is_refused(
    world: World, nursery: trio.Nursery, voters: str, others: str
) -> None:
    await check_refused(world.member("a", voters=voters), world.member("b", voters=others), nursery)


@pytest.mark.parametrize(("voters", "others"), [("abc", "abc"), ("abc", ""), ("", "abc")])
async def test_a_cluster_that_began_with_the_same_voters_or_does_not_know_is_not(
    world: World, nursery: trio.Nursery, voters: str, others: str
) -> None:
    a, b = world.member("a", voters=voters), world.member("b", voters=others)
    await a.start(nursery)
    await b.start(nursery)
    await a.exchange(b, numbered(1))


async def test_messages_are_counted(world: World, nursery: trio.Nursery) -> None:
    a, b = world.member("a"), world.member("b")
    await a.start(nursery)
    await b.start(nursery)
    await a.wait_connected("b")
    await b.wait_connected("a")
    for number in range(3):
        await a.exchange(b, numbered(number))
    await b.exchange(a, numbered(0))
    assert (a.peer("b").sent_messages, a.peer("b").received_messages) == (3, 1)
    assert (b.peer("a").sent_messages, b.peer("a").received_messages) == (1, 3)
    snapshot = a.transport.statistics()
    snapshot.peers["b"].sent_messages = 99
    assert a.peer("b").sent_messages == 3  # statistics are a copy


async def test_an_exception_of_the_node_ends_the_run(world: World, nursery: trio.Nursery) -> None:
    if isinstance(world.network, SimulatedNetwork):
        pytest.skip("one task delivers to all simulated nodes, whose inboxes do not raise")
    a, b = world.member("a"), world.member("b")

    def deliver(_sender: str, _message: Message) -> bool:
        raise RuntimeError("the node is broken")

    endpoint = Endpoint("test", "b", b.endpoint.peers, deliver, MAX_MESSAGE_BYTES)
    await a.start(nursery)
    ended = trio.Event()

    async def run_b(task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC128 - the transport calls started()
        with pytest.RaisesGroup(
            pytest.RaisesExc(RuntimeError, match="broken"), allow_unwrapped=True, flatten_subgroups=True
        ):
            await b.transport.run(endpoint, task_status=task_status)
        ended.set()

    await nursery.start(run_b)

    def failed() -> bool:
        a.transport.send_nowait("b", numbered(1))
        return ended.is_set()

    await wait_until(failed)
