"""What a client is told of a proposal or read that failed."""

from __future__ import annotations

from contextlib import suppress

from raft_actors.errors import (
    CommandFailed,
    CommandTooLarge,
    ConfigurationError,
    LeadershipLost,
    NodeStopped,
    NotCommitted,
    NotLeader,
    NotMember,
    Overloaded,
    ProposalError,
    ResultLost,
    SessionExpired,
)
from raft_actors.service.connection import Context
from raft_actors.service.patience import OutcomeUnknown
from raft_actors.service.replies import ErrorReply
from raft_actors.transports.sockets.addresses import Address
from raft_actors.wording import text_of

REDIS_ADDRESS = "redis"
"""What a member's metadata say: where it serves Redis clients."""

_NO_LEADER = "CLUSTERDOWN no leader is known, and nothing was done: try again"
_NOT_A_MEMBER = "CLUSTERDOWN this node is not a member of the cluster, and nothing was done: ask another node"


def client_address(context: Context, node_id: str) -> str | None:
    """Where a member serves Redis clients, by what the cluster knows of it, or what this node was told at its start."""
    member = context.node.members().members.get(node_id)
    known = member.metadata.get(REDIS_ADDRESS) if member is not None else None
    if known is not None:
        # Who adds a member may say anything of it, and what is no address would fail at whoever asks for all of them.
        with suppress(ConfigurationError):
            return str(Address.parse(known))
    return context.config.addresses.get(node_id)


def refusal(context: Context, error: ProposalError, *, reading: bool = False) -> ErrorReply:
    """The reply for an error. Its first word tells the client what it may do.

    CLUSTERDOWN, OVERLOADED: nothing happened; ask later. NOTLEADER: nor did it; ask the node that is named. UNKNOWN:
    the write may or may not take effect, now or later, or its reply is lost. SHUTDOWN: this node is going; the outcome
    of a write under way is unknown. A read has no outcome: where one failed, it may be asked again.
    """
    match error:
        case NotLeader(leader=str() as leader, metadata=metadata):
            address = client_address(context, leader) or metadata.get(REDIS_ADDRESS)
            text = f"NOTLEADER the leader is {leader}" + (f" at {address}" if address else "")
        case NotLeader():
            text = _NOT_A_MEMBER if isinstance(error, NotMember) else _NO_LEADER
        case LeadershipLost() | OutcomeUnknown() | SessionExpired() if reading:
            text = "CLUSTERDOWN leadership was lost, try again"
        case LeadershipLost(term=term):
            text = f"UNKNOWN the outcome of this write: leadership of term {term} was lost before it was known"
        case OutcomeUnknown() | SessionExpired():
            text = f"UNKNOWN the outcome of this write: {error}"
        case NotCommitted():
            text = "CLUSTERDOWN this write was not carried out: leadership was lost, try again"
        case ResultLost():
            text = "UNKNOWN the reply to this write, which took effect: it was applied on other nodes"
        case Overloaded():
            text = f"OVERLOADED {error}"
        case NodeStopped():
            text = f"SHUTDOWN {error}"
        case CommandTooLarge(size=size, limit=limit):
            text = (
                f"ERR a command of {size} bytes is too large for this service, which takes {limit}: split it, or start "
                "all nodes anew with a larger --max-command-bytes"
            )
        case CommandFailed():
            text = f"ERR the command failed: {text_of(error.__cause__ or error)}"
        case _:
            text = f"ERR {error}"
    return ErrorReply(text)
