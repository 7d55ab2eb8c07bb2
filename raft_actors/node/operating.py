"""What a node does for operators, and for nodes that want to join.

Requests come over the nodes' own port (`wire.operating`), or from the program that the node is in. Each operation needs
a right. Who has which is not settled yet: whoever reaches the port has all of them, as with everything else that goes
over it (SECURITY.md); `_may` is where that will be decided.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import attrs

from raft_actors.errors import ConfigurationError, NotLeader, ProtocolError, RaftError
from raft_actors.node import member_operations
from raft_actors.node.asking import decode, encode
from raft_actors.node_log import NodeLog

if TYPE_CHECKING:
    from raft_actors.node.node import Node
    from raft_actors.node.supervisor import Supervisor

_logger = logging.getLogger(__name__)


class Right(enum.Enum):
    """What somebody must be allowed to do."""

    SEE = "see"
    JOIN = "join"
    OPERATE = "operate"


@attrs.frozen
class Operation:
    """Something that a node can be asked for.

    Attributes:
        right: what it takes.
        do: does it: from the node and the request's arguments to what the reply says.
    """

    right: Right
    do: Callable[[Node[Any], Supervisor, dict[str, Any]], Awaitable[dict[str, Any]]]


class Operations:
    """Answers requests to one node."""

    def __init__(self, node: Node[Any], inside: Supervisor) -> None:
        self._node = node
        self._inside = inside
        self._log = NodeLog(_logger, node.node_id)

    async def answer(self, request: bytes, asker: str) -> bytes:
        """Do what a request asks for; see `Endpoint.operate`."""
        try:
            return encode({"done": await self._answer(decode(request), asker)})
        except RaftError as error:
            return encode({"error": _told(error)})

    async def _answer(self, request: dict[str, Any], asker: str) -> dict[str, Any]:
        cluster, name, given = request.get("cluster"), request.get("do"), request.get("with", {})
        node = self._node
        if cluster is not None and cluster != node.cluster.cluster_id:
            raise ConfigurationError(f"this is node {node.node_id!r} of cluster {node.cluster.cluster_id!r}")
        arguments: dict[str, Any] = given
        operation = OPERATIONS.get(name) if isinstance(name, str) else None
        if operation is None:
            raise ConfigurationError(f"node {node.node_id!r} can't {str(name)[:40]!r}: is it of an older version?")
        if type(given) is not dict:
            raise ProtocolError("a request's arguments are a JSON object")
        if not _may(asker, operation.right):
            raise ConfigurationError(f"{asker or 'whoever asks'} may not {operation.right.value}")
        if operation.right is not Right.SEE:
            self._log.info("is asked by %s to %s %r", asker or "somebody", name, arguments)
        return await operation.do(node, self._inside, arguments)


def _may(_asker: str, _right: Right) -> bool:
    return True


def _told(error: RaftError) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": type(error).__name__, "text": str(error)}
    if isinstance(error, NotLeader):
        told |= {"leader": error.leader, "address": error.address}
    return told


# --- the operations ------------------------------------------------------------------------------------------


async def _status(node: Node[Any], _inside: Supervisor, _arguments: dict[str, Any]) -> dict[str, Any]:
    """How the node stands."""
    status = attrs.asdict(node.status())
    transport = node.statistics().transport
    status["state"], status["role"] = str(status["state"]), None if status["role"] is None else str(status["role"])
    status["peers"] = {
        peer: {
            "connected": counted.connected,
            "address": counted.address,
            "incarnation": counted.incarnation,
            "refusal": counted.last_refusal,
        }
        for peer, counted in transport.peers.items()
    }
    return status


async def _transfer(node: Node[Any], _inside: Supervisor, arguments: dict[str, Any]) -> dict[str, Any]:
    """Hand leadership over: `to` a voter, or to whom holds most of the log."""
    to = arguments.get("to")
    if to is not None and not isinstance(to, str):
        raise ProtocolError("“to” is a node's id")
    return {"leader": await node.transfer_leadership(to)}


async def _snapshot(node: Node[Any], _inside: Supervisor, _arguments: dict[str, Any]) -> dict[str, Any]:
    """Take a snapshot of this node's state."""
    taken = await node.take_snapshot()
    return {"node": node.node_id, "index": taken.index, "term": taken.term}


OPERATIONS: dict[str, Operation] = {
    "status": Operation(Right.SEE, _status),
    "transfer": Operation(Right.OPERATE, _transfer),
    "snapshot": Operation(Right.OPERATE, _snapshot),
    "members": Operation(Right.SEE, member_operations.members),
    "add": Operation(Right.OPERATE, member_operations.add),
    "promote": Operation(Right.OPERATE, member_operations.promote),
    "demote": Operation(Right.OPERATE, member_operations.demote),
    "priority": Operation(Right.OPERATE, member_operations.priority),
    "move": Operation(Right.OPERATE, member_operations.move),
    "remove": Operation(Right.OPERATE, member_operations.remove),
    "join": Operation(Right.JOIN, member_operations.join),
}
"""Everything that a node can be asked for, by name."""
