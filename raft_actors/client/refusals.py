"""What a node's refusal means: ask again, here or elsewhere, or tell who asked."""

from __future__ import annotations

import enum
from typing import Any

from raft_actors.client.errors import NotPermitted, OutcomeUnknown, QueryFailed
from raft_actors.errors import CommandTooLarge, ConfigurationError, Overloaded, ProtocolError, RaftError, ResultLost
from raft_actors.overload import cause_told, retry_told


class Verdict(enum.Enum):
    """What to do about a refusal."""

    NOTHING_DONE = "nothing was done: ask again"
    UNKNOWN = "it may have been done: ask again, under the same number"
    FINAL = "tell who asked"


_NOTHING_DONE = frozenset({"NotLeader", "NotMember", "LeadershipEnded", "Overloaded", "ReadNotReady"})


def verdict_of(refusal: dict[str, Any], *, several: bool = False) -> Verdict:
    """What to do.

    Args:
        refusal: what the node said.
        several: whether several entries were to be proposed together.
    """
    kind = refusal["kind"]
    if kind in _NOTHING_DONE:
        return Verdict.NOTHING_DONE
    if kind == "LeadershipLost":
        return Verdict.UNKNOWN
    if kind == "NotCommitted":  # of several, the first ones may be
        return Verdict.UNKNOWN if several else Verdict.NOTHING_DONE
    if kind == "NodeStopped":  # an older node does not say what it had handed on to a leader
        return Verdict.NOTHING_DONE if refusal.get("under_way") is False else Verdict.UNKNOWN
    return Verdict.FINAL


def overload_of(refusal: dict[str, Any]) -> Overloaded | None:
    """What a refusal says of too much to do, and of when to come back; None: it is another one.

    An older node says no more than that there is too much; then it is for the client to know when to come back.
    """
    if refusal["kind"] != "Overloaded":
        return None
    cause, retry_after_s = cause_told(refusal.get("cause")), retry_told(refusal.get("retry_after_s"))
    return Overloaded(refusal["text"], cause, retry_after_s)


_ERRORS: dict[str, type[RaftError]] = {
    "NotPermitted": NotPermitted,
    "QueryFailed": QueryFailed,
    "ConfigurationError": ConfigurationError,
    "ProtocolError": ProtocolError,
}


def error_of(refusal: dict[str, Any], *, proposes: bool, in_doubt: bool) -> RaftError:
    """What to tell who asked.

    Args:
        refusal: what the node said.
        proposes: whether it was asked to propose something.
        in_doubt: another node had it before, and did not say what became of it.
    """
    kind, text = refusal["kind"], refusal["text"]
    match refusal:
        case {"kind": "ResultLost", "index": int(index)}:
            return ResultLost(index)
        case _ if proposes and (in_doubt or kind not in (*_ERRORS, "CommandTooLarge", "UnknownRequest")):
            return OutcomeUnknown(f"the outcome of what was proposed is unknown; a node says: {kind}: {text}")
        case {"kind": "CommandTooLarge", "size": int(size), "limit": int(limit)}:
            return CommandTooLarge(size, limit)
        case _:
            return _ERRORS.get(kind, RaftError)(text)
