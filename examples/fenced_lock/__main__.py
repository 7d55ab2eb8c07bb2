"""A holder that sleeps too long comes back too late: `python -m examples.fenced_lock`."""

from __future__ import annotations

import trio

from examples.fenced_lock.lock import Acquire, Ledger, Locks, Release, StaleToken
from examples.three_nodes import leader_of, three_nodes


async def main() -> None:
    """Two holders, one after the other, of which the first does not know that it is none any more."""
    ledger = Ledger()
    async with three_nodes(Locks) as nodes:
        locks = leader_of(nodes)
        first = await locks.propose(Acquire("ledger", "anna"))
        print("anna has token", first)
        print("bert gets", await locks.propose(Acquire("ledger", "bert")))

        # Anna's process sleeps: a long collection of garbage, a suspended machine. Somebody takes it for gone.
        await locks.propose(Release("ledger", first))
        second = await locks.propose(Acquire("ledger", "bert"))
        print("bert has token", second)
        ledger.write(second, "bert was here")

        try:
            ledger.write(first, "anna was here")
        except StaleToken as error:
            print("anna is refused:", error)
        await locks.propose(Release("ledger", first))  # too late as well: it is bert's now
        print("held by:", await locks.read(lambda machine: machine.held["ledger"]))
    print("the ledger:", ledger.lines)


trio.run(main)
