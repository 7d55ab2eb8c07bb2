"""State machines as users write them, made without a look at what `check_state_machine` looks for.

`python -m tests.state_machines.kept_apart` counts what it finds. At first it missed five of them, and has learned the
kinds of four since. New machines come in as they are written, found or not.
"""

from __future__ import annotations

from typing import Any

from raft_actors import StateMachine
from raft_actors.testing import CheckFailed, check_state_machine
from tests.state_machines.kept_apart import bank, jobs, key_value, orders, right
from tests.state_machines.kept_apart.base import BROKEN, RIGHT

__all__ = ["BROKEN", "RIGHT", "bank", "finding", "jobs", "key_value", "orders", "right"]


def finding(machine: type[StateMachine[Any, Any]], commands: list[Any], *, processes: bool = True) -> str:
    """What the check calls the machine's mistake; "" where it finds none."""
    try:
        check_state_machine(machine, commands, processes=processes)
    except CheckFailed as error:
        return error.broken
    return ""
