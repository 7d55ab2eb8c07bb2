"""Proposing exactly once: a session, which proposes again whatever has an unknown outcome (dissertation §6.3)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import attrs
import trio

from raft_actors.errors import (
    ConfigurationError,
    LeadershipLost,
    NodeStopped,
    NotCommitted,
    Overloaded,
    ProposalError,
    ResultLost,
    SessionExpired,
)
from raft_actors.node.submission import Submission
from raft_actors.overload import OverloadCause
from raft_actors.raft.sessions import WINDOW, close, numbered, register
from raft_actors.records import frozen
from raft_actors.state_machine import StateMachine

C = TypeVar("C")
R = TypeVar("R")
M_co = TypeVar("M_co", bound=StateMachine[Any, Any], covariant=True)

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
        self._left = set(self._open)  # by another process: nobody here waits for them yet
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
            SessionExpired: the cluster has forgotten the session; this command may have taken effect, once, if it was
                under way then.
            ResultLost: it took effect, once; its result could not be kept (see `StateMachine.results`).
            CommandFailed: it took effect, and the state machine raised. Where the answer was lost and asked for again,
                the cause is a `RaftError` with the text of what was raised.
            CommandTooLarge, NotLeader, NodeStopped, TypeError, UsageError: as from `Node.propose`.
        """
        data = self._encode(command)
        if self._expired or not self._id or self._next_number - self._floor >= WINDOW:
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
        try:
            try:
                return await propose(entries)
            except ResultLost:
                return await propose(entries)  # a snapshot skipped them there: the table has their replies
        except SessionExpired:
            self._expired = True
            raise
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

        Each is proposed again, which has it carried out if it was not before.

        Raises:
            NodeStopped: this node ended; `state` still has what is open.
        """
        await self.begin()
        outcomes: dict[int, R | ProposalError] = {}
        for number in sorted(self._left):
            try:
                outcomes[number] = await self._carry_out(number)
            except NodeStopped:
                raise
            except ProposalError as error:
                outcomes[number] = error
            self._left.discard(number)
        return outcomes

    async def begin(self) -> None:
        """Begin it now, instead of with its first command: for who saves its state before anything can happen.

        Raises as `propose` does.
        """
        self._check()
        while not self._id:
            if self._begins:
                await self._begun.park()
                continue
            self._begins = True
            try:
                self._id = await self._until_known(register())
            finally:
                self._begins = False
                self._begun.unpark_all()  # all at once: a lock would let them go one at a turn of the event loop

    async def wait_room(self, count: int = 1) -> None:
        """Wait while there is no room for so many commands: `WINDOW` are under way at most."""
        while self._next_number + count - self._floor > WINDOW:
            await self._room.park()

    @property
    def is_ready(self) -> bool:
        """Whether `propose` would begin at once, without waiting for anything else."""
        return bool(self._id) and self._next_number - self._floor < WINDOW

    def _check(self, *, certain: bool = True) -> None:
        if self._expired:
            raise SessionExpired(self._id, certain=certain)

    async def _carry_out(self, number: int, happened: ProposalError | None = None) -> R:
        """Have one that is open carried out, after an attempt to which this happened, if there was one."""
        known = True
        try:
            window = number - self._floor
            entry = numbered(self._id, number, window, self._open[number])
            result: R = await self._until_known(entry, happened)
        except SessionExpired:
            self._expired = True
            raise
        except NodeStopped:
            known = False  # `state` still speaks of it, for who goes on elsewhere
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

    async def _until_known(self, entry: bytes, happened: ProposalError | None = None) -> Any:
        """Propose an entry until it is known what came of it. Each wait is for a leader, so this loop does not spin.

        Args:
            happened: what an attempt before this one met.
        """
        lost: ResultLost | None = None
        in_doubt = False
        while True:  # noqa: ASYNC913 - each proposal waits
            self._check(certain=not in_doubt)
            try:
                if happened is not None:
                    error, happened = happened, None
                    raise error
                return await self._propose(entry)
            except NotCommitted:
                continue
            except LeadershipLost:
                in_doubt = True
            except SessionExpired as expired:
                if lost is not None:
                    raise lost from None
                expired.certain = expired.certain and not in_doubt
                raise
            except ResultLost as error:
                if lost is not None:
                    raise
                lost = error  # a snapshot skipped it here: the table has its reply
            except Overloaded as refusal:
                await trio.sleep(refusal.retry_after_s or _OVERLOADED_S)

    async def end(self) -> None:
        """End it in the cluster, which forgets its replies. What can't be ended in time ends by itself."""
        if self._id and not self._expired:
            self._expired = True
            with trio.move_on_after(_CLOSE_S):  # noqa: ASYNC912 - to propose is to wait
                try:
                    await self._propose(close(self._id))
                except ProposalError:
                    return


class SessionsNode(Generic[M_co]):
    """What a node offers to those whose commands must take effect exactly once."""

    _submission: Submission[Any, Any]

    @asynccontextmanager
    async def session(
        self: SessionsNode[StateMachine[C, R]], state: SessionState | None = None, *, end: bool = True
    ) -> AsyncGenerator[Session[C, R], None]:
        """Propose exactly once: `async with node.session() as session: await session.propose(command)`.

        Whatever happens to leaders and connections, each command is carried out once, and its result comes back. The
        session may be used by many tasks. When the block ends, so does the session, unless `end` is False;
        where the block raises, the session is left to expire.

        Args:
            state: of a session to take up, as `Session.state` gave it, perhaps in another process; see `outcomes`.
            end: False: leave the session open at the end of the block.

        Raises:
            ConfigurationError: a member is of a version that knows no sessions.
        """
        submission = self._submission
        submission.check_sessions()
        session: Session[C, R] = Session(submission.propose_entry, submission.encoded, state)
        yield session
        if end:
            await session.end()
