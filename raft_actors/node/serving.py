"""What a node does for clients, which are no members (`RaftClient`): they propose entries of sessions, and read.

Each connection has three tasks: one takes requests in, one sends what is to be told, one tells when somebody else
leads, or the members are others. A proposal needs no task of its own: whatever settles it puts the answer among what is
to be told, and so does a linearizable read. Another read has a task, as its level decides how long it waits.

All is bounded: requests under way by `MOST_REQUESTS` a connection, which the client is told, and which it must keep to;
one request by `ClientService.most_request_bytes`; what is to be told, to a client that does not read it, by
`MOST_UNTOLD_BYTES`. Who goes beyond is disconnected. What all clients together make a node hold is the transport's to
bound (`Conversation.hold`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio

from raft_actors.errors import (
    CommandFailed,
    CommandTooLarge,
    NodeStopped,
    ProtocolError,
    RaftError,
    ResultLost,
    SessionExpired,
)
from raft_actors.node.client_codecs import ClientCodecs
from raft_actors.node.client_messages import (
    MOST_TOGETHER_BYTES,
    OVERHEAD_BYTES,
    Answered,
    Ask,
    Notice,
    Outcome,
    Tell,
    entries_of,
    pack,
    packed,
    read_of,
    unpack,
)
from raft_actors.node.client_refusals import Refused, cause_of, encode_refusal
from raft_actors.node.client_requests import ClientProposal, ClientRead
from raft_actors.node_log import NodeLog
from raft_actors.raft.sessions import COMMAND, REGISTER, TICK, SessionEntry
from raft_actors.read_levels import Linearizable
from raft_actors.transports.conversation import Caller, Conversation, Right

if TYPE_CHECKING:
    from raft_actors.node.node import Node
    from raft_actors.node.reading import Reading
    from raft_actors.node.submission import Submission
    from raft_actors.node.supervisor import Supervisor

_logger = logging.getLogger(__name__)

MOST_REQUESTS = 2048
"""Under way at a time, of one connection."""

MOST_UNTOLD_BYTES = 64 * 1024 * 1024

# What Python takes for one that is short: an answer to a PING has five bytes, and takes ten times as much.
_PAYLOAD_OVERHEAD = 64

GRAIN_BYTES = 64 * 1024
"""Smaller changes of what a connection holds are not told: most connections never hold as much."""


class ClientService:
    """Serves all clients of one node."""

    def __init__(self, node: Node[Any], inside: Supervisor, submission: Submission[Any, Any], reading: Reading) -> None:
        self.node = node
        self.reading = reading
        self.inside = inside
        self.submission = submission
        self.log: NodeLog = NodeLog(_logger, node.node_id)
        self.codecs: ClientCodecs = ClientCodecs(node.node_id, inside.state_machine)
        self.most_command_bytes: int = inside.config.max_command_bytes

    @property
    def most_request_bytes(self) -> int:
        """No request is larger."""
        return max(self.most_command_bytes, MOST_TOGETHER_BYTES) + OVERHEAD_BYTES

    async def converse(self, conversation: Conversation, caller: Caller) -> None:
        """Serve one client until it goes; see `Endpoint.converse`."""
        self.log.debug("serves client %s, which may %s", caller.name, sorted(right.value for right in caller.rights))
        served = _ServedClient(self, conversation, caller)
        try:
            await served.run()
        finally:
            served.leave()

    def notice(self) -> Notice:
        """How things stand here."""
        state, inside = self.inside.recovered_state(), self.inside
        serves = not (inside.over or inside.admission.closed or inside.role is None) and state.is_member
        configuration = state.configuration
        members = sorted({*configuration.voters, *configuration.learners})
        return Notice(
            node_id=inside.node_id,
            term=state.term,
            leader=state.leader if serves else None,
            config=state.configurations.latest.index,
            members={member: state.address_of(member) or "" for member in members},
            most_requests=MOST_REQUESTS,
            most_bytes=self.most_request_bytes,
        )

    def check_entries(self, entries: list[bytes]) -> None:
        """See that entries may be appended: those that can't be applied would end every node.

        Raises:
            Refused, CommandTooLarge, ConfigurationError: they may not.
        """
        for data in entries:
            try:
                entry = SessionEntry.decode(data)
            except ValueError as error:
                raise Refused(str(error), "ProtocolError") from error
            if entry.kind == TICK or (entry.kind != COMMAND and len(entries) > 1):
                raise Refused("commands go together, and no client says how much time has passed", "ProtocolError")
            if entry.kind == REGISTER:
                self.submission.check_sessions()
            elif entry.kind == COMMAND:
                if len(entry.value) > self.most_command_bytes:
                    raise CommandTooLarge(len(entry.value), self.most_command_bytes)
                self.codecs.check_command(entry.value)


class _ServedClient:
    """One connection. See the module's text."""

    def __init__(self, service: ClientService, conversation: Conversation, caller: Caller) -> None:
        self._service = service
        self._conversation = conversation
        self._caller = caller
        self._untold: list[bytes] = []
        self._untold_bytes = 0
        self._asked_bytes = 0
        self._held_bytes = 0
        self._told = trio.lowlevel.ParkingLot()
        self._under_way: dict[int, ClientProposal | ClientRead | trio.CancelScope] = {}
        self._sizes: dict[int, int] = {}
        self._nursery: trio.Nursery | None = None
        self._left = False

    async def run(self) -> None:
        """Serve it until it goes.

        Raises:
            Unreachable: the connection broke.
            ProtocolError: what it said is not what a client may say.
        """
        failure: RaftError | None = None
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._notify)
            nursery.start_soon(self._tell_all, nursery.cancel_scope)
            try:
                await self._take_in()
            except RaftError as error:
                failure = error  # as itself, and not in a group
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def leave(self) -> None:
        """It is gone: what was handed to no leader yet never is."""
        self._left = True
        for number in list(self._under_way):
            self._cancel(number)

    # --- what comes ------------------------------------------------------------------------------------------

    async def _take_in(self) -> None:
        while payloads := await self._conversation.receive():
            for payload in payloads:
                self._hear(payload)

    def _hear(self, payload: bytes) -> None:
        kind, number, body = unpack(payload)
        if kind == Ask.PING:
            self._say(Tell.PONG, number)
            return
        if kind == Ask.CANCEL:
            self._cancel(number)
            return
        if number in self._under_way or len(self._under_way) >= MOST_REQUESTS:
            raise ProtocolError(f"more than {MOST_REQUESTS} requests under way, or two of one number")
        try:
            if kind == Ask.PROPOSE:
                self._propose(number, entries_of(body), len(body))
            elif kind == Ask.READ:
                self._read(number, body)
            else:
                raise Refused(f"node {self._service.node.node_id!r} can't do that: upgrade it", "UnknownRequest")
        except RaftError as error:
            if isinstance(error, ProtocolError):
                raise
            self._refuse(number, error)

    def _begin(self, number: int, request: ClientProposal | ClientRead | trio.CancelScope, size: int) -> None:
        self._asked_bytes += size - self._sizes.get(number, 0)
        self._under_way[number], self._sizes[number] = request, size
        self._weigh()

    def _end(self, number: int) -> ClientProposal | ClientRead | trio.CancelScope | None:
        """Take a request out of those under way; None: nobody waits for it any more."""
        self._asked_bytes -= self._sizes.pop(number, 0)
        return self._under_way.pop(number, None)

    def _weigh(self) -> None:
        """Tell what has changed of what this connection holds, if that is worth it."""
        held = self._untold_bytes + self._asked_bytes
        change = held - self._held_bytes
        if abs(change) >= GRAIN_BYTES or (change and not held):
            self._held_bytes = held
            self._conversation.hold(change)

    def _cancel(self, number: int) -> None:
        request = self._end(number)
        if isinstance(request, ClientProposal):
            self._service.submission.withdraw(request)
        elif isinstance(request, ClientRead):
            request.abandon()
        elif request is not None:
            request.cancel()
        self._weigh()

    def _demand(self, right: Right) -> None:
        if right not in self._caller.rights:
            raise Refused(f"{self._caller.name} may not {right.value} here", "NotPermitted")

    def _propose(self, number: int, entries: list[bytes], size: int) -> None:
        self._demand(Right.WRITE)
        service = self._service
        service.check_entries(entries)
        inside = service.inside
        if inside.admission.closed or inside.over or inside.role is None:
            raise NodeStopped(inside.node_id)
        inside.recovered_state().intake_sorts = True
        proposal = ClientProposal(inside.admission, entries, number, self._settled)
        self._begin(number, proposal, size)
        service.submission.hand_in_or_fail(proposal)

    def _start(self, function: Callable[..., Any], *arguments: Any) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(function, *arguments)

    def _settled(self, proposal: ClientProposal) -> None:
        """Tell what came of a proposal. Called wherever it is settled."""
        if self._left or self._end(proposal.number) is None:
            return
        try:
            self._tell_results(proposal)
        except Exception as bug:  # noqa: BLE001 - it would leave into the step, or the applier, that settles it
            self._break_off(bug)

    def _tell_results(self, proposal: ClientProposal) -> None:
        try:
            results = proposal.result_nowait()
        except Exception as error:  # noqa: BLE001 - whatever it was settled with
            self._refuse(proposal.number, error)
            return
        if proposal.begins:
            outcomes = [[Outcome.BEGUN, results[0]]]
        else:
            outcomes = [self._outcome(result, index) for index, result in enumerate(results, proposal.index or 0)]
        self._say(Tell.RESULTS, proposal.number, packed([proposal.last_index, *outcomes]))

    def _outcome(self, result: Any, index: int) -> list[Any]:
        if isinstance(result, SessionExpired):
            return [Outcome.EXPIRED, result.session]
        if isinstance(result, ResultLost):
            return [Outcome.LOST, index]
        if isinstance(result, CommandFailed):
            return [Outcome.FAILED, [index, cause_of(result)]]
        data = self._service.codecs.result(result)
        return [Outcome.LOST, index] if data is None else [Outcome.RESULT, data]

    # --- reads -----------------------------------------------------------------------------------------------

    def _read(self, number: int, body: memoryview) -> None:
        self._demand(Right.READ)
        data, level = read_of(body)
        service = self._service
        query = service.codecs.query(data)
        if type(level) is Linearizable:
            read = ClientRead(service.inside.admission, query, number, self._looked)
            self._begin(number, read, len(body))
            if service.reading.hand_in_if_room(read):
                return
        scope = trio.CancelScope()
        self._begin(number, scope, len(body))
        self._start(self._look, number, scope, query, level)

    def _looked(self, read: ClientRead) -> None:
        """Tell what a read has seen. Called wherever it is settled."""
        if self._left or self._end(read.number) is None:
            return
        try:
            self._tell_seen(read)
        except Exception as bug:  # noqa: BLE001 - it would leave into the step, or the applier, that settles it
            self._break_off(bug)

    def _tell_seen(self, read: ClientRead) -> None:
        service, seen = self._service, read.seen
        try:
            data = service.codecs.answer(read.result_nowait())
        except Exception as error:  # noqa: BLE001 - the query's own errors among them
            self._refuse(read.number, error)
            return
        index, term = (read.last_index, 0) if seen is None else (seen.index, seen.term)
        self._say(Tell.ANSWER, read.number, Answered(index, term, service.reading.age_s(seen), data).encode())

    async def _look(self, number: int, scope: trio.CancelScope, query: Callable[[Any], Any], level: Any) -> None:
        with scope:
            try:
                seen = await self._service.node.read_result(query, level)
                value = self._service.codecs.answer(seen.value)
                answer = Answered(seen.index, seen.term, seen.age_s, value).encode()
            except Exception as error:  # noqa: BLE001 - the query's own errors among them
                if self._end(number) is not None:
                    self._refuse(number, error)
            else:
                if self._end(number) is not None:
                    self._say(Tell.ANSWER, number, answer)

    # --- what is told ----------------------------------------------------------------------------------------

    async def _notify(self) -> None:
        """Tell who leads and who the members are, now and whenever that changes."""
        told: Notice | None = None
        while True:
            now = self._service.notice()
            if now != told:
                told = now
                self._say(Tell.NOTICE, 0, now.encode())
            await self._service.inside.changed.park()

    def _refuse(self, number: int, error: Exception) -> None:
        self._say(Tell.REFUSAL, number, encode_refusal(error))

    def _say(self, kind: Tell, number: int, body: bytes = b"") -> None:
        """Have it sent. Never waits; where too much is not taken, the connection ends."""
        if self._left:
            return
        payload = pack(kind, number, body)
        self._untold.append(payload)
        self._untold_bytes += (size := len(payload) + _PAYLOAD_OVERHEAD)
        if self._untold_bytes > MOST_UNTOLD_BYTES + size and self._nursery is not None:
            self._service.log.warning("client %s does not read what it asked for", self._caller.name)
            self._disconnect()
            return
        self._weigh()
        if self._told:
            self._told.unpark()

    def _break_off(self, bug: Exception) -> None:
        self._service.log.error("a client's request met a bug: its connection is closed", exc_info=bug)
        self._disconnect()

    def _disconnect(self) -> None:
        self._left = True
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    async def _tell_all(self, serving: trio.CancelScope) -> None:
        try:
            while True:
                while not self._untold:
                    await self._told.park()
                untold, self._untold = self._untold, []
                await self._conversation.send(untold)
                self._untold_bytes -= sum(map(len, untold)) + len(untold) * _PAYLOAD_OVERHEAD
                self._weigh()
        except RaftError:  # it is gone: `receive` meets the same, or the end
            serving.cancel()
