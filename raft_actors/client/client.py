"""A client of a cluster: it proposes and reads as a node does, from a process that is no member.

async with open_client(["n1:7000", "n2:7000"], KeyValue, cluster="orders") as client:
    old = await client.propose(Put("a", "1"))
    value = await client.read(Get("a"))
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any, Generic, TypeVar

import trio

from raft_actors.actors.home_thread import current_task
from raft_actors.client.board import Board
from raft_actors.client.call import Call, Need
from raft_actors.client.errors import OutcomeUnknown, QueryFailed, Unavailable
from raft_actors.client.link import Link
from raft_actors.errors import CommandFailed, ConfigurationError, InternalError, RaftError, ResultLost, SessionExpired
from raft_actors.node.client_messages import MOST_TOGETHER_BYTES, Answered, Ask, Outcome, packed, read_body, results_of
from raft_actors.node.sessions import Session, SessionState
from raft_actors.raft.sessions import REGISTER, WINDOW
from raft_actors.read_levels import LINEARIZABLE, BoundedStale, Local, ReadLevel, ReadResult
from raft_actors.records import frozen
from raft_actors.state_machine import StateMachine
from raft_actors.transports.conversation import Dialer
from raft_actors.wording import described

C = TypeVar("C")
R = TypeVar("R")
T = TypeVar("T")
M = TypeVar("M", bound=StateMachine[Any, Any])
M_co = TypeVar("M_co", bound=StateMachine[Any, Any], covariant=True)

_RECONNECT_S = (0.02, 1.0)


@frozen
class ClientStatus:
    """The state of a client at one moment.

    Attributes:
        leader: who leads, as far as any node that it is connected with knows.
        term: the term in which that one leads.
        members: id → address, of the newest configuration that it knows.
        connected: ids of the members that it is connected with.
        waiting: requests that are not answered.
        troubles: address → why it can't be reached, or serves no client.
    """

    leader: str | None
    term: int
    members: Mapping[str, str]
    connected: tuple[str, ...]
    waiting: int
    troubles: Mapping[str, str]


class RaftClient(Generic[M_co]):
    """Proposes and reads, wherever the leader is. Open it with `open_client`.

    Its type names the state machine: a `RaftClient[KeyValue]` proposes the commands of `KeyValue` and asks its queries.
    It may be used by any number of tasks of the Trio run in which it was opened.
    """

    def __init__(
        self,
        addresses: Collection[str],
        state_machine: type[M_co],
        *,
        cluster: str,
        dialer: Dialer,
        patience_s: float,
        silence_s: float,
        seed: int | None,
    ) -> None:
        self._seeds = tuple(dict.fromkeys(addresses))
        if not self._seeds or isinstance(addresses, str):
            raise ConfigurationError(
                f"a client needs the address of a member, at least: ['host:port'], not {addresses!r}"
            )
        for name, value in (("patience_s", patience_s), ("silence_s", silence_s)):
            if not value > 0:
                raise ConfigurationError(f"open_client: {name} must be positive, not {value}")
        self.cluster_id = cluster
        self.patience_s = patience_s
        self._silence_s = silence_s
        self._machine = state_machine
        self._dialer = dialer
        self._rng = Random(seed)
        self._changed = trio.lowlevel.ParkingLot()
        self._alarm_at = float("inf")
        self._asleep: trio.CancelScope | None = None
        self._board = Board(self._rng, trio.current_time, self._alarm, self._wake)
        self._links: dict[str, Link] = {}
        self._session: Session[Any, Any] = self._new_session()
        self._closed = False

    # --- commands --------------------------------------------------------------------------------------------

    async def propose(self: RaftClient[StateMachine[C, R]], command: C) -> R:
        """Have a command committed and applied, once, and return what the state machine returned for it.

        It is asked for again, whatever happens to leaders and connections, until its outcome is known; a session (see
        `Node.session`) has it carried out once all the same. Bound it by a cancel scope, or by `patience_s`. Cancelling
        the wait gives it up: it may take effect, once.

        Raises:
            Unavailable: it was not proposed: no member that can was found within `patience_s`.
            OutcomeUnknown: it may take effect, once: no answer came within `patience_s`.
            SessionExpired: the cluster has forgotten the client's session while it was under way: it may have taken
                effect, once.
            ResultLost: it took effect, once, and its result could not be kept (`StateMachine.results`).
            CommandFailed: it took effect, and the state machine raised. The cause is a `RaftError` with its text.
            CommandTooLarge, NotPermitted: it was not proposed.
            ConfigurationError: the members' state machine is of a version that can't read it; it was not proposed.
            TypeError: it is no command of this state machine.
        """
        current_task()
        deadline = trio.current_time() + self.patience_s
        while True:  # noqa: ASYNC913 - to propose is to wait
            session = self._session
            if not session.is_ready:
                await self._prepare(session, 1, deadline)
            try:
                result: R = await session.propose(command)
                return result
            except SessionExpired as expired:
                self._renew(session, expired)

    async def propose_many(
        self: RaftClient[StateMachine[C, R]], commands: Sequence[C]
    ) -> list[R | CommandFailed | ResultLost]:
        """Have commands carried out, each once, in this order; return their results in order.

        They go in as few requests as can be. What `apply` raised for one of them is its `CommandFailed`, so that the
        others' results are not lost. Others' commands may come in between, where leadership changes or they are many.

        Raises as `propose` does, of all that have no result yet. Those before may have taken effect.
        """
        current_task()
        results: list[R | CommandFailed | ResultLost] = []
        if not commands:
            await trio.lowlevel.checkpoint()
        encode = self._machine.commands.encode
        encoded = [encode(command) for command in commands]
        for part in _parts(encoded):
            deadline = trio.current_time() + self.patience_s
            while True:
                session = self._session
                await self._prepare(session, len(part), deadline)
                try:
                    results += await session.propose_encoded(part, self._propose_entries)
                    break
                except SessionExpired as expired:
                    self._renew(session, expired)
        return results

    def _renew(self, session: Session[Any, Any], expired: SessionExpired) -> None:
        """Go on with a new session, if what was proposed has surely not been carried out in the old one."""
        if self._session is session:
            self._session = self._new_session()
        if not expired.certain:
            raise expired

    async def _prepare(self, session: Session[Any, Any], count: int, deadline: float) -> None:
        """Have the session begun, and room in it for so many commands."""
        with trio.CancelScope(deadline=deadline) as scope:
            await session.begin()
            await session.wait_room(count)
        if scope.cancelled_caught:
            raise Unavailable(f"nobody could propose this within {self.patience_s} s: {self._board.why()}")

    def _new_session(self, state: SessionState | None = None) -> Session[Any, Any]:
        return Session(self._propose_entry, self._machine.commands.encode, state)

    @asynccontextmanager
    async def session(
        self: RaftClient[StateMachine[C, R]], state: SessionState | None = None, *, end: bool = True
    ) -> AsyncGenerator[Session[C, R], None]:
        """A session of one's own, to be saved and taken up by another process: as `Node.session`.

        `propose` has one already, which ends with the client.
        """
        session: Session[C, R] = self._new_session(state)
        yield session
        if end:
            await session.end()

    # --- reads -----------------------------------------------------------------------------------------------

    async def read(self, query: Callable[[M_co], T], level: ReadLevel = LINEARIZABLE) -> T:
        """Have a member run a query on a state that is as new as the level says: see `Node.read`.

        Reads go to all members that know the leader, learners among them, in turn. A query that gets no answer is asked
        elsewhere.

        Args:
            query: one of the state machine's `queries`.
            level: as for `Node.read`. `Local` reads of one client may go back, from one member to another;
                `ReadYourWrites(client.read_token())` does not.

        Raises:
            Unavailable: nobody could answer it within `patience_s`.
            QueryFailed: it raised, or what it returned can't travel (`StateMachine.answers`).
            NotPermitted: this client may not read.
            ConfigurationError: the members' state machine can't read the query; a `Lease` read without leases.
            TypeError: it is no query of this state machine.
        """
        return (await self.read_result(query, level)).value

    async def read_result(self, query: Callable[[M_co], T], level: ReadLevel = LINEARIZABLE) -> ReadResult[T]:
        """As `read`, and say what it saw: see `Node.read_result`."""
        current_task()
        data = self._machine.queries.encode(query)
        local = isinstance(level, Local) or (isinstance(level, BoundedStale) and level.entries is None)
        need = Need.NODE if local else Need.QUORUM
        answer: Answered = await self._until_done(self._call(Ask.READ, read_body(data, level), Answered.decode, need))
        self._board.token = max(self._board.token, answer.index)
        try:
            value: T = self._machine.answers.decode(answer.value)
        except Exception as error:  # whatever the bytes provoke in the application's codec
            raise QueryFailed(
                f"its answer can't be read here ({described(error)}): is the state machine older?"
            ) from error
        return ReadResult(value, answer.index, answer.term, answer.age_s)

    def read_token(self) -> int:
        """A token for all that this client has seen so far, for a `ReadYourWrites` anywhere."""
        return self._board.token

    # --- waiting and looking ---------------------------------------------------------------------------------

    async def wait_ready(self) -> str:
        """Wait until a member is reached that knows who leads; return the leader's id.

        Raises:
            Unavailable: none was within `patience_s`.
        """
        current_task()
        with trio.move_on_after(self.patience_s):
            await trio.lowlevel.checkpoint()
            while self._board.leader is None:
                self._check_open()
                await self._changed.park()
            return self._board.leader
        raise Unavailable(
            f"no member that knows the leader was reached within {self.patience_s} s: {self._board.why()}"
        )

    def status(self) -> ClientStatus:
        """How this client stands."""
        board = self._board
        up = [line.notice.node_id for line in board.lines.values() if line.notice is not None]
        return ClientStatus(
            board.leader, board.term, dict(board.members), tuple(sorted(up)), len(board.open), dict(board.troubles)
        )

    # --- inside ----------------------------------------------------------------------------------------------

    async def _propose_entry(self, entry: bytes) -> Any:
        try:
            [result] = await self._propose_entries([entry])
        except OutcomeUnknown as unknown:
            if entry[0] != REGISTER:
                raise
            raise Unavailable(f"nothing was proposed, as no session could be begun in time: {unknown}") from None
        if isinstance(result, (CommandFailed, ResultLost)):
            raise result
        return result

    async def _propose_entries(self, entries: list[bytes]) -> list[Any]:
        """Propose entries of a session until it is known what became of them."""
        opened = partial(results_of, count=len(entries))
        call = self._call(Ask.PROPOSE, packed(entries), opened, Need.LEADER, several=len(entries) > 1)
        token, outcomes = await self._until_done(call)
        self._board.token = max(self._board.token, token)
        expired = [known for outcome, known in outcomes if outcome == Outcome.EXPIRED]
        if expired:
            raise SessionExpired(expired[0], certain=not call.in_doubt and len(expired) == len(entries))
        first = token - len(outcomes) + 1
        return [self._result(outcome, known, index) for index, (outcome, known) in enumerate(outcomes, first)]

    def _result(self, outcome: int, known: Any, index: int) -> Any:
        match outcome, known:
            case Outcome.RESULT, bytes():
                try:
                    return self._machine.results.decode(known)
                except Exception:  # noqa: BLE001 - whatever the bytes provoke in the application's codec
                    return ResultLost(index)
            case Outcome.BEGUN, int():
                return known
            case Outcome.FAILED, [int(failed_at), str(text)]:
                failure = CommandFailed(failed_at)
                failure.__cause__ = RaftError(text)
                return failure
            case _:
                return ResultLost(known if isinstance(known, int) else index)

    def _call(
        self, ask: Ask, body: bytes, opened: Callable[[memoryview], Any], need: Need, *, several: bool = False
    ) -> Call:
        self._check_open()
        deadline = trio.current_time() + self.patience_s
        call = Call(self._board, ask, body, opened, need, deadline, several=several)
        self._board.submit(call)
        return call

    async def _until_done(self, call: Call) -> Any:
        try:
            return await call.wait()
        except BaseException:
            call.fail(InternalError("nobody waits for this any more"))
            raise

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("this client is closed")

    # --- life ------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep connections up until cancelled; `open_client` does it."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_time)
                nursery.start_soon(self._keep_links, nursery)
                task_status.started()
        finally:
            self._closed = True
            self._board.give_up_all("the client was closed")
            self._changed.unpark_all()

    async def aclose(self) -> None:
        """End the client's session in the cluster, in at most a second: else it ends by itself."""
        await self._session.end()

    def _wake(self) -> None:
        self._changed.unpark_all()

    def _alarm(self, at: float) -> None:
        if at < self._alarm_at:
            self._alarm_at = at
            if self._asleep is not None:
                self._asleep.deadline = at

    async def _keep_time(self) -> None:
        while True:
            self._alarm_at = float("inf")
            self._board.tick()
            with trio.CancelScope(deadline=self._alarm_at) as self._asleep:
                await trio.sleep_forever()
            self._asleep = None

    async def _keep_links(self, nursery: trio.Nursery) -> None:
        """Have a link wherever the board wants a line, and nowhere else."""
        while True:
            wanted = self._board.wanted(self._seeds)
            for address in [address for address in self._links if address not in wanted]:
                self._links.pop(address).scope.cancel()
            for address, node_id in wanted.items():
                link = self._links.get(address)
                if link is None:
                    link = self._links[address] = Link(
                        self._board, self._dialer, address, self.cluster_id, node_id, self._silence_s, self._rng
                    )
                    nursery.start_soon(link.run, _RECONNECT_S)
                link.node_id = node_id  # another member may have its address by now
            await self._changed.park()


def _parts(encoded: list[bytes]) -> list[list[bytes]]:
    """Commands in the requests that they go in: a window's worth, and about as much as an append takes."""
    parts: list[list[bytes]] = []
    size = 0
    for data in encoded:
        if not parts or len(parts[-1]) >= WINDOW // 2 or size + len(data) > MOST_TOGETHER_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(data)
        size += len(data)
    return parts
