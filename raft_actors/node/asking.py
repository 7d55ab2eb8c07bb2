"""Asking a cluster for something: to say how it stands, to change its members, to let a node join.

Any member's address will do. One that does not lead names the leader, which is asked then; while none is known, and
where nobody answers, the addresses are tried in turn, until `patience_s` has passed.

A request and a reply are JSON objects, so that a person can read what went over the wire:

    {"cluster": "orders", "do": "transfer", "with": {"to": "n2"}}
    {"done": {"leader": "n2"}}
    {"error": {"kind": "NotLeader", "text": "…", "leader": "n2", "address": "10.0.0.2:7000"}}

Who does not know a member of an object skips it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import trio

from raft_actors.errors import ConfigurationError, ProtocolError, RaftError, TransportError
from raft_actors.records import frozen

_PAUSE_S = 0.1
"""Between two rounds through all addresses."""

Ask = Callable[[str, bytes], Awaitable[bytes]]
"""`Transport.ask`."""


class OperationRefused(RaftError):
    """A node did not do what it was asked for; the message is its own.

    Attributes:
        kind: the name of its error, such as "ChangeRefused".
        leader, address: who leads, and where, as far as that node knows.
    """

    def __init__(self, text: str, kind: str = "", leader: str | None = None, address: str | None = None) -> None:
        self.kind = kind
        self.leader = leader
        self.address = address
        super().__init__(text)


@frozen
class Asked:
    """What came of a request.

    Attributes:
        reply: the node's.
        address: of the node that did it.
    """

    reply: dict[str, Any]
    address: str


async def ask_cluster(
    ask: Ask,
    addresses: Iterable[str],
    operation: str,
    *,
    cluster_id: str | None = None,
    patience_s: float = 10.0,
    **arguments: Any,
) -> Asked:
    """Have a cluster do something, and return the reply.

    Args:
        ask: asks one node.
        addresses: of members; one that answers is enough.
        operation: what to do: see `node.operating`.
        cluster_id: which cluster it must be; None: whichever it is.
        patience_s: how long to look for a member that can do it. What one does then may take longer.
        arguments: of the operation.

    Raises:
        OperationRefused: a node that could do it would not.
        TransportError: nobody answered in time, or who did was lost before it had replied: it may be done.
        ConfigurationError: no address was given.
    """
    known = list(dict.fromkeys(addresses))
    if not known:
        raise ConfigurationError("there is nobody to ask: give the address of a member")
    request = encode({"cluster": cluster_id, "do": operation, "with": arguments})
    deadline = trio.current_time() + patience_s
    troubles: dict[str, RaftError] = {}
    while True:
        turn = list(known)
        while turn:
            address = turn.pop(0)
            try:
                return Asked(opened(await ask(address, request)), address)
            except OperationRefused as refusal:
                if refusal.kind not in _ELSEWHERE:
                    raise
                troubles[address] = refusal
                if refusal.address and refusal.address != address and refusal.address not in troubles:
                    turn.insert(0, refusal.address)
            except TransportError as trouble:
                troubles[address] = trouble
        if trio.current_time() + _PAUSE_S >= deadline:
            raise _nobody(troubles)
        await trio.sleep(_PAUSE_S)
        troubles = {}


_ELSEWHERE = frozenset({"NotLeader", "NotMember"})
"""Refusals after which another node may do it."""


def _nobody(troubles: dict[str, RaftError]) -> RaftError:
    """What to tell of members of whom none could do it."""
    if len(troubles) == 1:
        return next(iter(troubles.values()))
    said = "; ".join(f"{address}: {trouble}" for address, trouble in troubles.items())
    return TransportError(f"none of those asked could do it: {said}")


# --- requests and replies ------------------------------------------------------------------------------------


def encode(value: dict[str, Any]) -> bytes:
    """A request or a reply as bytes."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.encode(errors="backslashreplace")  # half of a surrogate pair stands in JSON as it does in Python


def decode(data: bytes) -> dict[str, Any]:
    """A request or a reply of these bytes.

    Raises:
        ProtocolError: they are none.
    """
    try:
        loaded: Any = json.loads(data)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise ProtocolError(f"{len(data)} bytes are no JSON: {error}") from error
    value: dict[str, Any] = loaded
    if type(loaded) is not dict:
        raise ProtocolError(f"a JSON object expected, not {type(loaded).__name__}")
    return value


def member_in(reply: Mapping[str, Any], node_id: str) -> Mapping[str, Any]:
    """What a reply says of one of its "members". Nothing, too, where it is of another shape: who asks before it is a
    member does not choose who answers at an address, and must not end of what that says.
    """
    found: Any = reply.get("members")
    members: dict[str, Any] = found
    if type(found) is not dict:
        return {}
    said: Any = members.get(node_id)
    member: dict[str, Any] = said
    return member if type(said) is dict else {}


def opened(data: bytes) -> dict[str, Any]:
    """What a reply says was done.

    Raises:
        OperationRefused: it says that it was not.
        ProtocolError: the bytes are no reply.
    """
    reply = decode(data)
    match reply:
        case {"done": dict()}:
            done: dict[str, Any] = reply["done"]
            return done
        case {"error": {"kind": str(kind), "text": str(text), **more}}:
            leader, address = more.get("leader"), more.get("address")
            raise OperationRefused(
                text,
                kind,
                leader if isinstance(leader, str) else None,
                address if isinstance(address, str) else None,
            )
        case _:
            raise ProtocolError("a reply that says neither what was done nor why not")
