"""Any node does whatever a client asks of it, through changes of leadership.

At the leader a write goes straight into the log. At other nodes it is handed on to the leader by way of a session, in
which it is carried out once, however often it has to be proposed: its answer is lost with a leader that ends, and the
client that waits for it here is none the wiser. One session serves all clients of a node: it begins with the first
write that needs it, and is not used at a leader, where a place in the log is known and so becomes of every write. So it
costs nothing there, and elsewhere one small entry of the replicated table.

A read may be asked again whatever happened. How long all this may take is bounded: after that, the client is told
whether its write was certainly not carried out, or nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import trio

from raft_actors.errors import (
    ConfigurationError,
    LeadershipLost,
    NotCommitted,
    NotLeader,
    NotMember,
    ProposalError,
    ResultLost,
    SessionExpired,
)
from raft_actors.records import define
from raft_actors.service.gathering import GatheredWrites
from raft_actors.service.operations import pipeline
from raft_actors.service.replica import Numbered, Replica

T = TypeVar("T")

_PAUSE_S = 0.02
"""Between two attempts to read."""

_LONGEST_IDLE_S = 1800.0
"""The cluster forgets a session that nobody has used for an hour; it is not taken up again long before that."""

_OVERHEAD_BYTES = 8  # around each command of a pipeline, and around all of them


class OutcomeUnknown(ProposalError):
    """No answer came in time: the write may or may not take effect, now or later, once."""


@define(eq=False)
class _OpenSession:
    session: Numbered
    used_at: float


class PatientReplica:
    """A node, for clients that must not care which one it is. See the module's text.

    Args:
        patience_s: how long a request may wait for a leader, or for its outcome.
        max_command_bytes: the node's.

    Attributes:
        gathered: the writes that are for this node itself, as long as it leads.
    """

    def __init__(self, node: Replica, patience_s: float, max_command_bytes: int) -> None:
        self._node = node
        self.gathered: GatheredWrites = GatheredWrites(node)
        self._patience_s = patience_s
        self._max_bytes = max_command_bytes
        self._open: _OpenSession | None = None

    # --- writes ----------------------------------------------------------------------------------------------

    async def write(self, commands: Sequence[bytes], *, timed: bool = False) -> list[Any]:
        """Have commands carried out in order, with nothing between them as long as leadership lasts; return their
        results. The result of one that failed is its `ProposalError`. Where one is `timed`, log time comes with them,
        as with all that goes by way of a session.

        Raises:
            ProposalError: it holds of each of them.
        """
        done: list[Any] = []
        if not timed:
            try:
                return await self.gathered.write(commands)
            except NotMember:
                raise
            except NotLeader:
                pass
            except NotCommitted as error:
                done += error.results
        while len(done) < len(commands):
            some = self._fitting(commands[len(done) :])
            try:
                done += await self._write_elsewhere(some)
            except ProposalError as error:
                done += [error] * len(some)
                done += [NotLeader(None)] * (len(commands) - len(done))  # they were not proposed
        return done

    async def _write_elsewhere(self, commands: Sequence[bytes]) -> list[Any]:
        """The results of the first commands, and of one at least; by way of the session."""
        proposed = False
        with trio.move_on_after(self._patience_s):
            await self._node.wait_leader()
            session, proposed = await self._session(), True
            if session is None:
                return await self._node.propose_many(commands)
            try:
                if len(commands) == 1:
                    return [await session.propose(commands[0])]
                results: list[Any] = await session.propose(pipeline(commands))
            except SessionExpired:
                if self._open is not None and self._open.session is session:  # not what took its place meanwhile
                    self._open = None
                raise
            except ResultLost:
                raise OutcomeUnknown("its reply is lost") from None
            return results
        raise OutcomeUnknown(f"it was not known within {self._patience_s:g} s") if proposed else NotLeader(None)

    def _fitting(self, commands: Sequence[bytes]) -> Sequence[bytes]:
        """Those of the commands, from the first on, that fit in one."""
        room = self._max_bytes - _OVERHEAD_BYTES
        for count, command in enumerate(commands):
            room -= len(command) + _OVERHEAD_BYTES
            if room < 0:
                return commands[: max(count, 1)]
        return commands

    async def _session(self) -> Numbered | None:
        """The node's session; None where a member is of a version that knows none."""
        now, current = trio.current_time(), self._open
        if current is None or now - current.used_at > _LONGEST_IDLE_S:
            try:
                async with self._node.session(end=False) as session:
                    pass  # it goes on behind this block, and ends by itself
            except ConfigurationError:
                return None
            current = self._open = _OpenSession(session, now)
        current.used_at = now
        return current.session

    # --- reads -----------------------------------------------------------------------------------------------

    async def read(self, query: Callable[[Any], T]) -> T:
        """Run a query on a state that has all in it that was committed before.

        Raises:
            ProposalError: it was not answered in time, or can't be at this node.
        """
        try:
            return await self._node.read(query)
        except (NotLeader, LeadershipLost) as error:
            return await self._read_again(query, error)

    async def _read_again(self, query: Callable[[Any], T], error: ProposalError) -> T:
        with trio.move_on_after(self._patience_s):  # noqa: ASYNC912 - not where waiting would be in vain
            refused_by: str | None = None
            while not isinstance(error, NotMember):
                await trio.sleep(_PAUSE_S)
                await self._node.wait_leader()
                asked_at = trio.current_time()
                try:
                    return await self._node.read(query)
                except (NotLeader, LeadershipLost) as again:
                    error = again
                # A leader of an older version answers its own clients alone, and this node need not ask it to know.
                # A refusal that took longer is of one that had lost touch with its leader: the same may answer now.
                at_once = trio.current_time() - asked_at < _PAUSE_S
                refuses = error.leader if at_once and isinstance(error, NotLeader) else None
                if refuses is not None and refuses == refused_by:
                    break
                refused_by = refuses
        raise error
