"""Repeatable runs: the order in which Trio runs its tasks, drawn from a seed.

Trio shuffles the tasks that are ready, so that programs do not come to rely on an order. A simulation wants the
shuffle, and wants the same one for the same seed. Trio has a switch for that, which it keeps for tests (Hypothesis
uses it). It is no part of its public interface, so it is looked for here, in one place, and its absence is said
plainly.
"""

from __future__ import annotations

import importlib
from collections.abc import Generator
from contextlib import contextmanager
from random import Random
from typing import Any

from raft_actors.errors import ConfigurationError

_SWITCH = "_ALLOW_DETERMINISTIC_SCHEDULING"
_GENERATOR = "_r"


@contextmanager
def deterministic_scheduling(seed: int) -> Generator[None, None, None]:
    """Have Trio run ready tasks in an order drawn from `seed`, until the block ends.

    It holds for every Trio run of the process meanwhile. The clock must be simulated too (`trio.testing.MockClock` with
    `autojump_threshold=0`): what real time brings about is not repeatable.

    Raises:
        ConfigurationError: this version of Trio has no such switch.
    """
    run: Any = importlib.import_module("trio._core._run")
    generator = getattr(run, _GENERATOR, None)
    if not isinstance(generator, Random) or not hasattr(run, _SWITCH):
        raise ConfigurationError(
            "this version of Trio does not let its scheduler be seeded: simulate with deterministic=False, and "
            "failures will not repeat with their seed"
        )
    switch, state = getattr(run, _SWITCH), generator.getstate()
    setattr(run, _SWITCH, True)
    generator.seed(seed)
    try:
        yield
    finally:
        setattr(run, _SWITCH, switch)
        generator.setstate(state)
