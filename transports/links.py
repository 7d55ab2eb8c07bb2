"""What went over the links of a network in memory."""

from __future__ import annotations

import random
from collections import Counter

import attrs

from raft_actors.raft.messages import (
    AppendEntries,
    ConfirmLeader,
    ForwardProposals,
    InstallSnapshot,
    RequestLeave,
    RequestPreVote,
    RequestReadIndex,
    RequestVote,
    TimeoutNow,
)
from raft_actors.records import define
from raft_actors.transports.faults import Faults

REQUESTS: frozenset[type] = frozenset(
    {
        RequestPreVote,
        RequestVote,
        AppendEntries,
        InstallSnapshot,
        ConfirmLeader,
        RequestReadIndex,
        ForwardProposals,
        TimeoutNow,
        RequestLeave,
    }
)
"""Messages that ask; every other one is a reply."""


@define
class LinkStatistics:
    """Counters of one direction between two nodes, or a sum of several.

    Attributes:
        sent: messages handed to the network, by the name of their class (refused ones not included).
        sent_bytes: their encoded size; counted only where the network encodes or was asked to count.
        delivered: messages that reached the receiver's `deliver`, copies included.
        dropped: messages lost to a drawn fault.
        duplicated: messages sent on their way twice.
        blocked: messages, or copies, lost to a cut, a partition or a disconnected, stopped or unwilling receiver.
        refused: messages that `send_nowait` refused: too many under way, too large, or nobody there.
        in_flight: messages and copies under way now.
    """

    sent: Counter[str] = attrs.field(factory=Counter[str])
    sent_bytes: int = 0
    delivered: int = 0
    dropped: int = 0
    duplicated: int = 0
    blocked: int = 0
    refused: int = 0
    in_flight: int = 0

    @property
    def messages(self) -> int:
        """How many messages were sent."""
        return self.sent.total()

    @property
    def requests(self) -> int:
        """How many of them were requests: what an RPC system counts as calls."""
        return sum(self.sent[cls.__name__] for cls in REQUESTS)

    def add(self, other: LinkStatistics) -> None:
        """Add another's counters to these."""
        for field in attrs.fields(LinkStatistics):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


@define(eq=False)
class Link:
    """One direction between two nodes."""

    rng: random.Random
    statistics: LinkStatistics = attrs.field(factory=LinkStatistics)
    faults: Faults | None = None
