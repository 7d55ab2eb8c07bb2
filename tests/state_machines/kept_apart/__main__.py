"""`python -m tests.state_machines.kept_apart`: in which of these machines `check_state_machine` finds a mistake.

Takes two minutes of CPU, most of it in the child processes of the checks.
"""

from __future__ import annotations

import sys
from typing import Any

from raft_actors import StateMachine
from tests.state_machines.kept_apart import BROKEN, RIGHT, finding


def table(machines: dict[type[StateMachine[Any, Any]], list[Any]]) -> int:
    found = 0
    for machine, commands in machines.items():
        what = finding(machine, commands)
        found += bool(what)
        print(f"{machine.__name__:<24}{what or '-'}", flush=True)
    return found


def main() -> int:
    print("with one mistake each:")
    found = table(BROKEN)
    print("\nwith none:")
    alarms = table(RIGHT)
    print(f"\nfound: {found} of {len(BROKEN)}; false alarms: {alarms} of {len(RIGHT)}")
    return 1 if alarms else 0


if __name__ == "__main__":
    sys.exit(main())
