"""A client that asks one node after the other until it is answered: `python -m examples.counter.client add 5`."""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import trio

from examples.counter.counter import Member, read_members
from examples.counter.lines import Lines

ATTEMPT_S = 3.0
"""A node that says nothing for so long is taken for lost. Longer than it may wait for an election."""
PAUSE_S = 0.1


@attrs.frozen
class Answer:
    """The number, and who said it."""

    value: int
    node: str


class CounterClient:
    """For one task at a time. All waits are unbounded: use a cancel scope."""

    def __init__(self, members: Mapping[str, Member]) -> None:
        self._members = dict(members)
        self._target = next(iter(members))  # who answered last
        self._name = uuid.uuid4().hex
        self._number = 0

    async def add(self, amount: int) -> Answer:
        """Add once, however often it has to be sent; return the number after it."""
        self._number += 1  # once for each request, not for each attempt
        return await self._call({"client": self._name, "number": self._number, "amount": amount})

    async def read(self) -> Answer:
        """The number, with all that was added before."""
        return await self._call({})

    async def _call(self, request: dict[str, Any]) -> Answer:
        while True:
            node = self._target
            reply = await self._attempt(node, request)
            if reply is not None and "error" in reply:
                raise ValueError(reply["error"])
            if reply is not None and "value" in reply:
                return Answer(reply["value"], node)
            # It waited for a leader in vain, or can't be reached: another one may be better off.
            self._target = self._after(node)
            await trio.sleep(PAUSE_S)

    async def _attempt(self, node: str, request: dict[str, Any]) -> dict[str, Any] | None:
        """What that node answers; None if nothing came back, in which case the request may have been carried out."""
        with trio.move_on_after(ATTEMPT_S):  # noqa: ASYNC912 - to connect is to wait
            try:
                async with await trio.open_tcp_stream(*self._members[node].host_and_port) as stream:
                    lines = Lines(stream)
                    await lines.send(request)
                    return await lines.receive()
            except (OSError, trio.BrokenResourceError):
                pass
        return None

    def _after(self, node: str) -> str:
        names = list(self._members)
        return names[(names.index(node) + 1) % len(names)]


async def run(members: dict[str, Member], amount: int | None, timeout_s: float) -> None:
    """Print the answer.

    Raises:
        trio.TooSlowError: nobody answered in time; an addition may have been made all the same.
    """
    client = CounterClient(members)
    with trio.fail_after(timeout_s):
        answer = await (client.read() if amount is None else client.add(amount))
    print(f"{answer.value} ({answer.node})")


def main() -> None:
    """Read the command line, and ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=Path, default=Path(__file__).parent / "members.json", metavar="FILE")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS")
    commands = parser.add_subparsers(required=True)
    add = commands.add_parser("add", help="add to the number")
    add.add_argument("amount", type=int)
    commands.add_parser("read", help="show the number").set_defaults(amount=None)
    arguments = parser.parse_args()
    try:
        trio.run(run, read_members(arguments.members), arguments.amount, arguments.timeout)
    except trio.TooSlowError:
        sys.exit(f"no answer in {arguments.timeout:g} s: do at least two of the three nodes run?")


if __name__ == "__main__":
    main()
