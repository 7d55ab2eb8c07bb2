"""The settings of two nodes that must agree: how a hello says them, and what to tell where they don't."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from raft_actors.transports.abc import Endpoint
from raft_actors.transports.wire.fields import FIELD

_DIGEST_BYTES = 16


def differ(one: bytes, other: bytes) -> bool:
    """Whether both are known, and not the same."""
    return bool(one) and bool(other) and one != other


def voters_digest(ids: Iterable[str]) -> bytes:
    """What stands for a set of voters in a hello: equal sets have equal digests; empty for none."""
    names = sorted(ids)
    if not names:
        return b""
    data = b"".join(FIELD.pack(0, len(name.encode())) + name.encode() for name in names)
    return hashlib.sha256(data).digest()[:_DIGEST_BYTES]


def timing_ms(endpoint: Endpoint) -> tuple[int, int]:
    """The heartbeat interval and the shortest election timeout of a node, as a hello says them."""
    longest = 2**32 - 1
    heartbeat, election = endpoint.heartbeat_interval_s, endpoint.election_timeout_s
    return min(longest, round(heartbeat * 1000)), min(longest, round(election * 1000))


def timing_trouble(theirs: tuple[int, int], ours: tuple[int, int]) -> str:
    """Why one of two nodes could not follow the other, as `NodeConfig` demands of each for itself; empty: they can."""
    for who, (heartbeat, _), (_, election) in (("this node", ours, theirs), ("the other one", theirs, ours)):
        # Both were rounded to the millisecond: what two nodes of the same settings say must pass.
        if heartbeat and election and heartbeat - 1 > election / 2:
            return (
                f"{who} as leader speaks every {heartbeat} ms, and its follower asks for votes after {election} ms: "
                "heartbeat_interval_s must be at most half of the shortest election_timeout_s of every node"
            )
    return ""


def skipped_trouble(theirs: str, ours: str) -> str:
    """What two nodes do not both leave out, and what to do about it."""
    one, other = ({*filter(None, said.split(", "))} for said in (theirs, ours))
    sides = (("the other one", one - other), ("this node", other - one))
    more = "; ".join(f"{who} leaves out {', '.join(sorted(these))} more" for who, these in sides if these)
    return f"stop all nodes, and start them with the same skipped_commands: {more}"
