"""The commands of clients in cluster mode: who is where, and where a client wants to be sent."""

from __future__ import annotations

from raft_actors.service import topology
from raft_actors.service.connection import Context, Session
from raft_actors.service.data import SYNTAX_ERROR
from raft_actors.service.replies import OK, Reply, Text
from raft_actors.service.resp import Request


async def slots(context: Context, _session: Session, _request: Request) -> Reply:
    """CLUSTER SLOTS"""
    return topology.slots(context)


async def shards(context: Context, _session: Session, _request: Request) -> Reply:
    """CLUSTER SHARDS"""
    return topology.shards(context)


async def nodes(context: Context, _session: Session, _request: Request) -> Reply:
    """CLUSTER NODES"""
    return Text(topology.nodes_text(context))


async def info(context: Context, _session: Session, _request: Request) -> Reply:
    """CLUSTER INFO"""
    return Text("".join(f"{name}:{value}\r\n" for name, value in topology.info_lines(context)))


async def my_id(context: Context, _session: Session, _request: Request) -> Reply:
    """CLUSTER MYID"""
    return topology.number_of(context, context.node.status().node_id)


async def key_slot(_context: Context, _session: Session, request: Request) -> Reply:
    """CLUSTER KEYSLOT key"""
    return topology.slot_of(request[2])


async def role(context: Context, _session: Session, _request: Request) -> Reply:
    """ROLE"""
    return topology.role(context)


async def readonly(_context: Context, session: Session, _request: Request) -> Reply:
    """READONLY: reads are welcome at a replica. They always are, but then also from a client that wants MOVED."""
    session.reads_anywhere = True
    return OK


async def readwrite(_context: Context, session: Session, _request: Request) -> Reply:
    """READWRITE: the opposite."""
    session.reads_anywhere = False
    return OK


async def asking(_context: Context, _session: Session, _request: Request) -> Reply:
    """ASKING: the next command is meant for this node, which it is anyway."""
    return OK


async def raft_moved(_context: Context, session: Session, request: Request) -> Reply:
    """RAFT.MOVED ON | OFF: whether this client wants to be sent to the leader, instead of being served where it is."""
    wish = request[1].upper()
    if wish not in (b"ON", b"OFF"):
        return SYNTAX_ERROR
    session.want_moved(wish == b"ON")
    return OK
