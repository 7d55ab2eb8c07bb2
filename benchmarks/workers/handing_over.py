"""Handing leadership over again and again, under load: what `transfer` asks of a worker of ours."""

from __future__ import annotations

from typing import Any

import attrs
import trio

from benchmarks.workers.wire import Request, Window, clock
from raft_actors import Node, RaftError, RoleName

_LOOK_S = 0.002

#: A shorter wait between two answers is none.
_NOTICED_S = 0.001


@attrs.define
class Stalls(Window):
    """A window that also keeps when nothing was answered for long, whoever waited.

    Attributes:
        stalls: begin and end of each, on the clock that all processes of a machine share.
        failures: what proposals failed with.
    """

    stalls: list[tuple[float, float]] = attrs.field(factory=list[tuple[float, float]])
    failures: list[str] = attrs.field(factory=list[str])
    _last: float = attrs.field(factory=clock)

    def count(self, started: float, commits: int) -> bool:
        """Note an answer."""
        now = clock()
        if now - self._last > _NOTICED_S:
            self.stalls.append((self._last, now))
        self._last = now
        return super().count(started, commits)

    async def propose(self, node: Node[Any], payload: bytes) -> None:
        """Propose and wait, over and over, whatever becomes of it."""
        going = True
        while going:
            started = clock()
            try:
                await node.propose(payload)
            except RaftError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                going = started < self.ends
            else:
                going = self.count(started, 1)

    def result(self) -> dict[str, Any]:
        """What `load` answers, and more."""
        return {**super().result(), "stalls": self.stalls, "failures": self.failures}


@attrs.define
class Mover:
    """Gives leadership to another node each time that it has come here.

    Attributes:
        transfers: when each began and ended.
        failures: what others failed with; they are tried again.
    """

    node: Node[Any]
    transfers: list[tuple[float, float]] = attrs.field(factory=list[tuple[float, float]])
    failures: list[str] = attrs.field(factory=list[str])

    async def move(self, request: Request) -> None:
        """Do so as often as it was asked for."""
        await trio.sleep(request["after_s"])
        while len(self.transfers) < request["times"]:
            if self.node.status().role is not RoleName.LEADER:
                await trio.sleep(_LOOK_S)
                continue
            await trio.sleep(request["every_s"])
            began = clock()
            try:
                await self.node.transfer_leadership(request["to"])
            except RaftError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            else:
                self.transfers.append((began, clock()))

    def result(self) -> dict[str, Any]:
        """What `moved` answers."""
        return {"transfers": self.transfers, "failures": self.failures}
