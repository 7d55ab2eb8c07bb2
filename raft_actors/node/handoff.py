"""Handing leadership to another member: asked for by the application, or because this node is about to stop."""

from __future__ import annotations

import logging

from raft_actors.actors.actor import ActorStopped
from raft_actors.actors.pending import Pending
from raft_actors.errors import NodeStopped, NotLeader, TransferError
from raft_actors.node.supervisor import Supervisor
from raft_actors.raft.inputs import TransferRequested
from raft_actors.raft.transitions import RoleName

_logger = logging.getLogger(__name__)


class PendingTransfer(Pending[str]):
    """A transfer whose requester waits to hear who leads."""

    __slots__ = ("to",)

    def __init__(self, to: str | None) -> None:
        super().__init__()
        self.to = to


class Handoff:
    """Hands leadership of one node over."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

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

    async def before_stopping(self) -> None:
        """Have somebody else lead, if this node does and there is anybody. Where that can't be, the others elect."""
        role = self._supervisor.role
        if role is None or role.name is not RoleName.LEADER or not role.state.voting_peers:
            return
        try:
            leader = await self.transfer(None)
        except (TransferError, NotLeader, NodeStopped) as error:
            _logger.info("%s stops without having handed leadership over: %s", self._supervisor.node_id, error)
        else:
            _logger.info("%s has handed leadership to %s, and stops", self._supervisor.node_id, leader)
