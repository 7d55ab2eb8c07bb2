"""`check_state_machine`: what would make replicas of a state machine diverge, found without a cluster.

Every replica applies the same commands, but not in the same process, nor at the same time, and not all from the first
one: some begin with a snapshot (Raft paper §2 and §7). So the same commands are applied to several instances, in other
surroundings, and with snapshots and restores between them; all must answer alike, and arrive at the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import attrs

from raft_actors.errors import ConfigurationError
from raft_actors.state_machine import StateMachine
from raft_actors.testing.failure import CheckFailed
from raft_actors.testing.state_machines.apart import run_apart
from raft_actors.testing.state_machines.children import Children, Report
from raft_actors.testing.state_machines.comparison import MOST_CUTS, Comparison, Query, ask, made, short
from raft_actors.testing.state_machines.more_commands import drawn, with_other_text, with_time
from raft_actors.testing.state_machines.queries import made_up_queries
from raft_actors.testing.state_machines.reads import started_threads, variables_read
from raft_actors.testing.state_machines.sameness import is_same
from raft_actors.testing.state_machines.surroundings import moved_clock
from raft_actors.testing.state_machines.trial import Raised, Step, Trial, copied

_CHUNK_SIZES: tuple[int | None, ...] = (1, 7, None)
_DAYS = 400
_MOST_RAISING = 8
#: At a command or two more or less than another one, and far from it.
_LAGS = (0, 1, 3)
_FEW_CUTS = 4
#: A snapshot is taken after each of so few commands: what it lacks may show only right after one of them.
_FEW_COMMANDS = 20
#: So many states are compared after a restore, one command after the other.
_NEXT = 6


def check_state_machine(
    make: Callable[[], StateMachine[Any, Any]],
    commands: Iterable[Any],
    *,
    queries: Iterable[Callable[[Any], Any]] = (),
    processes: bool = True,
    raising_changes_state: bool = False,
    extra_commands: int = 300,
) -> None:
    """Apply commands to several instances of a state machine, in every way in which replicas may come to apply them.

    It looks for what makes replicas differ: a clock, randomness, hashes, the host, files and environment variables that
    `apply` reads; threads that it starts; state that instances share; a snapshot that changes while it is drawn, or
    changes the state; a `restore` that forgets something, keeps something, or counts on how the snapshot is cut; a
    command that raises half-way; an answer that changes later; a query that changes the state; a `state_digest` that
    differs where states don't. Where the machine has a `pass_time`, log time goes on between the commands, too.

    It finds what the commands bring about, by answers and snapshots: so give some that use everything the machine can
    do. Of them it makes `extra_commands` more: the same in other order and number, and some with longer text. What it
    takes is a few seconds. In a Hypothesis test, pass `processes=False`, `extra_commands=0` and drawn commands.

    Args:
        make: makes a new machine with its first state; the class itself, most often.
        commands: to apply, in order; the machine's `commands` must be able to encode them.
        queries: called with a machine, as `Node.read` does; their answers are a part of what must be alike. Those that
            `attrs_queries` was given are tried all the same, to see that they change nothing.
        processes: also apply them in two child processes, with other hashes, clocks, time zones and host names, where
            files show. `make` and the commands' classes must then be importable there: no lambdas, nothing
            defined inside a function.
        raising_changes_state: whether a command whose `apply` raises may change the state all the same.
        extra_commands: how many more to draw of the given ones; 0: no others than those given, either.

    Raises:
        CheckFailed: replicas would diverge; the text says by what.
        ConfigurationError: the check can't be made: there are no commands, or `make` is nothing to make machines with.
        TypeError: a command can't be encoded.
    """
    given = list(commands)
    asked = list(queries)

    async def run() -> None:
        check = _Check.of(make, given, asked)
        lingering = await check.threads_change_nothing()
        await check.look(raising_changes_state=raising_changes_state)
        if extra_commands > 0 and not lingering:  # each of them might start a thread
            await check.look_at_more(given, extra_commands)
        if processes:
            await check.other_processes_agree()

    run_apart(run)


@attrs.define
class _Check(Comparison):
    """What is looked at.

    Attributes:
        harmless: queries that must not change the state, whatever they answer.
        timed: log time matters to the machine.
    """

    harmless: list[Query] = attrs.field(factory=list[Query])
    timed: bool = False

    @classmethod
    def of(cls, make: Any, given: Sequence[Any], asked: list[Query]) -> _Check:
        if not given:
            raise ConfigurationError("check_state_machine needs commands to apply")
        machine = made(make)
        steps = [Step(machine.commands.encode(command)) for command in given]
        modules = {kind.__module__ for kind in type(machine).__mro__} | {type(command).__module__ for command in given}
        modules -= {"builtins", "abc", "typing", StateMachine.__module__}
        harmless = [*asked, *made_up_queries(machine.queries, given)]
        kind: Any = type(machine)
        timed = kind.pass_time is not vars(StateMachine)["pass_time"]
        return cls(make, steps, [short(command) for command in given], modules, asked, harmless, timed)

    async def look(self, *, raising_changes_state: bool) -> None:
        """Look at the given commands from all sides."""
        await self.a_snapshot_can_be_taken_twice()
        await self.instances_share_nothing()
        self.instances_by_turns_answer_alike()
        await self.the_clock_does_not_matter()
        self.answers_stay_as_they_were()
        self.snapshots_change_nothing()
        await self.queries_change_nothing()
        await self.snapshots_are_of_their_moment()
        await self.a_restored_machine_goes_on_alike()
        if not raising_changes_state:
            await self.a_raising_command_changes_nothing()
        if self.timed:
            await self._look_at(with_time(self.steps), self.shown, "as commands of sessions, with log time going on")

    async def look_at_more(self, given: Sequence[Any], count: int) -> None:
        """Look at commands like those given."""
        encode = made(self.make).commands.encode
        more = drawn(given, count)
        steps = [Step(encode(command)) for command in more]
        how = f"{count} drawn from the given commands, in another order"
        await self._look_at(with_time(steps) if self.timed else steps, [short(command) for command in more], how)
        for appended, others in with_other_text(given):
            accepted = self._accepted(others)
            if accepted:
                steps = [*self.steps, *(step for step, _ in accepted)]
                shown = [*self.shown, *(text for _, text in accepted)]
                how = f"the given commands, and again with {appended} appended to all text"
                await self._look_at(steps, shown, how, text_is_cut=True)

    def _accepted(self, commands: Iterable[Any]) -> list[tuple[Step, str]]:
        """Those that the machine takes: what it refuses was no command of the application."""
        accepted: list[tuple[Step, str]] = []
        trial = self.trial("one with other text").apply_all(self.steps)
        for command in commands:
            try:
                step = Step(trial.machine.commands.encode(command))
                if not isinstance(trial.apply(step), Raised):
                    accepted.append((step, short(command)))
            except (CheckFailed, TypeError):
                trial = self.trial("one with other text").apply_all(self.steps)
        return accepted

    async def _look_at(self, steps: list[Step], shown: list[str], how: str, *, text_is_cut: bool = False) -> None:
        try:
            check = _Check(self.make, steps, shown, self.modules, self.asked, self.harmless)
            await check.instances_share_nothing()
            await check.snapshots_are_of_their_moment(_FEW_CUTS)
            for cut in check.cuts(_FEW_CUTS):
                taken = check.trial("one that was snapshotted").apply_all(steps[:cut])
                await check.restores(cut, taken, None, used=cut == len(steps))
                if text_is_cut:  # within a letter of several bytes, which the given commands need not have
                    await check.restores(cut, taken, 1, used=False)
                await check.the_next_states_are_alike(cut, taken)
        except CheckFailed as failure:
            raise CheckFailed(f"{failure} (the commands: {how})", failure.broken) from failure

    # --- the checks ------------------------------------------------------------------------------------------

    async def threads_change_nothing(self) -> bool:
        """Threads that `apply` starts and that outlive it do nothing to the state; return whether there are any."""
        with started_threads() as threads:
            self.trial("one whose threads are watched").apply_all(self.steps)
        names = sorted({thread.name for thread in threads if thread.is_alive()})
        if names:
            with started_threads(hurried=True):
                trial = self.trial("one whose threads are waited for").apply_all(self.steps)
            of = f"one whose threads had come to their end ({short(names)}, started by apply)"
            await self.same_state(self.whole, trial.snapshot(), of, "no thread changes the state")
        return bool(names)

    async def instances_share_nothing(self) -> None:
        """A second instance in the same process begins like the first, and goes on like it."""
        broken = "instances share no state"
        second = self.trial("a second one, in the same process,")
        if second.machine is self.first.machine:
            raise CheckFailed("make() gave the same machine twice: each replica needs one of its own", broken)
        await self.same_state(self.new, second.snapshot(), "a new one made after that had applied commands", broken)
        before = self.first.snapshot()
        second.apply_all(self.steps)
        self.same_answers(second, 0, "every instance answers alike")
        await self.same_state(self.whole, second.snapshot(), second.name.strip(","), "every instance answers alike")
        after = self.first.snapshot()
        await self.same_state(before, after, "itself, after a second one had applied commands", broken)

    def instances_by_turns_answer_alike(self) -> None:
        """Of two instances that apply the commands by turns, neither sees what the other one does."""
        broken = "instances share no state"
        for lag in _LAGS:
            ahead, behind = (self.trial(f"one of two in a process, {lag} commands apart,") for _ in range(2))
            for number in range(len(self.steps) + lag):
                if number < len(self.steps):
                    ahead.apply(self.steps[number])
                if number >= lag:
                    behind.apply(self.steps[number - lag])
            for trial in (ahead, behind):
                self.same_answers(trial, 0, broken)

    async def the_clock_does_not_matter(self) -> None:
        """A second instance whose clock is moved goes on like the first."""
        trial = self.trial(f"one whose clock is moved by {_DAYS} days")
        with moved_clock(self.modules, _DAYS) as clock:
            clock.put_into(trial.machine)
            trial.apply_all(self.steps)
            whole = trial.snapshot()
        self.same_answers(trial, 0, "no clock matters")
        await self.same_state(self.whole, whole, trial.name, "no clock matters")

    def answers_stay_as_they_were(self) -> None:
        """What `apply` returned is the caller's: later commands do not change it."""
        late = Trial(made(self.make), "one whose answers are drawn from late", drawn_late=True)
        late.apply_all(self.every()).draw_answers()
        answers = [
            drawn if isinstance(answer, Iterator) else copied(answer)
            for answer, drawn in zip(late.answers, late.kept, strict=True)
        ]
        for number, (answer, kept) in enumerate(zip(answers, self.first.kept, strict=True)):
            if not is_same(answer, kept):
                raise CheckFailed(
                    f"{self.command(number)}: its answer was {short(kept)} and became {short(answer)} when later "
                    "commands were applied: return a copy of what the state keeps",
                    "answers stay as they were",
                )

    async def a_snapshot_can_be_taken_twice(self) -> None:
        """Two snapshots in a row are the same, of a new machine and of a used one."""
        for commands in ([], self.steps):
            trial = self.trial("one that took two snapshots").apply_all(commands)
            of = f"the same state, taken again after {len(commands)} commands"
            await self.same_state(trial.snapshot(), trial.snapshot(), of, "snapshots change nothing")

    def snapshots_change_nothing(self) -> None:
        """Commands after a snapshot are answered as without."""
        trial = self.trial("one that took snapshots in between")
        taken = 0
        for cut in self.cuts():
            trial.apply_all(self.steps[taken:cut]).snapshot()
            taken = cut
        trial.apply_all(self.again())
        self.same_answers(trial, 0, "snapshots change nothing")

    async def queries_change_nothing(self) -> None:
        """Commands are answered alike where queries come in between, which only some replicas are asked."""
        if not self.harmless:
            return
        broken = "queries change nothing"
        trial = self.trial("one that was asked queries in between")
        for step in self.steps:
            for query in self.harmless:
                ask(query, trial)
            trial.apply(step)
        for query in self.harmless:
            ask(query, trial)
        self.same_answers(trial, 0, broken)
        await self.same_state(self.whole, trial.snapshot(), trial.name, broken)

    async def snapshots_are_of_their_moment(self, most_cuts: int = MOST_CUTS) -> None:
        """What is drawn from a snapshot while later commands are applied is the state at its beginning."""
        for cut in self.cuts(most_cuts):
            trial = self.trial("one that drew a snapshot while it applied commands").apply_all(self.steps[:cut])
            at_once = trial.snapshot()
            drawing = iter(trial.pieces())
            pieces: list[bytes] = []
            for step in self.steps[cut:] + self.again():
                trial.apply(step)
                pieces += [piece for piece in [next(drawing, None)] if piece is not None]
            while_applying = b"".join([*pieces, *drawing])
            what = f"the same state after {cut} commands, drawn while later ones were applied"
            await self.same_state(at_once, while_applying, what, "snapshots are of their moment")

    async def a_restored_machine_goes_on_alike(self) -> None:
        """A machine that begins with a snapshot answers later commands like one that applied those before."""
        for cut in self.cuts():
            taken = self.trial("one that was snapshotted").apply_all(self.steps[:cut])
            for size in _CHUNK_SIZES:
                await self.restores(cut, taken, size, used=False)
            await self.restores(cut, taken, None, used=True)
            await self.the_next_states_are_alike(cut, taken)
        for cut in range(len(self.steps) if len(self.steps) <= _FEW_COMMANDS else 0):
            taken = self.trial("one that was snapshotted").apply_all(self.steps[:cut])
            await self.restores(cut, taken, None, used=False)

    async def restores(self, cut: int, taken: Trial, size: int | None, *, used: bool) -> None:
        """A machine restored from the snapshot of another goes on like the first."""
        snapshot = taken.snapshot()
        pieces = "one piece" if size is None else f"pieces of {size} B"
        who = "a used machine" if used else "a new machine"
        trial = self.trial(f"{who} restored after {cut} commands, from a snapshot in {pieces},")
        if used:
            trial.apply_all(self.steps)
            trial.answers.clear()
            trial.kept.clear()
        await trial.restore(snapshot, size)
        broken = "restore brings back the whole state, and that alone"
        await self.same_state(snapshot, trial.snapshot(), trial.name.strip(","), broken)
        self.same_digest(taken, trial)
        self.same_queries(taken, trial, broken)
        if cut and (now_ms := self.steps[cut - 1].now_ms) is not None:
            trial.pass_time(now_ms)  # a node may tell it again what the restored state knows already
        trial.apply_all(self.steps[cut:]).apply_all(self.again())
        self.same_answers(trial, cut, broken)
        # What no answer shows may differ all the same: a number that stamps what later commands leave behind, say.
        of = f"{trial.name.strip(',')}, after the later commands"
        await self.same_state(self.first.snapshot(), trial.snapshot(), of, broken)
        self.same_digest(self.first, trial)

    async def the_next_states_are_alike(self, cut: int, taken: Trial) -> None:
        """A restored machine has the state of the one whose snapshot it was after each of the next commands, too: later
        ones may wash out what no answer shows, such as the order in which keys are dropped.
        """
        trial = await self.trial("a restored machine").restore(taken.snapshot(), None)
        for number, step in enumerate((self.steps[cut:] + self.again())[:_NEXT], cut):
            taken.apply(step)
            trial.apply(step)
            of = f"a machine restored after {cut} commands, after {self.command(number)}"
            broken = "restore brings back the whole state, and that alone"
            await self.same_state(taken.snapshot(), trial.snapshot(), of, broken)

    async def a_raising_command_changes_nothing(self) -> None:
        """A command whose `apply` raises has left the state as it was."""
        raising = [number for number, answer in enumerate(self.first.kept) if isinstance(answer, Raised)]
        every = self.every()
        for number in raising[:_MOST_RAISING]:
            trial = self.trial("one at which a command raised").apply_all(every[:number])
            before = trial.snapshot()
            trial.apply(every[number])
            after = trial.snapshot()
            raised = f"{self.command(number)}, which raised {trial.kept[-1].error!r}"
            of = f"itself after {raised}: raise before changing anything"
            await self.same_state(before, after, of, "a command that raises changes nothing")

    async def other_processes_agree(self) -> None:
        """Child processes with other surroundings answer alike, and nothing but state and command matters there."""
        with variables_read() as variables:
            self.trial("one whose environment is watched").apply_all(self.steps)
        for report in Children(self.make, self.steps, self.modules, variables).compared_with(self.first.kept):
            self._same_answer(report)
            elsewhere = f"one in a process with {report.surroundings}"
            there = report.outcome
            await self.same_state(self.whole, there.whole, elsewhere, "every process answers alike")
            if there.files:
                raise CheckFailed(
                    f"apply looks at {there.files[0]}, and every host has files of its own: put what is needed of it "
                    "into the command, or read it when the program starts",
                    "no file matters",
                )

    def _same_answer(self, report: Report) -> None:
        if report.differs_at is not None:
            raise CheckFailed(
                f"{self.command(report.differs_at)}: this process answered {report.ours}, one with "
                f"{report.surroundings} {report.theirs}",
                "every process answers alike",
            )
