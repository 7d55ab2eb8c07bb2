"""Clients of a simulated cluster: they reach nodes over a network of their own, are sent from one to the next, and
never hear of some of their calls again. What they called and were told is the cluster's history.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio

from raft_actors.errors import CommandFailed, NotLeader, Overloaded, ProposalError, RaftError
from raft_actors.node import Node
from raft_actors.pending import Pending
from raft_actors.testing.linearizability import UNKNOWN

if TYPE_CHECKING:
    from raft_actors.testing.simulation import Simulation

C = TypeVar("C")
R = TypeVar("R")
T = TypeVar("T")

_HOP_S = (0.0001, 0.002)
_PAUSE_S = (0.01, 0.05)
_PATIENCE_S = 1.0


class OutcomeUnknown(RaftError):
    """A client's call was not answered: it may take effect, or have taken effect, or never will."""


class Client(Generic[C, R]):
    """One client, which does one thing at a time. Made by `Simulation.client`.

    Attributes:
        name: as the history tells it.
        patience_s: how long it waits for a node's answer.
    """

    def __init__(self, cluster: Simulation[C, R], name: str) -> None:
        self.name = name
        self.patience_s = _PATIENCE_S
        self._cluster = cluster
        self._rng = Random(f"{cluster.seed} client {name}")
        self._target: str | None = None

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
        result: R = await self._record(command, lambda node: node.propose(command), retry=retry)
        return result

    async def read(self, request: Any, query: Callable[[Any], T]) -> T:
        """Have whoever leads answer a linearizable read, trying again until it does.

        Args:
            request: what the history says was asked.
            query: is given the application's state machine, and returns the answer.
        """
        result: T = await self._record(
            request, lambda node: node.read(lambda recorder: query(recorder.inner)), retry=True
        )
        return result

    async def _record(self, request: Any, work: Callable[[Node[C, R]], Awaitable[Any]], *, retry: bool) -> Any:
        trace, call = self._cluster.trace, self._cluster.history.begin(self.name, request)
        trace.add("call", operation=call.number, client=self.name, text=request)
        response: Any = UNKNOWN
        error: CommandFailed | None = None
        try:
            response = await self._until_answered(work, retry=retry)
        except CommandFailed as failure:
            response, error = f"failed: {failure.__cause__!r}", failure
        finally:
            known = response is not UNKNOWN
            if known:
                call.returned(response)
            outcome = "unknown" if not known else "error" if error else "ok"
            trace.add("return", operation=call.number, outcome=outcome, text=response if known else "")
        if error is not None:
            raise error
        if response is UNKNOWN:
            raise OutcomeUnknown(f"{self.name} was not told what became of {request!r}")
        return response

    async def _until_answered(self, work: Callable[[Node[C, R]], Awaitable[Any]], *, retry: bool) -> Any:
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
            except CommandFailed:
                raise
            except ProposalError:
                pass
            self._target = None
            if not retry:
                return UNKNOWN
            await trio.sleep(self._rng.uniform(*_PAUSE_S))

    async def _attempt(self, work: Callable[[Node[C, R]], Awaitable[Any]]) -> Any:
        """Go to a node, have it do something, and bring the answer back; what holds up the node holds up both ways."""
        cluster = self._cluster
        name = self._target or self._rng.choice(cluster.node_ids)
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
        due = trio.current_time() + self._rng.uniform(*_HOP_S)
        cluster.agenda.at(due, cluster.gate(name), arrived.resolve, None)
        await arrived.wait()
