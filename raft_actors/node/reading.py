"""From a query to its answer, by way of the role, which knows when the state may be looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from raft_actors.actors.actor import ActorStopped, MailboxFull
from raft_actors.actors.home_thread import current_task
from raft_actors.errors import NodeStopped, Overloaded
from raft_actors.node.proposals import PendingRead
from raft_actors.node.submission import Submission
from raft_actors.node.supervisor import Supervisor
from raft_actors.raft.inputs import ReadsRequested

T = TypeVar("T")


class Reading:
    """Brings one node's reads on their way."""

    def __init__(self, supervisor: Supervisor, submission: Submission[Any, Any]) -> None:
        self._supervisor = supervisor
        self._submission = submission
        self._requested = ReadsRequested([], taken=True)  # the item that took in the last read

    async def read(self, query: Callable[[Any], T]) -> T:
        """Have a query run once all is applied that was committed before. Raises as `Node.read` does."""
        task = current_task()
        supervisor = self._supervisor
        supervisor.check_caller()
        read: PendingRead[T] = PendingRead(supervisor.admission, query)
        try:
            if self._requested.taken or not supervisor.admission.admit_if_room(read):
                await self._hand_in_when_room(read)
            else:
                self._requested.reads.append(read)
            await read.until_done(task)
        except BaseException:
            read.abandon()
            raise
        return read.result_nowait()

    async def _hand_in_when_room(self, read: PendingRead[Any]) -> None:
        supervisor = self._supervisor
        self._submission.check_leader()
        await supervisor.admission.admit(read)
        waiting = self._requested
        if not waiting.taken:
            waiting.reads.append(read)
            return
        self._requested = item = ReadsRequested([read])
        try:
            supervisor.inbox.tell(item)
        except MailboxFull as full:
            item.taken = True
            raise Overloaded(str(full)) from None
        except ActorStopped:
            item.taken = True
            raise NodeStopped(supervisor.node_id) from supervisor.crash
