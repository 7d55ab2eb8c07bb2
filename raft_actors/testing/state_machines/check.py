"""`check_state_machine`: what replicas of a state machine would part ways over, found without a cluster.

Every replica applies the same commands, but not in the same process, nor at the same time, and not all from the first
one: some begin with a snapshot (Raft paper §2 and §7). So the same commands are applied to several instances, in other
surroundings, and with snapshots and restores between them; all must answer alike, and arrive at the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import attrs

from raft_actors.errors import ConfigurationError
from raft_actors.state_machine import StateMachine
from raft_actors.testing.failure import CheckFailed
from raft_actors.testing.kept_snapshots import difference
from raft_actors.testing.state_machines.children import run_in_other_processes
from raft_actors.testing.state_machines.sameness import fields_of, is_same
from raft_actors.testing.state_machines.surroundings import moved_clock
from raft_actors.testing.state_machines.trial import Make, Raised, Trial

_CHUNK_SIZES: tuple[int | None, ...] = (1, 7, None)
_DAYS = 400
_MOST_CUTS = 6
_MOST_RAISING = 8


def check_state_machine(
    make: Callable[[], StateMachine[Any, Any]],
    commands: Iterable[Any],
    *,
    processes: bool = True,
    raising_changes_state: bool = False,
) -> None:
    """Apply commands to several instances of a state machine, in every way in which replicas may come to apply them.

    It looks for what makes replicas differ: a clock, randomness, hashes, the host; state that instances share; a
    snapshot that changes while it is drawn, or changes the state; a `restore` that forgets something, keeps something,
    or counts on how the snapshot is cut; a command that raises half-way; an answer that changes later; a `state_digest`
    that differs where states don't. It finds what these commands bring about, by answers and snapshots: so give some
    that use everything the machine can do, and some hundred where it does something only rarely, which takes a few
    seconds. It does not see `pass_time`, queries that change the state, timers and files. In a Hypothesis test, pass
    `processes=False` and drawn commands.

    Args:
        make: makes a new machine with its first state; the class itself, most often.
        commands: to apply, in order; the machine's `commands` must be able to encode them.
        processes: also apply them in two child processes, with other hashes, clocks, time zones and host names. `make`
            and the commands' classes must then be importable there: no lambdas, nothing defined inside a function.
        raising_changes_state: whether a command whose `apply` raises may change the state all the same.

    Raises:
        CheckFailed: replicas would part ways; the text says over what.
        ConfigurationError: the check can't be made: there are no commands, or `make` is nothing to make machines with.
        TypeError: a command can't be encoded.
    """
    check = _Check.prepare(make, commands)
    for look in (
        check.a_snapshot_can_be_taken_twice,
        check.instances_share_nothing,
        check.the_clock_does_not_matter,
        check.answers_stay_as_they_were,
        check.snapshots_change_nothing,
        check.snapshots_are_of_their_moment,
        check.a_restored_machine_goes_on_alike,
    ):
        look()
    if not raising_changes_state:
        check.a_raising_command_changes_nothing()
    if processes:
        check.other_processes_agree()


@attrs.define
class _Check:
    """The commands as bytes, and what a first machine made of them.

    Attributes:
        shown: how each command reads in a report.
        first: the machine that applied all commands twice in a row, without a snapshot in between.
        new: the snapshot of a new machine, drawn before any other had applied anything.
        whole: the snapshot of a machine after the commands were applied once.
        modules: where names of clocks may have been imported to.
    """

    make: Make
    commands: list[bytes]
    shown: list[str]
    first: Trial
    new: bytes
    whole: bytes
    modules: set[str]

    @classmethod
    def prepare(cls, make: Make, commands: Iterable[Any]) -> _Check:
        given = list(commands)
        if not given:
            raise ConfigurationError("check_state_machine needs commands to apply")
        machine = _made(make)
        data = [machine.commands.encode(command) for command in given]
        new = Trial(machine, "a new instance").snapshot()
        first = Trial(_made(make), "the first instance").apply_all(data).apply_all(data)
        whole = Trial(_made(make), "an instance").apply_all(data).snapshot()
        modules = {kind.__module__ for kind in type(machine).__mro__} | {type(command).__module__ for command in given}
        modules -= {"builtins", "abc", "typing", StateMachine.__module__}
        return cls(make, data, [_short(command) for command in given], first, new, whole, modules)

    # --- comparing -------------------------------------------------------------------------------------------

    def trial(self, name: str) -> Trial:
        """A new machine."""
        return Trial(_made(self.make), name)

    def cuts(self) -> Iterator[int]:
        """After how many commands to take a snapshot: none, all, and some between."""
        count = len(self.commands)
        yield from sorted({0, 1, count, *(count * part // (_MOST_CUTS - 2) for part in range(1, _MOST_CUTS - 2))})

    def same_answers(self, trial: Trial, begin: int, broken: str) -> None:
        """Compare what a machine has answered with what the first one did from command number `begin` on."""
        for offset, answer in enumerate(trial.kept):
            number = begin + offset
            expected = self.first.kept[number]
            if not is_same(answer, expected):
                raise CheckFailed(
                    f"{self.command(number)}: the first instance answered {_short(expected)}, {trial.name} "
                    f"{_short(answer)}",
                    broken,
                )

    def same_state(self, one: bytes, other: bytes, of: str, broken: str) -> None:
        """Compare two snapshots, by what they restore where their bytes differ."""
        if one == other:
            return
        restored = [self.trial("a machine restored to compare states").restore(data, None) for data in (one, other)]
        ours, theirs = (fields_of(trial.machine) for trial in restored)
        if ours and is_same(ours, theirs):
            return  # the same state, written in another order
        raise CheckFailed(f"a snapshot differs from that of {of}: {difference(one, other)}", broken)

    def same_digest(self, one: Trial, other: Trial) -> None:
        """Compare what two machines of one state tell as its digest, where they tell any."""
        ours, theirs = one.digest(), other.digest()
        if ours != theirs:
            raise CheckFailed(
                f"{one.name} has the state_digest {_short(ours)}, and with the same state {other.name} has "
                f"{_short(theirs)}: nodes would end over it",
                "equal states have equal digests",
            )

    def command(self, number: int) -> str:
        """What a report calls a command."""
        count = len(self.commands)
        again = ", applied once more" if number >= count else ""
        return f"command {number % count} ({self.shown[number % count]}{again})"

    # --- the checks ------------------------------------------------------------------------------------------

    def instances_share_nothing(self) -> None:
        """A second instance in the same process begins like the first, and goes on like it."""
        broken = "instances share no state"
        second = self.trial("a second one, in the same process,")
        if second.machine is self.first.machine:
            raise CheckFailed("make() gave the same machine twice: each replica needs one of its own", broken)
        self.same_state(self.new, second.snapshot(), "a new one made after that had applied commands", broken)
        before = self.first.snapshot()
        second.apply_all(self.commands)
        self.same_answers(second, 0, "every instance answers alike")
        self.same_state(self.whole, second.snapshot(), second.name.strip(","), "every instance answers alike")
        after = self.first.snapshot()
        self.same_state(before, after, "itself, after a second one had applied commands", broken)

    def the_clock_does_not_matter(self) -> None:
        """A second instance whose clock is moved goes on like the first."""
        trial = self.trial(f"one whose clock is moved by {_DAYS} days")
        with moved_clock(self.modules, _DAYS):
            trial.apply_all(self.commands)
            whole = trial.snapshot()
        self.same_answers(trial, 0, "no clock matters")
        self.same_state(self.whole, whole, trial.name, "no clock matters")

    def answers_stay_as_they_were(self) -> None:
        """What `apply` returned is the caller's: later commands do not change it."""
        for number, (answer, kept) in enumerate(zip(self.first.answers, self.first.kept, strict=True)):
            if not is_same(answer, kept):
                raise CheckFailed(
                    f"{self.command(number)}: its answer was {_short(kept)} and became {_short(answer)} when later "
                    "commands were applied: return a copy of what the state keeps",
                    "answers stay as they were",
                )

    def a_snapshot_can_be_taken_twice(self) -> None:
        """Two snapshots in a row are the same, of a new machine and of a used one."""
        for commands in ([], self.commands):
            trial = self.trial("one that took two snapshots").apply_all(commands)
            of = f"the same state, taken again after {len(commands)} commands"
            self.same_state(trial.snapshot(), trial.snapshot(), of, "snapshots change nothing")

    def snapshots_change_nothing(self) -> None:
        """Commands after a snapshot are answered as without."""
        trial = self.trial("one that took snapshots in between")
        taken = 0
        for cut in self.cuts():
            trial.apply_all(self.commands[taken:cut]).snapshot()
            taken = cut
        trial.apply_all(self.commands)
        self.same_answers(trial, 0, "snapshots change nothing")

    def snapshots_are_of_their_moment(self) -> None:
        """What is drawn from a snapshot while later commands are applied is the state at its beginning."""
        for cut in self.cuts():
            trial = self.trial("one that drew a snapshot while it applied commands").apply_all(self.commands[:cut])
            at_once = trial.snapshot()
            drawing = iter(trial.pieces())
            pieces: list[bytes] = []
            for data in self.commands[cut:] + self.commands:
                trial.apply(data)
                pieces += [piece for piece in [next(drawing, None)] if piece is not None]
            drawn = b"".join([*pieces, *drawing])
            what = f"the same state after {cut} commands, drawn while later ones were applied"
            self.same_state(at_once, drawn, what, "snapshots are of their moment")

    def a_restored_machine_goes_on_alike(self) -> None:
        """A machine that begins with a snapshot answers later commands like one that applied those before."""
        for cut in self.cuts():
            taken = self.trial("one that was snapshotted").apply_all(self.commands[:cut])
            for size in _CHUNK_SIZES:
                self._restores(cut, taken, size, used=False)
            self._restores(cut, taken, None, used=True)

    def _restores(self, cut: int, taken: Trial, size: int | None, *, used: bool) -> None:
        snapshot = taken.snapshot()
        pieces = "one piece" if size is None else f"pieces of {size} B"
        who = "a used machine" if used else "a new machine"
        trial = self.trial(f"{who} restored after {cut} commands, from a snapshot in {pieces},")
        if used:
            trial.apply_all(self.commands)
            trial.answers.clear()
            trial.kept.clear()
        trial.restore(snapshot, size)
        broken = "restore brings back the whole state, and that alone"
        self.same_state(snapshot, trial.snapshot(), trial.name.strip(","), broken)
        self.same_digest(taken, trial)
        trial.apply_all(self.commands[cut:]).apply_all(self.commands)
        self.same_answers(trial, cut, broken)
        # What no answer shows may differ all the same: a number that stamps what later commands leave behind, say.
        of = f"{trial.name.strip(',')}, after the later commands"
        self.same_state(self.first.snapshot(), trial.snapshot(), of, broken)
        self.same_digest(self.first, trial)

    def a_raising_command_changes_nothing(self) -> None:
        """A command whose `apply` raises has left the state as it was."""
        raising = [number for number, answer in enumerate(self.first.kept) if isinstance(answer, Raised)]
        every = self.commands + self.commands
        for number in raising[:_MOST_RAISING]:
            trial = self.trial("one at which a command raised").apply_all(every[:number])
            before = trial.snapshot()
            trial.apply(every[number])
            after = trial.snapshot()
            raised = f"{self.command(number)}, which raised {trial.kept[-1].error!r}"
            of = f"itself after {raised}: raise before changing anything"
            self.same_state(before, after, of, "a command that raises changes nothing")

    def other_processes_agree(self) -> None:
        """Child processes with other hashes, clock, time zone and host name answer alike."""
        for report in run_in_other_processes(self.make, self.commands, self.modules, self.first.kept):
            broken = "every process answers alike"
            if report.differs_at is not None:
                number = report.differs_at
                raise CheckFailed(
                    f"{self.command(number)}: this process answered {report.ours}, one with {report.surroundings} "
                    f"{report.theirs}",
                    broken,
                )
            self.same_state(self.whole, report.whole, f"one in a process with {report.surroundings}", broken)


def _made(make: Any) -> StateMachine[Any, Any]:
    machine: Any = make() if callable(make) else None
    if not issubclass(machine.__class__, StateMachine):
        raise ConfigurationError(
            f"make must give a new StateMachine at each call (the class itself, say), not {_short(machine)}"
        )
    made: StateMachine[Any, Any] = machine
    return made


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
