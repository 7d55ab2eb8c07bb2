"""What a node does for operators, and for nodes that want to join.

Requests come over the nodes' own port (`wire.operating`). Who may have what done is decided in `node.permission`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import attrs

from raft_actors.errors import ConfigurationError, NotLeader, ProtocolError, RaftError
from raft_actors.node import member_operations
from raft_actors.node.asking import decode, encode
from raft_actors.node.permission import Purpose, refusal_of
from raft_actors.node_log import NodeLog
from raft_actors.records import frozen
from raft_actors.transports.conversation import Caller
from raft_actors.transports.greeting import Denied
from raft_actors.wording import text_of

if TYPE_CHECKING:
    from raft_actors.node.node import Node
    from raft_actors.node.supervisor import Supervisor

_logger = logging.getLogger(__name__)


Do = Callable[["Node[Any]", "Supervisor", dict[str, Any]], Awaitable[dict[str, Any]]]


@frozen
class Operation:
    """Something that a node can be asked for.

    Attributes:
        purpose: what for.
        do: does it: from the node and the request's arguments to what the reply says.
        do_for_newcomer: the same for one that is no member.
    """

    purpose: Purpose
    do: Do
    do_for_newcomer: Do = attrs.field(default=attrs.Factory(lambda self: self.do, takes_self=True))


@frozen
class _Request:
    """What somebody asks for."""

    name: str
    operation: Operation
    arguments: dict[str, Any]


class Operations:
    """Answers requests to one node."""

    def __init__(self, node: Node[Any], inside: Supervisor) -> None:
        self._node = node
        self._inside = inside
        self._log = NodeLog(_logger, node.node_id)

    async def answer(self, data: bytes, caller: Caller) -> bytes:
        """Do what a request asks for; see `Endpoint.operate`."""
        try:
            request = self._understand(decode(data))
            trusted = self._inside.trusts(caller)
            refusal = refusal_of(
                caller,
                request.operation.purpose,
                request.arguments,
                trusted=trusted,
                join_requests=self._inside.config.join_requests,
            )
            if refusal is None:
                return encode({"done": await self._do(request, caller, trusted=trusted)})
        except RaftError as error:
            return encode({"error": _told(error)})
        raise Denied(encode({"error": {"kind": "NotPermitted", "text": refusal.detail}}), refusal)

    def _understand(self, request: dict[str, Any]) -> _Request:
        cluster, name, given = request.get("cluster"), request.get("do"), request.get("with", {})
        node = self._node
        if cluster is not None and cluster != node.cluster.cluster_id:
            raise ConfigurationError(f"this is node {node.node_id!r} of cluster {node.cluster.cluster_id!r}")
        arguments: dict[str, Any] = given
        operation = OPERATIONS.get(name) if isinstance(name, str) else None
        if not isinstance(name, str) or operation is None:
            raise ConfigurationError(f"node {node.node_id!r} can't {str(name)[:40]!r}: is it of an older version?")
        if type(given) is not dict:
            raise ProtocolError("a request's arguments are a JSON object")
        return _Request(name, operation, arguments)

    async def _do(self, request: _Request, caller: Caller, *, trusted: bool) -> dict[str, Any]:
        operation = request.operation
        if operation.purpose in (Purpose.JOIN, Purpose.OPERATE):
            self._log.info("is asked by %s to %s %r", caller.name, request.name, request.arguments)
        do = operation.do if trusted else operation.do_for_newcomer
        return await do(self._node, self._inside, request.arguments)


def _told(error: RaftError) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": type(error).__name__, "text": text_of(error)}
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
    "status": Operation(Purpose.SEE, _status),
    "transfer": Operation(Purpose.OPERATE, _transfer),
    "snapshot": Operation(Purpose.OPERATE, _snapshot),
    "members": Operation(Purpose.MEET, member_operations.members, member_operations.way_in),
    "add": Operation(Purpose.OPERATE, member_operations.add),
    "promote": Operation(Purpose.OPERATE, member_operations.promote),
    "demote": Operation(Purpose.OPERATE, member_operations.demote),
    "priority": Operation(Purpose.OPERATE, member_operations.priority),
    "move": Operation(Purpose.OPERATE, member_operations.move),
    "remove": Operation(Purpose.OPERATE, member_operations.remove),
    "join": Operation(Purpose.JOIN, member_operations.join),
}
"""Everything that a node can be asked for, by name."""
