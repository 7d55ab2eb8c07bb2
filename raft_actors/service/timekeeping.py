"""Log time goes on while keys are to expire: the leader's service has it told when one is due, and once a second."""

from __future__ import annotations

from contextlib import suppress

import trio

from raft_actors.errors import ProposalError
from raft_actors.raft.transitions import RoleName
from raft_actors.service.connection import Context
from raft_actors.service.operations import Operation, operation

_LONGEST_S = 1.0
"""Between two entries: a leader that ends takes along the time that it has not told yet."""

_LOOK_S = 0.25
_PASS_TIME = operation(Operation.PASS_TIME)


async def keep_time(context: Context) -> None:
    """Do so until cancelled. Where no key is to expire, nothing is done, and nothing written."""
    deadlines = context.machine.deadlines
    while True:
        await deadlines.wait_any()
        if context.node.status().role is not RoleName.LEADER:
            await trio.sleep(_LOOK_S)
            continue
        with trio.move_on_after(deadlines.left_s(_LONGEST_S)) as waiting:
            await deadlines.wait_sooner()
        if waiting.cancelled_caught:
            with suppress(ProposalError):  # there is a leader again at some time
                await context.any_node.write([_PASS_TIME], timed=True)
