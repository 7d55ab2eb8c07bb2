"""What those may do who are no peers, clients and operators: what their certificates say, while that holds.

Removing a member must be enough to be rid of it, so a node's certificate gives rights only while the node is a member,
as far as the node that is asked knows. One that is none may do what it needs to become one, in its own name: learn who
the cluster began with, and ask to join (`node.joining`).
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from typing import Any

from raft_actors.transports.conversation import Caller, Right
from raft_actors.transports.greeting import NOT_A_MEMBER, Refusal


class Purpose(enum.Enum):
    """What an operation is for."""

    SEE = "see"
    MEET = "meet"
    """To see, too; and to one that is no member, as much of it as shows it the way in."""
    JOIN = "join"
    OPERATE = "operate"


def is_trusted(caller: Caller, node_id: str, members: Collection[str]) -> bool:
    """Whether a caller has the rights that its certificate gives.

    Args:
        caller: who it is.
        node_id: the node that it calls. To that one its own certificate proves nothing but that its user asks.
        members: who is one, voters and learners.
    """
    speaks_for = caller.speaks_for
    return speaks_for is None or speaks_for(node_id) or any(map(speaks_for, members))


def refusal_of(
    caller: Caller, purpose: Purpose, arguments: Mapping[str, Any], *, trusted: bool, join_requests: bool = True
) -> Refusal | None:
    """Why a caller may not have this done; None: it may.

    Args:
        caller: who it is.
        purpose: of the operation.
        arguments: what the operation is given.
        trusted: whether it has the rights that its certificate gives.
        join_requests: whether one that is no member may ask to join (`NodeConfig.join_requests`).
    """
    if not trusted:
        node_id, speaks_for = arguments.get("id"), caller.speaks_for
        joins = purpose is Purpose.JOIN and isinstance(node_id, str) and speaks_for is not None and speaks_for(node_id)
        if (joins and join_requests) or purpose is Purpose.MEET:
            return None
        if joins:
            return Refusal(
                NOT_A_MEMBER,
                f"{caller.name} is no member, as far as this node knows, and may not ask to join (join_requests): who "
                "may operate has to add it first (raft-actors add)",
            )
        return Refusal(
            NOT_A_MEMBER,
            f"{caller.name} is no member, as far as this node knows, and may only ask to join, in its own name. "
            "Operators and clients have certificates with names of their own (docs/tls.md)",
        )
    if Right.OPERATE not in caller.rights:
        return Refusal("NO_RIGHT", f"{caller.name} may not {Right.OPERATE.value} here")
    return None
