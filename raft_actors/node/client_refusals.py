"""What a client is told of an error that its request met."""

from __future__ import annotations

from raft_actors.errors import (
    CommandFailed,
    CommandTooLarge,
    ConfigurationError,
    NodeStopped,
    NotLeader,
    Overloaded,
    RaftError,
    ResultLost,
)
from raft_actors.node.client_messages import refusal_body
from raft_actors.wording import described, text_of


class Refused(RaftError):
    """A request is not carried out; its kind is what the client is told."""

    def __init__(self, text: str, kind: str) -> None:
        self.kind = kind
        super().__init__(text)


def cause_of(failure: CommandFailed) -> str:
    """What a client is told of why its command failed."""
    cause = failure.__cause__
    if type(cause) is RaftError:  # kept by its session, as text
        return str(cause)
    return "" if cause is None else described(cause)


def encode_refusal(error: Exception) -> bytes:
    """What a client is told of an error."""
    kind, text = type(error).__name__, text_of(error)
    more: dict[str, str | float | None] = {}
    match error:
        case Refused():
            kind = error.kind
        case NotLeader():
            more = {"leader": error.leader, "term": error.term}
        case NodeStopped(index=None, under_way=True):  # older clients go by the index alone: None is nothing done
            more = {"index": 0, "under_way": True}
        case NodeStopped():
            more = {"index": error.index, "under_way": error.under_way}
        case ResultLost():
            more = {"index": error.index}
        case CommandTooLarge():
            more = {"size": error.size, "limit": error.limit}
        case Overloaded():
            more = {"cause": error.cause.value, "retry_after_s": error.retry_after_s}
        case ConfigurationError():
            kind = "ConfigurationError"
        case RaftError():
            more = {}
        case _:
            kind, text = "QueryFailed", described(error)
    return refusal_body(kind, text, **more)
