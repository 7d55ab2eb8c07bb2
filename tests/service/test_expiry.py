"""Keys that expire by log time: alike on every replica, whatever their clocks say."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from raft_actors.service.connection import Context, ServiceConfig
from raft_actors.service.deadlines import MOST_AT_ONCE, Deadlines
from raft_actors.service.keyvalue import KeyValue
from raft_actors.service.operations import (
    ExpireOption,
    Operation,
    SetOption,
    is_timed,
    many,
    operation,
    pipeline,
    set_value,
    transaction,
)
from raft_actors.service.packing import pack
from raft_actors.service.replies import OK, Reply
from raft_actors.service.timekeeping import keep_time
from raft_actors.testing import SimulatedCluster, open_cluster
from tests.service.support import ADDRESSES, Conversation, LoneReplica, request
from tests.service.test_any_node import Unwrapped
from tests.service.test_keyvalue import Cut

keys = st.sampled_from([b"a", b"b", b"c"])
times = st.sampled_from([-5, 0, 1, 3, 10, 2**63 - 1])
values = st.binary(max_size=2)


@attrs.define
class Model:
    """Values with their deadlines, said in the plainest way."""

    now_ms: int = 0
    held: dict[bytes, tuple[bytes, float]] = attrs.field(factory=dict)

    def pass_time(self, now_ms: int) -> None:
        self.now_ms = max(self.now_ms, now_ms)
        self.held = {key: both for key, both in self.held.items() if both[1] > self.now_ms}

    def put(self, key: bytes, value: bytes, left_ms: float) -> None:
        self.held[key] = value, self.now_ms + left_ms
        self.pass_time(self.now_ms)

    def apply(self, number: Operation, key: bytes, *arguments: Any) -> object:
        value, deadline = self.held.get(key, (None, float("inf")))
        never, left_ms = deadline == float("inf"), deadline - self.now_ms
        match number:
            case Operation.SET:
                self.put(key, arguments[0], float("inf"))
                return OK
            case Operation.SET_WITH_OPTIONS | Operation.SET_FOR:
                asked = SetOption(arguments[1])
                refused = (SetOption.IF_ABSENT if value is not None else SetOption.IF_PRESENT) in asked
                if not refused:
                    kept = left_ms if SetOption.KEEP_DEADLINE in asked else float("inf")
                    self.put(key, arguments[0], arguments[2] if number is Operation.SET_FOR else kept)
                return value if SetOption.RETURN_OLD in asked else None if refused else OK
            case Operation.GET_AND_DELETE:
                self.held.pop(key, None)
                return value
            case Operation.PERSIST | Operation.GET_AND_PERSIST:
                if value is not None:
                    self.put(key, value, float("inf"))
                return value if number is Operation.GET_AND_PERSIST else int(value is not None and not never)
            case Operation.EXPIRE | Operation.GET_AND_EXPIRE:
                options = ExpireOption(arguments[1] if number is Operation.EXPIRE else 0)
                wanted = arguments[0]
                done = value is not None and not (
                    (ExpireOption.IF_NONE in options and not never)
                    or (ExpireOption.IF_ANY in options and never)
                    or (ExpireOption.IF_LATER in options and wanted <= left_ms)
                    or (ExpireOption.IF_SOONER in options and wanted >= left_ms)
                )
                if done and value is not None:
                    self.put(key, value, wanted)
                return value if number is Operation.GET_AND_EXPIRE else int(done)
            case Operation.TIME_LEFT:
                return -2 if value is None else -1 if never else (left_ms + arguments[0] // 2) // arguments[0]
            case Operation.INCREMENT:
                self.held[key] = b"%d" % (int(value or 0) + arguments[0]), deadline
                return int(self.held[key][0])
            case _:
                return value


set_options = st.sampled_from([0, 1, 2, 4, 5, 6])
expire_options = st.sampled_from([0, 1, 2, 4, 8, 6, 10])
steps = st.one_of(
    st.tuples(st.just(Operation.SET), keys, values),
    st.tuples(st.just(Operation.SET_WITH_OPTIONS), keys, values, st.sampled_from([0, 1, 2, 4, 8, 9, 10, 12])),
    st.tuples(st.just(Operation.SET_FOR), keys, values, set_options, times),
    st.tuples(st.just(Operation.EXPIRE), keys, times, expire_options),
    st.tuples(st.just(Operation.GET_AND_EXPIRE), keys, times),
    st.tuples(st.just(Operation.TIME_LEFT), keys, st.sampled_from([1, 1000])),
    *(
        st.tuples(st.just(number), keys)
        for number in (Operation.GET, Operation.GET_AND_DELETE, Operation.PERSIST, Operation.GET_AND_PERSIST)
    ),
    st.integers(0, 8),
)


@given(st.lists(steps, max_size=40), st.lists(st.integers(0, 60), max_size=5), st.integers(0, 40))
def test_keys_expire_as_in_a_model_and_survive_snapshots(
    sequence: Sequence[Any], sizes: Sequence[int], restarts_at: int
) -> None:
    machine, model = KeyValue(), Model()
    for position, step in enumerate(sequence):
        if isinstance(step, int):
            machine.pass_time(model.now_ms + step)
            model.pass_time(model.now_ms + step)
        else:
            number, key, *arguments = step
            assert machine.apply(operation(number, key, *arguments)) == model.apply(number, key, *arguments)
        assert {key: machine.get(key) for key in machine.list_keys()} == {k: v for k, (v, _) in model.held.items()}
        if position == restarts_at:
            copy = KeyValue()
            copy.apply(operation(Operation.SET_FOR, b"left over", b"from before", 0, 1))
            trio.run(copy.restore, Cut(machine.snapshot(), sizes))
            copy.pass_time(model.now_ms)  # which is nothing new to it
            assert b"".join(copy.snapshot()) == b"".join(machine.snapshot())
            machine = copy


def test_what_else_changes_a_key_with_a_deadline() -> None:
    machine = KeyValue()
    for kept, command in (
        (True, operation(Operation.INCREMENT, b"k", 1)),
        (True, operation(Operation.APPEND, b"k", b"1")),
        (True, operation(Operation.SET_IF_ABSENT, b"k", b"1")),
        (False, set_value(b"k", b"1")),
        (False, transaction([set_value(b"k", b"1")])),
        (False, many(Operation.SET_MANY, [b"k", b"1"])),
        (False, pipeline([many(Operation.DELETE, [b"k"]), operation(Operation.SET_IF_ABSENT, b"k", b"1")])),
        (False, pipeline([operation(Operation.CLEAR), operation(Operation.SET_IF_ABSENT, b"k", b"1")])),
    ):
        machine.apply(operation(Operation.SET_FOR, b"k", b"1", 0, 10))
        machine.apply(command)
        machine.pass_time(machine.deadlines.now_ms + 10)
        assert (machine.get(b"k") is None) == kept, command


def test_a_snapshot_without_time_is_as_it_was() -> None:
    machine, copy = KeyValue(), KeyValue()
    machine.apply(set_value(b"k", b"v"))
    old = pack(b"raft_actors key-value 1") + pack(1) + pack(b"k") + pack(b"v")
    assert b"".join(machine.snapshot()) == old
    machine.pass_time(5)
    assert b"".join(machine.snapshot()) != old
    copy.pass_time(9)
    trio.run(copy.restore, Cut([old], []))
    assert (copy.get(b"k"), copy.deadlines.now_ms) == (b"v", 0)
    machine.apply(operation(Operation.EXPIRE, b"k", 7, 0))
    whole = b"".join(machine.snapshot())
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="snapshot"):
            trio.run(copy.restore, Cut([whole[:length]], []))


def test_of_many_that_are_due_one_entry_removes_some() -> None:
    machine = KeyValue()
    for number in range(MOST_AT_ONCE + 5):
        machine.apply(operation(Operation.SET_FOR, b"%d" % number, b"", 0, 10))
    machine.pass_time(10)
    assert len(machine) == 5
    machine.pass_time(10)
    assert len(machine) == 5
    machine.pass_time(11)
    assert len(machine) == 0


def test_deadlines_that_change_often_take_no_room() -> None:
    deadlines = Deadlines(lambda: 0.0)
    for number in range(10_000):
        deadlines.set(b"k", 10_000 - number)
    assert len(deadlines._heap) < 3000
    assert list(deadlines.pass_time(1)) == [b"k"]


def test_which_commands_need_the_time() -> None:
    machine = KeyValue()
    left = operation(Operation.TIME_LEFT, b"k", 1)
    for timed in (operation(Operation.SET_FOR, b"k" * 300, b"v" * 70_000, 0, 2**40), left):
        assert is_timed(timed)
        machine.apply(timed)
    for other in (set_value(b"\x11", b""), many(Operation.DELETE, [b"\x12"] * 20), transaction([left])):
        assert not is_timed(other)


# --- through the service ---


async def test_how_much_is_left_between_entries_is_reckoned_here() -> None:
    now = 100.0
    replica = LoneReplica(KeyValue(lambda: now))
    conversation = Conversation(replica)
    replica.machine.pass_time(1)
    assert await conversation.say(request("SET", "k", "v", "PX", "2000") + request("PTTL", "k")) == b"+OK\r\n:2000\r\n"
    now += 0.7
    assert await conversation.ask("PTTL", "k") == b":1300\r\n"
    assert await conversation.ask("TTL", "k") == b":1\r\n"
    now += 9.0
    assert await conversation.say(request("PTTL", "k") + request("GET", "k")) == b":0\r\n$1\r\nv\r\n"
    assert b"db0:keys=1,expires=1," in await conversation.ask("INFO", "keyspace")


async def test_the_time_comes_with_what_needs_it() -> None:
    """By way of a session, wherever it is in a pipeline or a transaction."""
    conversation = Conversation(LoneReplica())
    set_for, plain = request("SET", "k", "v", "EX", "10"), request("SET", "k", "v")
    for wire in (set_for, plain + set_for, request("TTL", "k") + plain, request("MULTI") + set_for + request("EXEC")):
        conversation.replica.numbered = 0
        await conversation.say(wire)
        assert conversation.replica.numbered == 1, wire
    for wire in (plain, request("TTL", "k"), request("MULTI") + plain + request("EXEC")):
        conversation.replica.numbered = 0
        await conversation.say(wire)
        assert conversation.replica.numbered == 0, wire


Cluster = SimulatedCluster[bytes, Reply]


@attrs.define
class Nodes:
    """The nodes of a simulated cluster with what their services do about time."""

    cluster: Cluster
    nursery: trio.Nursery

    def serve(self, node_id: str) -> Conversation:
        node: Any = Unwrapped(self.cluster.node(node_id))
        machine = node._supervisor.state_machine.inner
        config = ServiceConfig(addresses=ADDRESSES)
        context = Context(node, machine, config)
        self.nursery.start_soon(keep_time, context)
        return Conversation(config=config, context=context)


@pytest.mark.parametrize("seed", [1, 2])
async def test_keys_expire_on_every_node_in_time(seed: int, autojump_clock: MockClock) -> None:
    """Also where the leader ends in between: then a second and the failover later, at most."""
    machine = partial(KeyValue, trio.current_time)
    async with open_cluster(machine, nodes=3, seed=seed) as cluster, trio.open_nursery() as nursery:
        nodes = Nodes(cluster, nursery)
        leader = await cluster.wait_for_one_leader()
        clients = {node_id: nodes.serve(node_id) for node_id in cluster.node_ids}
        survivor = next(node_id for node_id in cluster.node_ids if node_id != leader)
        here = clients[survivor]
        await trio.sleep(100)  # nobody has counted that time yet
        for node_id, client in clients.items():
            assert await client.ask("SET", node_id, "v", "PX", "700") == b"+OK\r\n"
        assert await here.ask("SET", "long", "v", "EX", "100") == b"+OK\r\n"
        await trio.sleep(0.6)
        assert await here.ask("EXISTS", *cluster.node_ids) == b":3\r\n"
        await trio.sleep(0.2)
        for client in clients.values():
            assert await client.ask("RAFT.LOCAL", "EXISTS", *cluster.node_ids, "long") == b":1\r\n"
        left = int((await here.ask("PTTL", "long"))[1:])
        assert 99_000 <= left <= 99_300
        await trio.sleep(60.5)
        cluster.crash(leader)
        await cluster.node(survivor).take_snapshot()
        await trio.sleep(30)
        await cluster.start(leader)
        clients[leader] = nodes.serve(leader)
        for client in clients.values():
            assert await client.ask("EXISTS", "long") == b":1\r\n"
        await trio.sleep(12)
        for client in clients.values():
            assert await client.ask("RAFT.LOCAL", "EXISTS", "long") == b":0\r\n"
        written = cluster.node(survivor).status().last_index
        await trio.sleep(30)
        assert cluster.node(survivor).status().last_index == written  # nothing is to expire, so no time is told
        nursery.cancel_scope.cancel()


async def test_time_is_kept_by_a_node_that_was_removed_and_added_again(autojump_clock: MockClock) -> None:
    machine = partial(KeyValue, trio.current_time)
    async with open_cluster(machine, nodes=3, seed=3) as cluster, trio.open_nursery() as nursery:
        nodes = Nodes(cluster, nursery)
        leader = await cluster.wait_for_one_leader()
        clients = {node_id: nodes.serve(node_id) for node_id in cluster.node_ids}
        gone = next(node_id for node_id in cluster.node_ids if node_id != leader)
        await trio.sleep(3)
        for voters in ({*cluster.node_ids} - {gone}, cluster.node_ids):
            await cluster.node(leader).change_members({node_id: f"{node_id}.test:1" for node_id in sorted(voters)})
            await trio.sleep(3)
        await cluster.node(leader).transfer_leadership(gone)
        assert await clients[leader].ask("SET", "short", "v", "PX", "700") == b"+OK\r\n"
        await trio.sleep(1)
        assert await clients[leader].ask("RAFT.LOCAL", "EXISTS", "short") == b":0\r\n"
        nursery.cancel_scope.cancel()
