"""What there can be too much of."""

from __future__ import annotations

import enum

LONGEST_RETRY_S = 5.0
"""The longest that anybody is told to stay away."""


class OverloadCause(enum.Enum):
    """Which bound turned a proposal away (`Overloaded.cause`). The values are the wire's, and keep their meaning."""

    DELAY = "delay"
    """More would only wait: what is under way takes much longer already than it would alone
    (`NodeConfig.congestion_delay_s`)."""
    WAIT = "wait"
    """So many wait for room already that this one would wait for longer than `NodeConfig.max_room_wait_s`."""
    PROPOSALS = "proposals"
    """`NodeConfig.max_pending_proposals` proposals and reads are under way."""
    BYTES = "bytes"
    """Proposals of `NodeConfig.max_uncommitted_bytes` are under way."""
    DISK = "disk"
    """The leader's disk is too far behind, or does nothing."""
    NO_MAJORITY = "no majority"
    """The bound is reached because no majority of the voters answers the leader."""
    INBOX = "inbox"
    """`NodeConfig.inbox_capacity` messages wait for the node."""
    LEADER = "leader"
    """The member that leads has too much to commit to take more from this one, and is of a version that does not say
    what."""
    SESSION = "session"
    """As many commands of this session are open as may be: learn their outcomes first."""


def cause_told(value: object) -> OverloadCause:
    """Which cause a leader has told by its value; one that only a newer version knows is `LEADER`."""
    try:
        return OverloadCause(value)
    except ValueError:
        return OverloadCause.LEADER


def retry_told(value: object) -> float:
    """When to come back, in seconds, as a node has told it: 0.0 where it is no time, `LONGEST_RETRY_S` at most."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:  # not a number, too
        return 0.0
    return float(min(value, LONGEST_RETRY_S))
