"""What there can be too much of."""

from __future__ import annotations

import enum


class OverloadCause(enum.Enum):
    """Which bound turned a proposal away (`Overloaded.cause`)."""

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
    """The member that leads has too much to commit to take more from this one."""
    SESSION = "session"
    """As many commands of this session are open as may be: learn their outcomes first."""
