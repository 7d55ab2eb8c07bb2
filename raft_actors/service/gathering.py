"""Writes of many clients go into the log together.

To send an entry batch to the other nodes, to write it to all disks and to acknowledge it costs some 1.5 ms of CPU, for
one command as for fifty. Clients that each wait for their own answer come one by one, though: each batch would be as
small as what arrives within one turn of the event loop. So where writes are under way, further ones wait for company,
until they are as many, and half as many as went together last: those that one batch has answered come again together,
in less time than a commit takes. That leaves all nodes time for more of them. Where few are under way nobody waits for
more than that, a client that is alone not at all, and no write for long.

Nothing is promised that would not hold for each by itself. What is proposed together has one fate, but where leadership
ends in its midst: each then has its own part of the results.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from raft_actors.actors.pending import Pending
from raft_actors.errors import InternalError, NotCommitted
from raft_actors.service.replica import Replica

_FEW = 8
"""Where no more writes are under way, others need not be as many: there is time enough for each."""

_LONGEST_S = 0.002
"""A write waits so long at most: between distant machines a commit takes much longer, and nothing is to be gained."""

_MOST_COMMANDS = 1024
_MOST_BYTES = 256 * 1024
"""So many go in any case; a write that is as large by itself goes alone."""


class _Part(Pending[list[Any]]):
    """What one client writes; filled with its results."""

    __slots__ = ("commands",)

    def __init__(self, commands: Sequence[bytes]) -> None:
        super().__init__()
        self.commands = commands


class GatheredWrites:
    """The writes of one node's clients, on their way to the log. Each goes by itself unless it is open."""

    def __init__(self, node: Replica) -> None:
        self._node = node
        self._nursery: trio.Nursery | None = None
        self._under_way = 0  # writes, of one client each
        self._parts: list[_Part] = []  # those that wait
        self._commands = self._bytes = 0  # of these
        self._since = 0.0  # when the first of them came
        self._begun = False  # whether a task will take them
        self._usual = 1  # how many went together last
        self._some = trio.lowlevel.ParkingLot()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Gather writes for the length of the block, by whose end all who write must be over."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._hurry, nursery)
            try:
                yield
            finally:
                self._nursery = None
                nursery.cancel_scope.cancel()

    async def _hurry(self, nursery: trio.Nursery) -> None:
        """Propose what has waited for as long as it may."""
        while True:
            while not self._parts:
                await self._some.park()
            due = self._since + _LONGEST_S
            await trio.sleep_until(due)
            if self._parts and self._since + _LONGEST_S <= due:  # else others have come since
                self._begin(nursery)

    async def write(self, commands: Sequence[bytes]) -> list[Any]:
        """Have commands carried out in order, if this node leads; return their results.

        Raises what `Node.propose_many` does; for a single command maybe what `Node.propose` does.
        """
        count, size = len(commands), sum(map(len, commands))
        parts, nursery = self._parts, self._nursery
        if nursery is None or size >= _MOST_BYTES or not (parts or self._under_way or self._usual > 1):
            return await self._write_alone(commands)
        part = _Part(commands)
        if not parts:
            self._since = trio.current_time()
            self._some.unpark()
        parts.append(part)
        self._commands += count
        self._bytes += size
        if not self._begun and self._is_enough():
            self._begin(nursery)
        try:
            await part.until_done(trio.lowlevel.current_task())
        except trio.Cancelled:
            self._leave(part)
            raise
        return part.result_nowait()

    async def _write_alone(self, commands: Sequence[bytes]) -> list[Any]:
        self._under_way += 1
        try:
            if len(commands) == 1:
                return [await self._node.propose(commands[0], forward=False)]
            return await self._node.propose_many(commands, forward=False)
        finally:
            self._under_way -= 1
            self._look()

    def _leave(self, part: _Part) -> None:
        """Propose nothing for a client that has gone, unless that is done already."""
        if part in self._parts:
            self._parts.remove(part)
            self._commands -= len(part.commands)
            self._bytes -= sum(map(len, part.commands))

    def _is_enough(self) -> bool:
        if self._commands >= _MOST_COMMANDS or self._bytes >= _MOST_BYTES:
            return True
        under_way, waiting = self._under_way, len(self._parts)
        return 2 * waiting >= self._usual and (under_way <= _FEW or waiting >= under_way)

    def _look(self) -> None:
        """Propose what waits, if that is enough now."""
        if self._parts and not self._begun and self._nursery is not None and self._is_enough():
            self._begin(self._nursery)

    def _begin(self, nursery: trio.Nursery) -> None:
        """Propose what will wait once all have had their turn that may come now.

        In a task of its own: it has to go on whichever of the clients leaves.
        """
        if not self._begun:
            self._begun = True
            nursery.start_soon(self._propose)

    async def _propose(self) -> None:
        parts, self._parts = self._parts, []
        self._commands, self._bytes, self._begun = 0, 0, False
        if not parts:
            return
        self._under_way += len(parts)
        self._usual = len(parts)
        results: list[Any] = []
        error: Exception = InternalError("the node has not answered each command that was proposed")
        try:
            commands = [command for part in parts for command in part.commands]
            results = await self._node.propose_many(commands, forward=False)
        except NotCommitted as cut:
            results, error = [*cut.results], cut
        except Exception as other:  # noqa: BLE001 - whatever it is, it is for those who wait
            error = other
            self._usual = 1  # nobody is answered at this node who would come again
        finally:
            self._under_way -= len(parts)
        begin = 0
        for part in parts:
            end = begin + len(part.commands)
            own = results[begin:end]
            if end <= len(results):
                part.resolve(own)
            else:
                part.fail(
                    NotCommitted(error.term, error.index, tuple(own)) if isinstance(error, NotCommitted) else error
                )
            begin = end
        self._look()
