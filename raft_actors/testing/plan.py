"""What is to befall a simulated cluster in a run, as data. `plans` draws it from a seed."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import attrs

from raft_actors.config import Leases, NodeConfig
from raft_actors.transports.faults import Faults

ANYTHING = "anything"
"""The profile that leans towards nothing."""


@attrs.frozen(kw_only=True)
class PlannedFaults:
    """One run's faults.

    Attributes:
        config: what the nodes are started with.
        requests: faults of messages that ask.
        replies: faults of messages that answer.
        outlive: whether messages under way outlive their receiver's restart.
        disk_s: how long writes take.
        clock_rates: the range that each node's clock draws its rate from.
        gap_s: mean time from one action to the next.
        down_s: mean time that a node is down before it is started again.
        actions: action → how likely it is, compared with the others. See `actions`.
        clients: how many clients work at a time.
        think_s: mean time that a client waits between two calls.
        in_step_s: clients call only at multiples of this time, so that their calls come together; 0: at any time.
        patience_s: how long a client waits for an answer before it tries again.
        stubborn: probability that it then tries the same node: a leader that was cut off gets entries that way.
        huge_bytes: size of the largest commands; 0: none is large.
        huge_share: how many of the commands are so large.
        client_crashes: probability that a client dies within a call and another takes its place.
        readers: how many further clients look for leaders that were deposed, to see whether they still answer.
        profile: what it is about; see `profiles`.
        leases: of leaders; None: they hold none. The clock that goes on in suspend is as wrong then as it may be.
        older: how many of the nodes stand for such of an older version, which know nothing of what was added since.
    """

    config: NodeConfig
    requests: Faults = attrs.field(factory=Faults)
    replies: Faults = attrs.field(factory=Faults)
    outlive: bool = False
    disk_s: tuple[float, float] = (0.0, 0.002)
    clock_rates: tuple[float, float] = (1.0, 1.0)
    gap_s: float = 1.0
    down_s: float = 1.0
    actions: Mapping[str, float] = attrs.field(factory=dict[str, float])
    clients: int = 5
    think_s: float = 0.3
    in_step_s: float = 0.0
    patience_s: float = 1.0
    stubborn: float = 0.0
    huge_bytes: int = 0
    huge_share: float = 0.05
    client_crashes: float = 0.0
    readers: int = 0
    profile: str = ANYTHING
    leases: Leases | None = None
    older: int = 0


def draw_faults(rng: Random) -> Faults:
    """Draw what befalls messages; sometimes nothing but a short delay does."""
    least = rng.choice((0.0, 0.0002, 0.002))
    most = least + rng.choice((0.0, 0.001, 0.01, 0.05))
    if rng.random() < 0.25:
        return Faults(delay_s=(least, most))
    return Faults(
        delay_s=(least, most),
        drop=rng.choice((0.0, 0.0, 0.01, 0.05, 0.2)),
        duplicate=rng.choice((0.0, 0.0, 0.02, 0.2)),
        reorder=rng.choice((0.0, 0.0, 0.05, 0.3)),
        reorder_delay_s=(0.0, rng.choice((0.02, 0.2, 1.0))),
        replay=rng.choice((0.0, 0.0, 0.005, 0.03)),
        replay_delay_s=(0.5, rng.choice((2.0, 15.0))),
    )
