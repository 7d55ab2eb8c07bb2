"""Where a node begins to number the questions that it asks a leader for its reads."""

from __future__ import annotations

from random import Random

from raft_actors.actors.clock import NodeClock

#: Far below what a message can hold, and far above what chance could meet.
_BITS = 60


def first_read_request(rng: Random, clock: NodeClock) -> int:
    """A number that no other life of the node begins at: it may yet get answers that were meant for an earlier one.

    By the clock, too: a node with a seed (`NodeConfig.seed`) draws the same numbers in every life.
    """
    return rng.getrandbits(_BITS) ^ (int(clock.boottime() * 1e9) % (1 << _BITS))
