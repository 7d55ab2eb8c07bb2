"""Handing leadership to another member: asked for by the application, or because this node is about to stop."""

from __future__ import annotations

import logging
from contextlib import suppress

from raft_actors.actors.actor import ActorStopped, MailboxFull
from raft_actors.actors.pending import Pending
from raft_actors.errors import NodeStopped, NotLeader, TransferError
from raft_actors.node.supervisor import Supervisor
from raft_actors.node_log import NodeLog
from raft_actors.raft.inputs import Received, TransferRequested
from raft_actors.raft.messages import RequestLeave
from raft_actors.raft.transitions import RoleName

_logger = logging.getLogger(__name__)


class PendingTransfer(Pending[str]):
    """A transfer whose requester waits to hear who leads."""

    __slots__ = ("to",)

    def __init__(self, to: str | None) -> None:
        super().__init__()
        self.to: str | None = to


class Handoff:
    """Hands leadership of one node over."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._log = NodeLog(_logger, supervisor.node_id)

    async def transfer(self, to: str | None) -> str:
        """Ask the leader to hand over, and wait for who leads then. Raises as `Node.transfer_leadership` does."""
        supervisor = self._supervisor
        pending = PendingTransfer(to)
        supervisor.transfers.add(pending)
        try:
            await supervisor.inbox.tell_when_room(TransferRequested(pending))
            return await pending.wait()
        except ActorStopped:
            raise NodeStopped(supervisor.node_id) from supervisor.crash
        finally:
            supervisor.transfers.discard(pending)

    async def leave(self) -> bool:
        """Have this node removed from the cluster, and wait until that is committed. False: that can't be.

        Asked for again and again: another change may be under way, the leader may change, a message may be lost.
        """
        supervisor = self._supervisor
        state, clock = supervisor.recovered_state(), supervisor.clock
        alarm = clock.alarm()
        while not supervisor.over:
            if not state.is_member and state.configurations.latest.index <= state.commit_index:
                return True
            if not state.voters - {state.node_id}:
                self._log.warning("can't leave its cluster: nobody else has a vote")
                return False
            if state.leader == state.node_id:
                with suppress(MailboxFull):
                    supervisor.inbox.tell(Received(state.node_id, RequestLeave(state.durable.term)))
            elif state.leader is not None:
                supervisor.transport.send_nowait(state.leader, RequestLeave(state.durable.term))
            await alarm.wait(clock.now() + state.config.heartbeat_interval_s)
        return False

    async def before_stopping(self) -> None:
        """Have somebody else lead, if this node does and there is anybody. Where that can't be, the others elect."""
        role = self._supervisor.role
        if role is None or role.name is not RoleName.LEADER or not role.state.voting_peers:
            return
        try:
            leader = await self.transfer(None)
        except (TransferError, NotLeader, NodeStopped) as error:
            self._log.info("stops without having handed leadership over: %s", error)
        else:
            self._log.info("has handed leadership to %s, and stops", leader)
