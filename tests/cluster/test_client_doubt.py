"""No client carries a command out twice, or says that it was not proposed, where a node may have carried it out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock
from typing_extensions import override

from raft_actors import (
    LeadershipLost,
    NotCommitted,
    NotLeader,
    OutcomeUnknown,
    RaftError,
    ResultLost,
    SessionExpired,
    SessionState,
    Unavailable,
    open_client,
)
from raft_actors.node.client_messages import Ask, Notice, Outcome, Tell, entries_of, pack, packed, unpack
from raft_actors.node.client_refusals import encode_refusal
from raft_actors.raft.sessions import REGISTER, close
from raft_actors.transports.conversation import Conversation, Dialer
from tests.cluster.client_support import ReadableLog, client_of, open_readable
from tests.cluster.support import seeds


@seeds(3)
async def test_no_command_is_carried_out_twice_where_the_session_ends_before_any_is_answered(seed: int) -> None:
    """One of them hears of the end first. That is no answer for the others."""
    async with open_readable(seed) as cluster, client_of(cluster) as client:
        leader = await cluster.wait_for_one_leader()
        assert await client.propose(b"first") == 1
        unknown: list[bytes] = []

        async def propose(command: bytes) -> None:
            with pytest.raises(SessionExpired) as expired:
                await client.propose(command)
            assert not expired.value.certain
            unknown.append(command)

        commands = [b"%d" % number for number in range(4)]
        async with trio.open_nursery() as nursery:
            for name in cluster.node_ids:
                cluster.network.cut(name, "client")  # no answer comes back
            for command in commands:
                nursery.start_soon(propose, command)
            await trio.sleep(0.2)
            await cluster.node(leader)._submission.propose_entry(close(client._session.session_id or 0))
            for name in cluster.node_ids:
                cluster.network.mend(name, "client")
        assert sorted(unknown) == commands
        await cluster.one(b"last", 3)
        assert sorted(entry.command for entry in cluster.facts.history) == [*commands, b"first", b"last"]


@attrs.define(eq=False)
class Node(Conversation):
    """Begins sessions, and says to proposals what it is to say.

    Attributes:
        says: that, in order: an error, or an outcome of each entry. The last one is said for ever.
        proposed: how many entries each proposal had.
        begins: what it says to who wants to begin a session, if that is not well.
    """

    says: list[Exception | Outcome]
    begins: Exception | None = None
    proposed: list[int] = attrs.field(factory=list[int])
    _told: list[bytes] = attrs.field(factory=list[bytes])
    _waits: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    def greet(self) -> None:
        """What it says first."""
        members = {"n1": "a:1"}
        notice = Notice(
            node_id="n1", term=1, leader="n1", config=1, members=members, most_requests=9, most_bytes=10_000
        )
        self._told.append(pack(Tell.NOTICE, 0, notice.encode()))

    def _answer(self, entries: list[bytes]) -> tuple[Tell, bytes]:
        said: Exception | Outcome | None = self.begins
        known: list[Any] = [[Outcome.BEGUN, 7]]
        if entries[0][0] != REGISTER:
            self.proposed.append(len(entries))
            said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
            known = [[said, b"\x01" if said == Outcome.RESULT else 7]] * len(entries)
        if isinstance(said, Exception):
            return Tell.REFUSAL, encode_refusal(said)
        return Tell.RESULTS, packed([9, *known])

    @override
    async def send(self, payloads: Sequence[bytes]) -> None:
        await trio.lowlevel.checkpoint()
        for payload in payloads:
            kind, number, body = unpack(payload)
            if kind == Ask.PING:
                self._told.append(pack(Tell.PONG, number))
            elif kind == Ask.PROPOSE:
                told, answer = self._answer(entries_of(body))
                self._told.append(pack(told, number, answer))
        self._waits.unpark_all()

    @override
    async def receive(self) -> list[bytes]:
        await trio.lowlevel.checkpoint()
        while not self._told:
            await self._waits.park()
        told, self._told = self._told, []
        return told

    @override
    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@attrs.define(eq=False)
class Dialled(Dialer):
    """Reaches the node."""

    node: Node

    @override
    async def dial(self, address: str, cluster_id: str, node_id: str | None = None) -> Conversation:
        await trio.lowlevel.checkpoint()
        self.node.greet()
        return self.node


async def told(node: Node, commands: Sequence[bytes]) -> RaftError:
    """What a client is told that proposes these together."""
    async with open_client(["a:1"], ReadableLog, cluster="c", dialer=Dialled(node), patience_s=5.0, seed=1) as client:
        with pytest.raises(RaftError) as raised:
            await client.propose_many(commands)
        return raised.value


@pytest.mark.parametrize("met", [ResultLost(7), NotCommitted(1, 8, (1,)), LeadershipLost(1, 7)])
async def test_commands_that_went_together_are_not_proposed_anew_where_some_may_have_taken_effect(
    met: RaftError, autojump_clock: MockClock
) -> None:
    node = Node([met, Outcome.EXPIRED, Outcome.RESULT])
    error = await told(node, [b"a", b"b"])
    assert isinstance(error, SessionExpired)
    assert not error.certain
    assert node.proposed == [2, 2]
    gone = Node([met, NotLeader(None)])
    assert type(await told(gone, [b"a", b"b"])) is (ResultLost if isinstance(met, ResultLost) else OutcomeUnknown)


async def test_one_command_that_is_not_committed_is_proposed_anew(autojump_clock: MockClock) -> None:
    node = Node([NotCommitted(1, 8), Outcome.EXPIRED, NotCommitted(1, 8), NotLeader(None)])
    assert type(await told(node, [b"a"])) is Unavailable


async def test_a_command_whose_session_could_not_be_begun_was_not_proposed(autojump_clock: MockClock) -> None:
    node = Node([NotLeader(None)], begins=LeadershipLost(1, 7))
    assert type(await told(node, [b"a", b"b"])) is Unavailable
    async with open_client(["a:1"], ReadableLog, cluster="c", dialer=Dialled(node), patience_s=5.0) as client:
        with pytest.raises(Unavailable):
            await client.propose(b"a")
        async with client.session(end=False) as session:
            with pytest.raises(Unavailable):
                await session.propose(b"a")
    assert node.proposed == []


async def test_what_was_left_open_is_not_said_to_be_new_to_a_session_that_has_ended() -> None:
    async with open_readable(1) as cluster:
        await cluster.wait_for_one_leader()
        async with client_of(cluster) as client, client.session() as session:
            assert await session.propose(b"a") == 1
            state = session.state()
        left = SessionState(state.session, 2, {1: b"a"})
        async with client_of(cluster, name="two") as client, client.session(left, end=False) as again:
            [outcome] = (await again.outcomes()).values()
        assert isinstance(outcome, SessionExpired)
        assert not outcome.certain
