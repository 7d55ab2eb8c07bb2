"""Clients of a simulated cluster: they reach nodes over a network of their own, are sent from one to the next, and
never hear of some of their calls again. What they called and were told is the cluster's history.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio

from raft_actors.actors.pending import Pending
from raft_actors.client.errors import OutcomeUnknown
from raft_actors.errors import CommandFailed, NotCommitted, NotLeader, Overloaded, ProposalError
from raft_actors.node.node import Node
from raft_actors.node.sessions import SessionState
from raft_actors.read_levels import LINEARIZABLE, ReadLevel
from raft_actors.testing.faulty_cluster import FaultyCluster
from raft_actors.testing.linearizability import UNKNOWN
from raft_actors.testing.recording import RecordingStateMachine

if TYPE_CHECKING:
    from raft_actors.testing.history import Call

C = TypeVar("C")
R = TypeVar("R")
T = TypeVar("T")

_HOP_S = (0.0001, 0.002)
_PAUSE_S = (0.01, 0.05)
_PATIENCE_S = 1.0

#: How many of them let nodes hand their commands on.
_FORWARDED = 0.5


class Client(Generic[C, R]):
    """One client, which does one thing at a time. Made by `Simulation.client`.

    Attributes:
        name: as the history tells it.
        patience_s: how long it waits for a node's answer.
        stubborn: probability that it goes to the same node again after one that did not answer.
        hop_s: how long it takes to or from a node, drawn from this range.
        forward: whether it lets a node that does not lead forward its commands, instead of going to the leader itself.
    """

    def __init__(self, cluster: FaultyCluster[C, R], name: str) -> None:
        self.name = name
        self.patience_s = _PATIENCE_S
        self.stubborn: float = 0.0
        self.hop_s = _HOP_S
        self.forward: bool = Random(f"{cluster.seed} forwarding {name}").random() < _FORWARDED
        self._cluster = cluster
        self._rng = Random(f"{cluster.seed} client {name}")
        self._target: str | None = None
        self._session: SessionState | None = None

    def go_to(self, node_id: str) -> None:
        """Have it go to this node with its next call."""
        self._target = node_id

    async def call(self, command: C, *, retry: bool = False) -> R:
        """Propose a command to whoever leads, and return the state machine's result.

        Attempts that can't have taken effect are made again without end, so bound the wait with a cancel scope; the
        history then says that the outcome is unknown.

        Args:
            retry: make it again also where the outcome is unknown. Only for commands that the state machine carries out
                once however often they are proposed.

        Raises:
            OutcomeUnknown: it may or may not take effect, now or later.
            CommandFailed: it took effect, and the state machine raised.
        """

        async def propose(node: Node[RecordingStateMachine[C, R]]) -> list[Any]:
            try:
                return [await node.propose(command, forward=self.forward)]
            except CommandFailed as failure:
                return [failure]

        (result,) = await self._record([command], propose, retry=retry)
        if isinstance(result, CommandFailed):
            raise result
        answer: R = result
        return answer

    async def call_once(self, command: C) -> R:
        """Have a command carried out exactly once, in a session that this client takes from node to node.

        Raises:
            CommandFailed: it took effect, and the state machine raised.
        """
        number = 0

        async def propose(node: Node[RecordingStateMachine[C, R]]) -> list[Any]:
            nonlocal number
            async with node.session(self._session, end=False) as session:
                await session.begin()
                number = number or session.prepare(command)
                self._session = session.state()
                outcome = (await session.outcomes())[number]
            if isinstance(outcome, ProposalError) and not isinstance(outcome, CommandFailed):
                raise outcome
            return [outcome]

        (result,) = await self._record([command], propose, retry=True)
        if self._session is not None:
            self._session = SessionState(self._session.session, self._session.next_number)
        if isinstance(result, CommandFailed):
            raise result
        answer: R = result
        return answer

    async def call_many(self, commands: Sequence[C], *, retry: bool = False) -> list[Any]:
        """Propose commands together, as `Node.propose_many` does; the history says that all were called at once.

        Returns:
            the result of each, in order; a `CommandFailed` where the state machine raised.

        Raises:
            OutcomeUnknown: they may or may not take effect, now or later, each by itself.
        """
        return await self._record(commands, lambda node: node.propose_many(commands, forward=self.forward), retry=retry)

    async def read(
        self,
        request: Any,
        query: Callable[[Any], T],
        level: ReadLevel = LINEARIZABLE,
        keys: Collection[Hashable] | None = None,
    ) -> T:
        """Have some node answer a read, trying again until one does.

        Args:
            request: what the history says was asked.
            query: is given the application's state machine, and returns the answer.
            level: one that promises all that was committed, as the history takes that for granted.
            keys: see `Node.read`.
        """

        async def ask(node: Node[RecordingStateMachine[C, R]]) -> list[T]:
            return [await node.read(lambda recorder: query(recorder.inner), level, keys=keys)]

        (result,) = await self._record([request], ask, retry=True)
        answer: T = result
        return answer

    async def read_once(
        self,
        node_id: str,
        request: Any,
        query: Callable[[Any], T],
        level: ReadLevel = LINEARIZABLE,
        keys: Collection[Hashable] | None = None,
    ) -> T | None:
        """Have this very node answer a linearizable read, within `patience_s`; None if it does not.

        It shows a node that answers although it does not lead any more. A read that is not answered leaves no trace in
        the history.
        """
        node = self._cluster.nodes.get(node_id)
        if node is None:
            return None
        with (
            self._cluster.history.calling(self.name, request, read=True) as call,
            trio.move_on_after(self.patience_s),
            suppress(ProposalError),
        ):
            await self._hop(node_id)
            answer = await node.read(lambda recorder: query(recorder.inner), level, keys=keys)
            await self._hop(node_id)
            call.returned(answer)
            return answer
        return None

    async def _record(
        self,
        requests: Sequence[Any],
        work: Callable[[Node[RecordingStateMachine[C, R]]], Awaitable[list[Any]]],
        *,
        retry: bool,
    ) -> list[Any]:
        trace, history = self._cluster.trace, self._cluster.history
        calls = [history.begin(self.name, request) for request in requests]
        for call in calls:
            trace.add("call", operation=call.number, client=self.name, text=call.request)
        responses: Sequence[Any] = [UNKNOWN] * len(calls)
        try:
            responses = await self._until_answered(work, retry=retry) or responses
            if len(responses) != len(calls):
                raise self._cluster.failed(f"answers: {self.name} got {len(responses)} to {len(calls)} commands")
        finally:
            for call, response in zip(calls, responses, strict=False):
                self._tell(call, response)
        if any(response is UNKNOWN for response in responses):
            raise OutcomeUnknown(f"{self.name} was not told what became of {', '.join(map(repr, requests))}")
        return list(responses)

    def _tell(self, call: Call, response: Any) -> None:
        """Put down what a call was answered, if it was."""
        outcome, text = "unknown", ""
        if isinstance(response, CommandFailed):
            outcome, text = "error", f"failed: {response.__cause__!r}"
            call.returned(text)
        elif response is not UNKNOWN:
            outcome, text = "ok", response
            call.returned(response)
        self._cluster.trace.add("return", operation=call.number, outcome=outcome, text=text)

    async def _until_answered(
        self, work: Callable[[Node[RecordingStateMachine[C, R]]], Awaitable[list[Any]]], *, retry: bool
    ) -> list[Any] | None:
        """The answers, or None: nobody can tell whether it took effect."""
        while True:
            try:
                with trio.move_on_after(self.patience_s):
                    return await self._attempt(work)
            except NotLeader as error:
                self._target = error.leader
                await trio.sleep(self._rng.uniform(*_PAUSE_S))
                continue
            except Overloaded:
                await trio.sleep(self._rng.uniform(*_PAUSE_S))
                continue
            except NotCommitted as error:
                self._cluster.watch.not_committed(error.index, error.term)
                if not error.results:
                    continue
            except ProposalError:
                pass
            if self._rng.random() >= self.stubborn:
                self._target = None
            if not retry:
                return None
            await trio.sleep(self._rng.uniform(*_PAUSE_S))

    async def _attempt(self, work: Callable[[Node[RecordingStateMachine[C, R]]], Awaitable[list[Any]]]) -> list[Any]:
        """Go to a node, have it do something, and bring the answer back; what holds up the node holds up both ways."""
        cluster = self._cluster
        name = self._target = self._target or self._rng.choice(cluster.node_ids)
        await self._hop(name)
        node = cluster.nodes.get(name)
        if node is None:
            raise NotLeader(None)
        result = await work(node)
        await self._hop(name)
        return result

    async def _hop(self, name: str) -> None:
        arrived: Pending[None] = Pending()
        cluster = self._cluster
        due = trio.current_time() + self._rng.uniform(*self.hop_s)
        cluster.event_queue.at(due, cluster.gate(name), arrived.resolve, None)
        await arrived.wait()
