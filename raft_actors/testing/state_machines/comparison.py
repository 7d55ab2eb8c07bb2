"""What one instance of a state machine made of a list of commands, and how others are compared with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs

from raft_actors.errors import ConfigurationError
from raft_actors.state_machine import StateMachine
from raft_actors.testing.failure import CheckFailed
from raft_actors.testing.kept_snapshots import difference
from raft_actors.testing.state_machines.sameness import fields_of, is_same
from raft_actors.testing.state_machines.trial import Make, Raised, Step, Trial, copied

MOST_CUTS = 6

Query = Callable[[Any], Any]


@attrs.define
class Comparison:
    """The commands as bytes, and what a first machine made of them.

    Attributes:
        shown: how each command reads in a report.
        modules: where names of clocks may have been imported to.
        asked: queries that the application answers alike on all replicas.
        first: the machine that applied all commands, and `again` all, without a snapshot in between.
        new: the snapshot of a new machine, drawn before any other had applied anything.
        whole: the snapshot of a machine after the commands were applied once.
    """

    make: Make
    steps: list[Step]
    shown: list[str]
    modules: set[str]
    asked: list[Query] = attrs.field(factory=list[Query])
    new: bytes = attrs.field(init=False)
    first: Trial = attrs.field(init=False)
    whole: bytes = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.new = self.trial("a new instance").snapshot()
        self.first = self.trial("the first instance").apply_all(self.steps).apply_all(self.again())
        self.whole = self.trial("an instance").apply_all(self.steps).snapshot()

    def again(self) -> list[Step]:
        """The same commands once more, the last one first: those that only look often come last. At later times."""
        last = max((step.now_ms for step in self.steps if step.now_ms is not None), default=0)
        return [
            step if step.now_ms is None else attrs.evolve(step, now_ms=2 * last - step.now_ms)
            for step in reversed(self.steps)
        ]

    def every(self) -> list[Step]:
        """What the first machine applied."""
        return self.steps + self.again()

    def trial(self, name: str) -> Trial:
        """A new machine."""
        return Trial(made(self.make), name)

    def cuts(self, most: int = MOST_CUTS) -> Iterator[int]:
        """After how many commands to take a snapshot: none, all, and some between."""
        count = len(self.steps)
        yield from sorted({0, 1, count, *(count * part // (most - 2) for part in range(1, most - 2))})

    def command(self, number: int) -> str:
        """What a report calls a command."""
        count = len(self.steps)
        again = ", applied once more" if number >= count else ""
        given = number if number < count else 2 * count - 1 - number
        return f"command {given} ({self.shown[given]}{again})"

    def same_answers(self, trial: Trial, begin: int, broken: str) -> None:
        """Compare what a machine has answered with what the first one did from command number `begin` on."""
        for offset, answer in enumerate(trial.kept):
            number = begin + offset
            expected = self.first.kept[number]
            if not is_same(answer, expected):
                raise CheckFailed(
                    f"{self.command(number)}: the first instance answered {short(expected)}, {trial.name} "
                    f"{short(answer)}",
                    broken,
                )

    async def same_state(self, one: bytes, other: bytes, of: str, broken: str) -> None:
        """Compare two snapshots; where their bytes differ, by the digests or fields of machines restored from them."""
        if one == other:
            return
        ours, theirs = [
            await self.trial("a machine restored to compare states").restore(data, None) for data in (one, other)
        ]
        digests = ours.digest(), theirs.digest()
        if None in digests:
            fields = fields_of(ours.machine), fields_of(theirs.machine)
            same = bool(fields[0]) and is_same(*fields)
        else:
            same = digests[0] == digests[1]
        if not same:  # otherwise it is the same state, written in another order
            raise CheckFailed(f"a snapshot differs from that of {of}: {difference(one, other)}", broken)

    def same_digest(self, one: Trial, other: Trial) -> None:
        """Compare what two machines of one state tell as its digest, where they tell any."""
        ours, theirs = one.digest(), other.digest()
        if ours != theirs:
            raise CheckFailed(
                f"{one.name} has the state_digest {short(ours)}, and with the same state {other.name} has "
                f"{short(theirs)}: nodes would end over it",
                "equal states have equal digests",
            )

    def same_queries(self, one: Trial, other: Trial, broken: str) -> None:
        """Compare what two machines of one state answer to the application's queries."""
        for query in self.asked:
            ours, theirs = ask(query, one), ask(query, other)
            if not is_same(ours, theirs):
                raise CheckFailed(
                    f"query {short(query)}: {one.name} answered {short(ours)}, {other.name} {short(theirs)}", broken
                )


def ask(query: Query, trial: Trial) -> Any:
    """A copy of what a machine answers to a query."""
    try:
        return copied(query(trial.machine))
    except Exception as error:  # noqa: BLE001 - the query's outcome, for who asks
        return Raised(error)


def made(make: Any) -> StateMachine[Any, Any]:
    """A new machine.

    Raises:
        ConfigurationError: `make` makes none.
    """
    machine: Any = make() if callable(make) else None
    if not issubclass(machine.__class__, StateMachine):
        raise ConfigurationError(
            f"make must give a new StateMachine at each call (the class itself, say), not {short(machine)}"
        )
    made: StateMachine[Any, Any] = machine
    return made


def short(value: Any) -> str:
    """A value as a report shows it."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
