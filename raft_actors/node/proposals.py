"""Proposals and reads on their way through the leader."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any, TypeVar

import trio
from typing_extensions import override

from raft_actors.actors.home_thread import current_task
from raft_actors.actors.pending import Pending
from raft_actors.errors import (
    CommandFailed,
    InternalError,
    NotCommitted,
    ResultLost,
    SessionExpired,
)
from raft_actors.node.admission import Admission, Place
from raft_actors.node.machines import is_not_run, not_run
from raft_actors.raft.entries import EntryKind
from raft_actors.records import frozen

R = TypeVar("R")

#: What comes in a result's place for an entry of a session.
_NO_RESULTS = frozenset({CommandFailed, SessionExpired, ResultLost})

_ABANDONED = InternalError("nobody waits for this read any more")


class PendingOutcome(Pending[R]):
    """A proposal or read that a leader works on (its roles see a `Request`); settling it frees its place.

    Attributes:
        is_read: whether it is a read.
        forward: whether it may be handed on to another member, which leads.
        kind: what its entries are.
        commands: what it proposes; none for a read, nor once it is settled.
        index: log index of its first command once the leader has appended it (for a read: of the entry that must be
            applied before it), else None.
        last_index: log index of its last command, likewise; 0 before.
        size: bytes it takes of the admission's bound.
    """

    __slots__ = ("commands", "index", "last_index", "place", "size")

    is_read: bool = False
    forward: bool = True
    kind: EntryKind = EntryKind.COMMAND

    def __init__(self, admission: Admission, commands: Sequence[bytes], size: int) -> None:
        # All at once, without `super()`, here and in `_settle`: they run for every proposal.
        self.done = False
        self._value = self._error = self._task = None
        self.place: Place = admission
        self.commands: Sequence[bytes] = commands
        self.size: int = size
        self.index: int | None = None
        self.last_index: int = 0

    @override
    @trio.lowlevel.enable_ki_protection
    async def wait(self) -> R:
        """Wait until its outcome is known; return the result or raise the error. For one task at a time.

        Raises:
            UsageError: this is not the node's thread, or not under Trio.
            InternalError: another task waits already.
        """
        current_task()
        self.place.home.check()
        return await super().wait()

    @trio.lowlevel.enable_ki_protection
    def _settle(self) -> None:
        """Free its place in the admission's bound, too."""
        self.place.release(self)
        # A list, most often, which goes where Trio makes an object to wake the waiter: so of thousands that are settled
        # together, the garbage collector sees as many objects go as come, and has no cause to look at all that wait.
        self.commands = ()
        self._wake()

    def cut(self, last_index: int, term: int) -> None:
        """Note that only the commands up to `last_index` are committed: the rest never will be.

        Raises:
            InternalError: it is a single command, of which there is no part.
        """
        raise InternalError(f"a proposal of one command can't be committed as far as index {last_index}")

    def lose(self) -> None:
        """Fail it, as its entries are committed, and were applied elsewhere: so its results are not known here."""
        self.fail(ResultLost(self.index or 0))

    @abstractmethod
    def answer(self, results: list[Any], first_index: int, state_machine: Any) -> None:
        """Fill it, now that its last command is applied.

        Args:
            results: what `apply` returned for the entries from `first_index` on (`CommandFailed` where it raised).
            first_index: log index of the first of them.
            state_machine: in the state right after its last command.
        """


class PendingProposals(PendingOutcome[list[R | CommandFailed]]):
    """Commands that were proposed together: `wait` gives a list with one result for each, in order.

    A command whose `apply` raised has its `CommandFailed` as result, so that the others' results are not lost.

    `wait` raises:
        NotLeader, Overloaded: nothing was proposed.
        NotCommitted: none took effect, or only the first ones: those whose results it has (`ResultLost` for one whose
            result is not known here).
        ResultLost: all took effect.
        LeadershipLost, NodeStopped: the outcome of each is unknown.
    """

    __slots__ = ("_cut_in",)

    @override
    def cut(self, last_index: int, term: int) -> None:
        self.last_index = last_index
        self._cut_in = term

    @override
    def answer(self, results: list[Any], first_index: int, state_machine: Any) -> None:
        if self.done:
            return
        own = results[(self.index or 0) - first_index : self.last_index + 1 - first_index]
        if len(own) == len(self.commands):
            self.resolve(own)
        else:
            self.fail(NotCommitted(self._cut_in, self.last_index + 1, tuple(own)))

    @override
    def lose(self) -> None:
        if self.done:
            return
        places = range(self.index or 0, self.last_index + 1)
        if len(places) == len(self.commands):
            super().lose()
        else:
            self.fail(NotCommitted(self._cut_in, places.stop, tuple(map(ResultLost, places))))


