"""What an applier counts."""

from __future__ import annotations

from raft_actors.records import frozen


@frozen
class ApplierStatistics:
    """Counters of an applier.

    Attributes:
        applied_commands: commands given to the state machine since the node started.
        failed_commands: those among them whose `apply` raised.
        snapshots_restored: snapshots given to the state machine, the one at the start included.
    """

    applied_commands: int
    failed_commands: int
    snapshots_restored: int
