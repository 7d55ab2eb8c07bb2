"""Every node does whatever a client asks of it, while leaders end, in simulated time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from typing_extensions import override

from raft_actors import ConfigurationError, LeadershipLost, Node, NotLeader, ResultLost, SessionExpired
from raft_actors.service.connection import Context, ServiceConfig
from raft_actors.service.kept import KEPT_REPLIES, MOST_BYTES, NOT_KEPT
from raft_actors.service.keyvalue import KeyValue
from raft_actors.service.operations import HEAVIEST, Operation, operation, pipeline, transaction
from raft_actors.service.patience import OutcomeUnknown, PatientReplica
from raft_actors.service.replies import OK, ErrorReply, Reply, SimpleString
from raft_actors.testing import SimulatedCluster, open_cluster
from raft_actors.testing.cluster import UNRELIABLE
from tests.service.support import ADDRESSES, Conversation, LoneReplica, LoneSession, request

T = TypeVar("T")

CLIENTS = 4

Cluster = SimulatedCluster[bytes, Reply]


class Unwrapped:
    """A node of a simulated cluster, whose state machine has another one around it."""

    def __init__(self, node: Node[Any]) -> None:
        self._node = node

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    async def read(self, query: Callable[[Any], T]) -> T:
        return await self._node.read(lambda machine: query(machine.inner))


def client(cluster: Cluster, node_id: str, config: ServiceConfig | None = None) -> Conversation:
    """A client that is connected to this node."""
    config = config or ServiceConfig(addresses=ADDRESSES, max_command_bytes=256)  # so that a pipeline takes several
    node: Any = Unwrapped(cluster.node(node_id))
    return Conversation(config=config, context=Context(node, KeyValue(), config))


@pytest.mark.parametrize("seed", range(1, 4))
async def test_a_failover_is_invisible_at_a_node_that_lives(seed: int, autojump_clock: MockClock) -> None:
    """Leaders are killed, told to hand over, and a tenth of all messages is lost: each command is carried out once, in
    the order in which its client has sent it, and no client meets an error."""
    async with open_cluster(KeyValue, nodes=3, seed=seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        cluster.network.set_faults(UNRELIABLE)
        survivor = next(node_id for node_id in cluster.node_ids if node_id != leader)
        rounds: list[int] = []
        context = client(cluster, survivor).context
        assert context is not None

        async def work(number: int, done: trio.Event) -> None:
            conversation, count, own = Conversation(context=context), 0, b"own:%d" % number
            pipelined = [request("INCR", own), request("GET", own), request("INCR", "all")] * 8
            while not done.is_set():
                replies = (await conversation.say(b"".join(pipelined))).split(b"\r\n")
                for own_count, length, seen, _all in zip(*(iter(replies[:-1]),) * 4, strict=True):
                    count += 1
                    assert (own_count, length, seen) == (b":%d" % count, b"$%d" % len(b"%d" % count), b"%d" % count)
                await conversation.say(request("MULTI") + request("INCR", "all") + request("EXEC"))
                assert (await conversation.ask("GET", own)).endswith(b"\r\n%d\r\n" % count)
                await trio.sleep(0.02)
            rounds.append(count // 8)

        async with context.any_node.gathered.open(), trio.open_nursery() as nursery:
            done = trio.Event()
            for number in range(CLIENTS):
                nursery.start_soon(work, number, done)
            for _ in range(10):
                await trio.sleep(cluster.rng.uniform(0.3, 0.8))
                now_leads = cluster.leader()
                if now_leads is not None and now_leads != survivor:
                    cluster.crash(now_leads)
                    await trio.sleep(1.0)
                    await cluster.start(now_leads)
                elif now_leads == survivor:
                    await cluster.node(survivor).transfer_leadership()
            done.set()
        cluster.reliable()
        await cluster.wait_for_one_leader()
        assert await client(cluster, survivor).ask("GET", "all") == b"$%d\r\n%d\r\n" % (
            len(str(9 * sum(rounds))),
            9 * sum(rounds),
        )
        assert min(rounds) > 2, "they have met little"


async def test_without_a_majority_a_client_is_told_in_time(autojump_clock: MockClock) -> None:
    async with open_cluster(KeyValue, nodes=3, seed=1) as cluster:
        leader = await cluster.wait_for_one_leader()
        survivor, other = (node_id for node_id in cluster.node_ids if node_id != leader)
        config = ServiceConfig(addresses=ADDRESSES, patience_s=5.0)
        conversation = client(cluster, survivor, config)
        assert await conversation.ask("SET", "k", "v") == b"+OK\r\n"
        cluster.crash(leader)
        cluster.crash(other)
        begun_at = trio.current_time()
        assert (await conversation.ask("SET", "k", "w")).startswith(b"-UNKNOWN the outcome of this write")
        assert trio.current_time() - begun_at == pytest.approx(5.0)
        for words in (["SET", "k", "w"], ["GET", "k"]):  # no leader is known by now
            begun_at = trio.current_time()
            replies = await conversation.say(request(*words) * 2)
            assert replies == b"-CLUSTERDOWN no leader is known, and nothing was done: try again\r\n" * 2
            assert trio.current_time() - begun_at == pytest.approx(5.0, abs=0.1)
        await cluster.start(leader)
        assert await conversation.ask("GET", "k") in (b"$1\r\nv\r\n", b"$1\r\nw\r\n")


@attrs.define
class Elsewhere(LoneReplica):
    """A node that does not lead, beside one that does.

    Attributes:
        lose: what to raise for the next commands of a session.
        sessions: whether all members know any.
    """

    lose: list[Exception] = attrs.field(factory=list)
    sessions: bool = True

    @override
    async def propose(self, command: bytes, *, forward: bool = True) -> Reply:
        if not forward:
            raise NotLeader("n2")
        return (await self.propose_many([command]))[0]

    @override
    async def propose_many(self, commands: Sequence[bytes], *, forward: bool = True) -> list[Reply]:
        if not forward:
            raise NotLeader("n2")
        if self.lose:
            raise self.lose.pop(0)
        return await super().propose_many(commands)

    @override
    @asynccontextmanager
    async def session(self, *, end: bool = True) -> AsyncGenerator[LoneSession]:
        if not self.sessions:
            raise ConfigurationError("node 'n2' is of a version that knows no sessions")
        yield LoneSession(self)


INCREMENT = operation(Operation.INCREMENT, b"k", 1)


async def test_a_session_is_kept_but_not_after_an_idle_hour_or_its_end() -> None:
    replica = Elsewhere()
    patient = PatientReplica(replica, 1.0, 1000)
    assert await patient.write([INCREMENT]) == [1]
    first = patient._open
    assert await patient.write([INCREMENT] * 3) == [2, 3, 4]
    assert patient._open is first
    assert first is not None
    first.used_at -= 2000
    assert await patient.write([INCREMENT]) == [5]
    second = patient._open
    assert second is not first
    replica.lose = [SessionExpired(7)]
    (failed,) = await patient.write([INCREMENT])
    assert isinstance(failed, SessionExpired)
    assert await patient.write([INCREMENT]) == [6]
    assert patient._open is not second


async def test_the_end_of_a_session_is_not_that_of_its_successor() -> None:
    @attrs.define
    class Slow(Elsewhere):
        refused: trio.Event | None = attrs.field(factory=trio.Event)

        @override
        async def propose_many(self, commands: Sequence[bytes], *, forward: bool = True) -> list[Reply]:
            if forward and self.refused is not None:
                await self.refused.wait()
                raise SessionExpired(7)
            return await super().propose_many(commands, forward=forward)

    replica = Slow()
    patient = PatientReplica(replica, 1.0, 1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(patient.write, [INCREMENT])
        await wait_all_tasks_blocked()
        patient._open = None  # as a write does that was refused before
        refused, replica.refused = replica.refused, None
        assert await patient.write([INCREMENT]) == [1]
        successor = patient._open
        assert refused is not None
        refused.set()
    assert patient._open is successor


async def test_what_follows_an_unknown_outcome_is_not_carried_out() -> None:
    replica = Elsewhere()
    patient = PatientReplica(replica, 1.0, 64)
    fitting = len(patient._fitting([INCREMENT] * 9))
    assert 1 < fitting < 9
    assert await patient.write([INCREMENT] * 9) == list(range(1, 10))
    replica.lose = [ResultLost(3)]
    assert [type(item) for item in await patient.write([INCREMENT] * 9)] == (
        [OutcomeUnknown] * fitting + [NotLeader] * (9 - fitting)
    )
    assert replica.machine.get(b"k") == b"9"


@pytest.mark.parametrize("waits_s", [0.5, 0.0])
async def test_a_read_is_given_up_only_where_the_leader_never_answers(
    waits_s: float, autojump_clock: MockClock
) -> None:
    """A node that loses touch with its leader names it, like one whose leader is too old to be asked."""

    @attrs.define
    class Refused(LoneReplica):
        refusals: int = 3

        @override
        async def read(self, query: Callable[[Any], T]) -> T:
            if self.refusals:
                self.refusals -= 1
                await trio.sleep(waits_s)
                raise NotLeader("n2")
            return await super().read(query)

    patient = PatientReplica(Refused(), 10.0, 1000)
    if waits_s:
        assert await patient.read(lambda machine: machine.get(b"k")) is None
    else:
        with pytest.raises(NotLeader):
            await patient.read(lambda machine: machine.get(b"k"))
        assert trio.current_time() < 0.1


async def test_members_that_know_no_sessions() -> None:
    replica = Elsewhere(sessions=False)
    conversation = Conversation(replica)
    assert await conversation.say(request("INCR", "k") * 2) == b":1\r\n:2\r\n"
    replica.lose = [LeadershipLost(4, None, "n2")]
    assert (await conversation.ask("INCR", "k")).startswith(b"-UNKNOWN the outcome of this write: leadership of term 4")


def test_a_pipeline_ends_early_where_it_takes_long_and_tells() -> None:
    machine = KeyValue()
    clear, count = operation(Operation.CLEAR), operation(Operation.COUNT_KEYS)
    assert machine.apply(pipeline([INCREMENT, clear, count, INCREMENT])) == [1, OK, 0, 1]
    assert machine.apply(pipeline([clear] * 20)) == [OK] * (HEAVIEST // 1000)
    large = operation(Operation.APPEND, b"large", b"x" * (40 << 20))
    assert machine.apply(pipeline([INCREMENT, large, large, INCREMENT])) == [1, 40 << 20]
    assert isinstance(machine.apply(pipeline([large])), list)
    for nested in (pipeline([INCREMENT]), transaction([INCREMENT])):
        with pytest.raises(ValueError, match="a transaction in a transaction"):
            machine.apply(pipeline([INCREMENT, nested]))
    assert machine.get(b"k") == b"1"


def test_what_a_session_keeps_of_replies() -> None:
    replies = [1, -(2**63), None, b"", b"\xff", OK, SimpleString("none"), ErrorReply("ERR a\udcffb"), [1, [b"x", None]]]
    for reply in [*replies, replies]:
        assert KEPT_REPLIES.decode(KEPT_REPLIES.encode(reply)) == reply
    assert KEPT_REPLIES.decode(KEPT_REPLIES.encode(OK)) is OK
    half = b"x" * (MOST_BYTES // 2)
    assert KEPT_REPLIES.decode(KEPT_REPLIES.encode([half, half, b"x", 7, b""])) == [half, half, NOT_KEPT, 7, b""]
    with pytest.raises(TypeError, match="no reply of the state machine: set"):
        KEPT_REPLIES.encode({1})