class PendingProposal(PendingOutcome[R]):
    """One command that was proposed: `wait` gives its result, or raises the `CommandFailed` of an `apply` that raised.

    The other errors of `wait` are those of `Node.propose`.
    """

    __slots__ = ()

    @override
    def answer(self, results: list[Any], first_index: int, state_machine: Any) -> None:
        result = results[self.last_index - first_index]
        if type(result) is CommandFailed:
            self.fail(result)
        else:
            self.resolve(result)


@frozen
class Seen:
    """What state a read saw.

    Attributes:
        index, term: the last entry that was applied.
        as_of: all that had been committed by then was in it, on `NodeClock.boottime`; None: nobody knows.
    """

    index: int
    term: int
    as_of: float | None


class LocalProposals(PendingProposals[R]):
    """Commands that are refused where this node does not lead."""

    __slots__ = ()

    forward: bool = False


class LocalProposal(PendingProposal[R]):
    """A command that is refused where this node does not lead."""

    __slots__ = ()

    forward: bool = False


class PendingEntry(PendingProposal[R]):
    """An entry of a session. Its own errors come as results, as they are no refusals of the state machine."""

    __slots__ = ()

    kind: EntryKind = EntryKind.SESSION

    @override
    def answer(self, results: list[Any], first_index: int, state_machine: Any) -> None:
        result: Any = results[self.last_index - first_index]
        if type(result) in _NO_RESULTS:
            self.fail(result)
        else:
            self.resolve(result)


class PendingRead(PendingOutcome[R]):
    """A query to run on the state machine once all that was committed before it has been applied.

    It runs in the context (`contextvars`) of the task that made this, or in a copy of it: what it sets is not seen.

    Attributes:
        query: what to run.
        may_miss: of how many of the last entries it does not matter whether they are applied.
        settled_in: see `ReadRequest`.
        seen: once it is settled, the state that it ran on; None where it did not run, or went through the log.
    """

    __slots__ = ("_context", "may_miss", "query", "seen", "settled_in")

    is_read: bool = True
    forward: bool = False

    def __init__(self, admission: Admission, query: Callable[[Any], R]) -> None:
        super().__init__(admission, (), 0)
        self._context = copy_context()
        self.query: Callable[[Any], R] = query
        self.may_miss: int = 0
        self.settled_in: int = 0
        self.seen: Seen | None = None

    @override
    def answer(self, results: list[Any], first_index: int, state_machine: Any) -> None:
        self.run(state_machine)

    @trio.lowlevel.disable_ki_protection
    def run(self, state_machine: Any, seen: Seen | None = None) -> None:
        """Run the query, and fill the slot with what it returns or raises. Not where nobody waits for it any more.

        Ctrl-C gets through to a query that never ends, as it does to `apply`: it ends the node.
        """
        if self.done:
            return
        self.seen = seen
        try:
            result = self._context.run(self.query, state_machine)
        except Exception as error:  # noqa: BLE001 - the query is the caller's code, and so is its error
            self.fail(error)
            return
        if is_not_run(result):
            self.fail(TypeError(not_run(result, "the query")))
        else:
            self.resolve(result)

    def abandon(self) -> None:
        """Nobody waits for it any more: free its place. Whoever has it on a list may drop it.

        One that waits for an entry in the log stays where it is until that is committed, and keeps its place.
        """
        if self.index is None:
            self.fail(_ABANDONED)
