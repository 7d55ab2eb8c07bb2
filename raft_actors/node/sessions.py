"""Proposing exactly once: a session, which proposes again whatever has an unknown outcome (dissertation §6.3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import attrs
import trio

from raft_actors.errors import (
    CommandFailed,
    CommandTooLarge,
    ConfigurationError,
    LeadershipLost,
    NodeStopped,
    NotCommitted,
    Overloaded,
    ProposalError,
    ResultLost,
    SessionExpired,
)
from raft_actors.overload import OverloadCause
from raft_actors.raft.sessions import WINDOW, close, numbered, register
from raft_actors.records import frozen

C = TypeVar("C")
R = TypeVar("R")

_OVERLOADED_S = 0.05

#: How long leaving a session may take: if it can't be ended in this time, it ends by itself.
_CLOSE_S = 1.0


@frozen
class SessionState:
    """What another process needs to go on with a session, and to learn what became of its commands.

    Attributes:
        session: its id.
        next_number: of the next command.
        open: number → encoded command, of those whose outcome was not known.
    """

    session: int
    next_number: int
    open: Mapping[int, bytes] = attrs.field(factory=dict[int, bytes])


Propose = Callable[[bytes], Awaitable[Any]]
"""Proposes an entry of a session, and returns what came of it."""


ProposeMany = Callable[[list[bytes]], Awaitable[list[Any]]]
"""Proposes entries of a session together, and returns what came of each."""


class Session(Generic[C, R]):
    """Carries out each command once, though it may be proposed again and again. Made by `Node.session`.

    A session may be used by many tasks at once. It begins with its first command. While it is not used for an hour of
    the cluster's log time, or where there are too many, the cluster forgets it: then its commands are refused with
    `SessionExpired`, and a new one must be made.
    """

    def __init__(self, propose: Propose, encode: Callable[[C], bytes], state: SessionState | None = None) -> None:
        self._propose = propose
        self._encode = encode
        self._id = state.session if state is not None else 0
        self._next_number = state.next_number if state is not None else 1
        self._open: dict[int, bytes] = dict(sorted(state.open.items())) if state is not None else {}  # lowest first
        self._floor = next(iter(self._open), self._next_number)  # the lowest whose outcome is not known
        self._left = set(self._open)  # by another process, or prepared: nobody here waits for them yet
        self._in_doubt = set(self._open)  # those of them that may have been proposed
        self._unsettled = set[int]()  # whose proposers were told that nobody knows what came of them
        self._most = WINDOW  # how many commands may be open, for those that come one by one
        self._together = 0  # callers that wait for room for several
        self._begins = False
        self._begun = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()
        self._expired = False

    @property
    def session_id(self) -> int | None:
        """Its id in the cluster; None before its first command."""
        return self._id or None

    def state(self) -> SessionState:
        """What is needed to take it up elsewhere. Save it before the commands are lost that it speaks of.

        Raises:
            ConfigurationError: it has not begun yet.
        """
        if not self._id:
            raise ConfigurationError("a session begins with its first command: there is nothing to save yet")
        return SessionState(self._id, self._next_number, dict(self._open))

    async def propose(self, command: C) -> R:
        """Have a command carried out once, and return the result. Retries by itself; bound it by a cancel scope.

        Waits while `WINDOW` commands are under way. Cancelling the wait gives the command up: it may take effect, once.

        Raises:
            SessionExpired: the cluster has forgotten the session; this command may have taken effect, once, unless the
                error is `certain` that it did not.
            ResultLost: it took effect, once; its result could not be kept (see `StateMachine.results`).
            CommandFailed: it took effect, and the state machine raised. Where the answer was lost and asked for again,
                the cause is a `RaftError` with the text of what was raised.
            LeadershipLost, NodeStopped if `under_way`: it may take effect, once. This node can't find out, as it is no
                member any more, or ends. `state` still speaks of it, for who goes on elsewhere.
            CommandTooLarge, NotLeader, NodeStopped, TypeError, UsageError: as from `Node.propose`: not proposed.
        """
        data = self._encode(command)
        if self._expired or not self._id or self._next_number - self._floor >= self._most:
            await self.begin()
            await self.wait_room()
        number, floor = self._next_number, self._floor
        self._next_number = number + 1
        self._open[number] = data
        # The first attempt here, which most often is the only one: each coroutine on the way costs every command.
        try:
            result: R = await self._propose(numbered(self._id, number, number - floor, data))
        except ProposalError as error:
            return await self._carry_out(number, error)
        except BaseException:
            self._close(number)
            raise
        self._close(number)
        return result

    async def propose_encoded(self, commands: Sequence[bytes], propose: ProposeMany) -> list[Any]:
        """Have encoded commands carried out together, once each, in order; there must be room for them.

        Args:
            commands: what `encode` made of them.
            propose: proposes entries, and returns what came of each.

        Raises:
            SessionExpired: as from `propose`, of all of them.
            ResultLost: they took effect; their results are lost.
        """
        self._check()
        first = self._next_number
        numbers = range(first, first + len(commands))
        self._next_number += len(commands)
        self._open.update(zip(numbers, commands, strict=True))
        floor = self._floor
        entries = [
            numbered(self._id, number, number - floor, data) for number, data in zip(numbers, commands, strict=True)
        ]
        lost: ResultLost | None = None
        try:
            try:
                return await propose(entries)
            except ResultLost as error:
                lost = error
            return await propose(entries)  # a snapshot skipped them there: the table has their replies
        except SessionExpired as expired:
            self._expired = True
            expired.certain = expired.certain and lost is None
            raise
        except (ProposalError, ConfigurationError) as refusal:
            if lost is None:
                raise
            raise lost from refusal  # nothing came of asking again
        finally:
            for number in numbers:
                self._close(number)

    def prepare(self, command: C) -> int:
        """Give a command its number, and leave it open: `state` speaks of it before it is proposed, by `outcomes`. For
        who saves the state before anything can happen.

        Raises:
            Overloaded: `WINDOW` commands are open.
            TypeError: it is no command of the state machine.
        """
        number = self._next_number
        if number - self._floor >= WINDOW:
            text = f"{WINDOW} commands of this session are open: learn their outcomes first"
            raise Overloaded(text, OverloadCause.SESSION)
        self._open[number] = self._encode(command)
        self._next_number += 1
        self._left.add(number)
        return number

    async def outcomes(self) -> dict[int, R | ProposalError]:
        """Of a session that was taken up, or prepared: number → what became of each command that was left open.

        Each is proposed again, which has it carried out if it was not before. What became of it is its result, or one
        of `CommandFailed`, `ResultLost` and `SessionExpired`; or `CommandTooLarge`, of one that was prepared here.

        Raises:
            ProposalError: any other. What became of them can't be known now: this node ended or is no member, no
                node was found in time. `state` still has what is open, all of it, and this may be called again.
        """
        if not self._id:
            await self.begin()
        outcomes: dict[int, R | ProposalError] = {}
        for number in sorted(self._left):
            in_doubt = number in self._in_doubt
            self._in_doubt.add(number)
            try:
                outcomes[number] = await self._until_known(self._entry(number), in_doubt=in_doubt)
            except (CommandFailed, ResultLost, SessionExpired) as error:
                outcomes[number] = error
            except CommandTooLarge as error:
                if in_doubt:
                    raise
                outcomes[number] = error
        for number in outcomes:
            self._left.discard(number)
            self._in_doubt.discard(number)
            self._close(number)
        return outcomes

    async def begin(self) -> None:
        """Begin it now, instead of with its first command: for who saves its state before anything can happen.

        Raises as `propose` does, and never of a command: none was proposed yet.
        """
        self._check()
        while not self._id:
            if self._begins:
                await self._begun.park()
                continue
            self._begins = True
            try:
                self._id = await self._register()
            finally:
                self._begins = False
                self._begun.unpark_all()  # all at once: a lock would let them go one at a turn of the event loop

    async def _register(self) -> int:
        """Have the cluster begin a session. One whose id was lost on the way is nobody's, and ends by itself."""
        while True:  # noqa: ASYNC913 - each proposal waits
            try:
                session_id: int = await self._propose(register())
            except (NotCommitted, LeadershipLost, ResultLost):
                continue
            except Overloaded as refusal:
                await trio.sleep(refusal.retry_after_s or _OVERLOADED_S)
            except NodeStopped as stopped:
                raise NodeStopped(stopped.node_id) from stopped.__cause__
            else:
                return session_id

    async def wait_room(self, count: int = 1) -> None:
        """Wait while there is no room for so many commands: `WINDOW` are under way at most. Who needs room for several
        goes before those that need it for one, who would never leave so much.
        """
        if count == 1:
            while self._next_number - self._floor >= self._most:
                await self._make_room()
            return
        self._together, self._most = self._together + 1, 0
        try:
            while self._next_number + count - self._floor > WINDOW:
                await self._make_room()
        finally:
            self._together -= 1
            if not self._together:
                self._most = WINDOW
                self._room.unpark_all()

    async def _make_room(self) -> None:
        """Let go of the lowest that is open, if nobody waits for it any more; else wait until it is settled."""
        if self._floor in self._unsettled:
            self._unsettled.discard(self._floor)
            self._close(self._floor)
        else:
            await self._room.park()

    @property
    def is_ready(self) -> bool:
        """Whether `propose` would begin at once, without waiting for anything else."""
        return bool(self._id) and self._next_number - self._floor < self._most

    def _check(self) -> None:
        if self._expired:
            raise SessionExpired(self._id)

    def _entry(self, number: int) -> bytes:
        """One that is open, as it is to be proposed again."""
        return numbered(self._id, number, number - self._floor, self._open[number])

    async def _carry_out(self, number: int, happened: ProposalError) -> R:
        """Have one that is open carried out, after an attempt to which this happened."""
        known = True
        try:
            result: R = await self._until_known(self._entry(number), happened)
        except (NodeStopped, LeadershipLost):
            known = False  # `state` still speaks of it, for who goes on elsewhere, while there is room
            self._unsettled.add(number)
            raise
        finally:
            if known:
                self._close(number)
        return result

    def _close(self, number: int) -> None:
        """The outcome of this command is known, or nobody wants to know it."""
        is_open, floor = self._open, self._floor
        is_open.pop(number, None)
        if number == floor:
            end = self._next_number
            while floor < end and floor not in is_open:
                floor += 1
            self._floor = floor
            if self._room:
                self._room.unpark_all()

    async def _until_known(self, entry: bytes, happened: ProposalError | None = None, *, in_doubt: bool = False) -> Any:
        """Propose an entry until it is known what came of it. Each wait is for a leader, so this loop does not spin.

        What an attempt met counts before what others have heard of the session since; and that a later one was refused,
        and nothing proposed, is no answer where an earlier one may have been carried out.

        Args:
            happened: what an attempt before this one met.
            in_doubt: whether another process may have proposed it before.
        """
        doubt: LeadershipLost | ResultLost | None = None  # what an earlier attempt of ours met
        while True:  # noqa: ASYNC913 - each proposal waits
            try:
                if happened is not None:
                    error, happened = happened, None
                    raise error
                self._check()
                return await self._propose(entry)
            except NotCommitted:
                continue
            except LeadershipLost as error:
                doubt = doubt or error
            except ResultLost as error:
                if isinstance(doubt, ResultLost):
                    raise
                doubt = error  # a snapshot skipped it here: the table has its reply
            except Overloaded as refusal:
                await trio.sleep(refusal.retry_after_s or _OVERLOADED_S)
            except (ProposalError, ConfigurationError) as error:
                told = self._told(error, doubt, in_doubt=in_doubt or doubt is not None)
                if told is error:
                    raise
                raise told from told.__cause__ or error

    def _told(
        self, error: ProposalError | ConfigurationError, doubt: ProposalError | None, *, in_doubt: bool
    ) -> ProposalError | ConfigurationError:
        """What a proposer is told, where this is what its last attempt met."""
        if isinstance(error, SessionExpired):
            self._expired = True
            error.certain = error.certain and not in_doubt  # also after a snapshot: it may have ended before the entry
        elif isinstance(error, NodeStopped):
            if in_doubt:
                stopped = NodeStopped(error.node_id, error.index, under_way=True)
                stopped.__cause__ = error.__cause__
                return stopped
        elif doubt is not None and not isinstance(error, CommandFailed):
            return doubt
        return error

    async def end(self) -> None:
        """End it in the cluster, which forgets its replies. What can't be ended in time ends by itself."""
        if self._id and not self._expired:
            self._expired = True
            with trio.move_on_after(_CLOSE_S):  # noqa: ASYNC912 - to propose is to wait
                try:
                    await self._propose(close(self._id))
                except ProposalError:
                    return
