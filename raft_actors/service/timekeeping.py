"""Log time goes on while keys are to expire: the leader's service has it told when one is due, and once a second."""

from __future__ import annotations

from contextlib import suppress

import trio

from raft_actors.errors import NodeStopped, NotMember, ProposalError
from raft_actors.service.connection import Context
from raft_actors.service.operations import Operation, operation

_LONGEST_S = 1.0
"""Between two entries: a leader that ends takes along the time that it has not told yet."""

_PASS_TIME = operation(Operation.PASS_TIME)


async def keep_time(context: Context) -> None:
    """Do so until cancelled, or the node has ended. Where no key is to expire, nothing is done, and nothing written.

    A node that was removed may be added again.
    """
    with suppress(NodeStopped):
        while True:
            try:
                async with context.node.while_leading():
                    await _tell_time(context)
            except NotMember:
                await trio.sleep(_LONGEST_S)


async def _tell_time(context: Context) -> None:
    deadlines = context.machine.deadlines
    while True:
        await deadlines.wait_any()
        with trio.move_on_after(deadlines.left_s(_LONGEST_S)) as waiting:
            await deadlines.wait_sooner()
        if waiting.cancelled_caught:
            with suppress(ProposalError):  # there is a leader again at some time
                await context.any_node.write([_PASS_TIME], timed=True)
