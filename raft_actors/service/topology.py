"""Where the members of the cluster serve clients, and what clients in cluster mode are told of it.

All slots belong to the leader, and the other members are its replicas. While this node knows no leader it names itself,
for it serves every command as soon as there is one; if it is no member, the slots are nobody's, and clients ask another
node. So a client in cluster mode finds the node that does its work
soonest, and another one when that dies. Nobody needs to be sent elsewhere: MOVED is for who asks for it.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Iterator

from raft_actors.records import frozen
from raft_actors.service.connection import Context
from raft_actors.service.refusals import client_address
from raft_actors.service.replies import Reply

SLOTS = 16_384
_BUS_PORT = 10_000  # above the clients', by convention; nobody listens there
_SILENT_S = 5.0


@frozen
class Place:
    """Where one member serves clients.

    Attributes:
        number: its id as Redis has them: 40 hexadecimal digits.
        is_master: whether it has all slots.
        is_me: whether it is the node that says so.
        lives: whether it is heard of; only the leader knows of others.
        applied: the last entry known to be there.
    """

    node_id: str
    number: bytes
    host: bytes
    port: int
    is_master: bool
    is_me: bool
    lives: bool
    applied: int


def number_of(context: Context, node_id: str) -> bytes:
    """A member's id in Redis's form: the same on every node, and in every life of the member."""
    cluster_id = context.node.status().cluster_id
    return hashlib.sha1(f"{cluster_id}/{node_id}".encode(), usedforsecurity=False).hexdigest().encode()


def master_of(context: Context) -> str:
    """The member that clients are to take for the master: another one only if it is among `places`."""
    status = context.node.status()
    leader = status.leader
    if leader is None or leader == status.node_id:
        return status.node_id
    known = leader in context.node.members().members and client_address(context, leader) is not None
    return leader if known else status.node_id


def places(context: Context) -> list[Place]:
    """The members that are known to serve clients, the master first."""
    status, master = context.node.status(), master_of(context)
    found: list[Place] = []
    for node_id, member in context.node.members().members.items():
        address = client_address(context, node_id)
        if address is None:
            continue
        host, _, port = address.rpartition(":")
        is_me = node_id == status.node_id
        place = Place(
            node_id,
            number_of(context, node_id),
            host.strip("[]").encode(),
            int(port),
            is_master=node_id == master,
            is_me=is_me,
            lives=is_me or member.silent_s is None or member.silent_s < _SILENT_S,
            applied=status.applied_index if is_me else member.match_index or 0,
        )
        found.append(place)
    return sorted(found, key=lambda place: not place.is_master)


def slot_of(key: bytes) -> int:
    """The slot of a key: of what stands between the first braces in it, if anything does."""
    _, brace, rest = key.partition(b"{")
    tag, end, _ = rest.partition(b"}")
    return binascii.crc_hqx(tag if brace and end and tag else key, 0) % SLOTS


def moved(context: Context, key: bytes) -> str | None:
    """What a client is told that wants to be sent to the leader; None at the leader, and where that is not known."""
    master = master_of(context)
    if master == context.node.status().node_id:
        return None
    return f"MOVED {slot_of(key)} {client_address(context, master)}"


# --- the answers of CLUSTER --------------------------------------------------------------------------------------


def _has_master(found: list[Place]) -> bool:
    """Whether the slots are anybody's: not where this node knows no leader and can't name itself, being no member."""
    return bool(found) and found[0].is_master


def slots(context: Context) -> Reply:
    """CLUSTER SLOTS"""
    found = places(context)
    nodes: list[Reply] = [[place.host, place.port, place.number, []] for place in found]
    return [[0, SLOTS - 1, *nodes]] if _has_master(found) else []


def shards(context: Context) -> Reply:
    """CLUSTER SHARDS"""
    port = b"port" if context.config.tls is None else b"tls-port"
    found = places(context)
    nodes: list[Reply] = [
        {
            b"id": place.number,
            port: place.port,
            b"ip": place.host,
            b"endpoint": place.host,
            b"role": b"master" if place.is_master else b"replica",
            b"replication-offset": place.applied,
            b"health": b"online" if place.lives else b"fail",
        }
        for place in found
    ]
    return [{b"slots": [0, SLOTS - 1], b"nodes": nodes}] if _has_master(found) else []


def nodes_text(context: Context) -> str:
    """CLUSTER NODES"""
    return "".join(f"{line}\n" for line in _node_lines(context))


def _node_lines(context: Context) -> Iterator[str]:
    term = context.node.status().term
    found = places(context)
    for place in found:
        flags = ["myself"] * place.is_me + ["master" if place.is_master else "slave"] + ["fail"] * (not place.lives)
        master = "-" if place.is_master or not _has_master(found) else found[0].number.decode()
        at = f"{place.host.decode()}:{place.port}@{place.port + _BUS_PORT}"
        link = "connected" if place.lives else "disconnected"
        owned = f" 0-{SLOTS - 1}" if place.is_master else ""
        yield f"{place.number.decode()} {at} {','.join(flags)} {master} 0 0 {term} {link}{owned}"


def info_lines(context: Context) -> Iterator[tuple[str, object]]:
    """CLUSTER INFO"""
    status = context.node.status()
    found = places(context)
    assigned = SLOTS if _has_master(found) else 0
    served = 0 if status.leader is None else assigned
    yield "cluster_state", "ok" if served else "fail"
    yield "cluster_slots_assigned", assigned
    yield "cluster_slots_ok", served
    yield "cluster_slots_pfail", 0
    yield "cluster_slots_fail", assigned - served
    yield "cluster_known_nodes", len(found)
    yield "cluster_size", 1 if assigned else 0
    yield "cluster_current_epoch", status.term
    yield "cluster_my_epoch", status.term


def role(context: Context) -> Reply:
    """ROLE"""
    me = context.node.status()
    found = places(context)
    if master_of(context) == me.node_id:
        replicas: list[Reply] = [
            [place.host, b"%d" % place.port, b"%d" % place.applied] for place in found if not place.is_me
        ]
        return [b"master", me.applied_index, replicas]
    master = found[0]
    return [b"slave", master.host, master.port, b"connected", me.applied_index]
