"""The base of all invariants."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from raft_actors.testing.facts import Facts
from raft_actors.testing.hooks import Hooks


def _nobody_listens(_text: str) -> None: ...


class Invariant(Hooks):
    """Something that must hold in a cluster at every moment. Subclass it, and call `fail` when it does not.

        class AtMostTenCommands(Invariant):
            name = "at most ten commands"
            source = "the specification of my application, section 3"

            def applied(self, life, index, command, result):
                if life.applied_count >= 10:
                    self.fail(f"{life} applies an eleventh command")

    An object is used for one run: `simulate(…, invariants=[*STANDARD_INVARIANTS, AtMostTenCommands])` makes it. Its
    methods are called after every step of every node, so they must be cheap: keep what you need to compare, never
    search a log.

    Attributes:
        name: what holds, for messages.
        source: where that is written: the section of the Raft paper, or of your own specification.
        facts: what was seen of the whole cluster so far.
    """

    name: ClassVar[str]
    source: ClassVar[str]

    def __init__(self) -> None:
        self.facts: Facts = Facts()
        self._report: Callable[[str], None] = _nobody_listens

    def attach(self, facts: Facts, report: Callable[[str], None]) -> None:
        """Called once, before the run."""
        self.facts = facts
        self._report = report

    def fail(self, text: str) -> None:
        """Say how the invariant was broken. The run ends soon after; this returns."""
        self._report(f"{self.name} ({self.source}): {text}")
