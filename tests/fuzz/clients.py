"""Targets between nodes and their clients (`RaftClient`): what either says, and what snapshots keep of it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from random import Random
from typing import Any, cast

import attrs
from typing_extensions import override

from raft_actors import NodeConfig, RaftClient, StateMachine, attrs_queries
from raft_actors.client.board import Board, Line
from raft_actors.client.call import Call, Need
from raft_actors.errors import ConfigurationError, ProtocolError, RaftError, StateMachineError
from raft_actors.node.admission import Admission
from raft_actors.node.client_messages import (
    Answered,
    Ask,
    Notice,
    Outcome,
    Tell,
    pack,
    packed,
    read_body,
    refusal_body,
    results_of,
    unpack,
)
from raft_actors.node.client_requests import ClientProposal, ClientRead
from raft_actors.node.proposals import Seen
from raft_actors.node.replicated_sessions import ReplicatedSessions
from raft_actors.node.serving import ClientService, _ServedClient
from raft_actors.raft.sessions import close, numbered, register, tick
from raft_actors.read_levels import BoundedStale, Linearizable, ReadYourWrites
from raft_actors.results import PLAIN_RESULTS
from raft_actors.transports.conversation import Caller
from raft_actors.transports.sockets.addresses import Address
from tests.fuzz.service import pieces, run
from tests.fuzz.target import Target

_MOST_BYTES = 2000


@attrs.frozen
class _Count:
    """How many commands there are, at least."""

    least: int = 0
    words: tuple[str, ...] = ()

    def __call__(self, log: _Log) -> int | None:
        return max(self.least, len(log.applied))


@attrs.frozen
class _Last:
    """The last command."""

    def __call__(self, log: _Log) -> bytes:
        return log.applied[-1]


class _Log(StateMachine[bytes, Any]):
    """A list of commands, some of which it refuses; its errors and results say whatever a client has said."""

    queries = attrs_queries(_Count | _Last)

    def __init__(self) -> None:
        self.applied: list[bytes] = []

    @override
    def apply(self, command: bytes) -> Any:
        if command.startswith(b"no"):
            raise ValueError(command.decode(errors="surrogateescape"))
        self.applied.append(command)
        return command.decode(errors="surrogateescape") if command.startswith(b"text") else command[:2]

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [b"%d" % len(self.applied)]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.applied = [chunk async for chunk in chunks]


def _payloads(data: bytes) -> Iterator[bytes]:
    """Some payloads, each behind its length in two bytes; where that is changed, there are others, and not none."""
    while len(data) > 2:
        size = int.from_bytes(data[:2], "big")
        yield data[2 : 2 + size]
        data = data[2 + size :]


def _joined(payloads: Sequence[bytes]) -> tuple[bytes, ...]:
    each = [len(payload).to_bytes(2, "big") + payload for payload in payloads]
    return b"".join(each), *each


# --- what clients say ----------------------------------------------------------------------------------------


@attrs.define
class _Applied:
    """How far all is applied."""

    applied_index: int = 0


_CONFIG = NodeConfig(max_command_bytes=_MOST_BYTES)


@attrs.define(eq=False)
class _Node:
    """What a `ClientService` needs of a node that leads, and of its parts: what is handed in, it keeps."""

    node_id: str = "n1"
    over: bool = False
    role: object = "leader"
    intake_sorts: bool = False
    state_machine: _Log = attrs.field(factory=_Log)
    config: NodeConfig = _CONFIG
    admission: Admission = attrs.field(factory=lambda: Admission("n1", max_bytes=10**6, max_count=1000))
    proposals: list[ClientProposal] = attrs.field(factory=list[ClientProposal])
    reads: list[ClientRead] = attrs.field(factory=list[ClientRead])
    counts: dict[int, int] = attrs.field(factory=dict[int, int])

    def recovered_state(self) -> _Node:
        return self

    def check_sessions(self) -> None: ...

    def hold(self, _size: int) -> None: ...

    def age_s(self, _seen: Seen | None) -> float | None:
        return 0.5

    def withdraw(self, outcome: ClientProposal) -> None:
        self.proposals = [one for one in self.proposals if one is not outcome]

    def hand_in_or_fail(self, proposal: ClientProposal) -> None:
        """Keep it."""
        self.proposals.append(proposal)
        self.counts[proposal.number] = len(proposal.commands)

    def hand_in_if_room(self, read: ClientRead) -> bool:
        """Keep it."""
        self.reads.append(read)
        return True

    def settle(self) -> None:
        """Carry out what was handed in and not taken back."""
        sessions, applied, index = ReplicatedSessions(self.state_machine, ()), _Applied(), 1
        for proposal in self.proposals:
            proposal.index, results = index, list[Any]()
            sessions.apply_each(applied, 1, list(proposal.commands), results)  # what raises would have ended every node
            index = applied.applied_index + 1
            proposal.last_index = index - 1
            proposal.answer(results, proposal.index, self.state_machine)
        for number, read in enumerate(self.reads):
            if not read.done:
                read.run(self.state_machine, Seen(index, 1, None) if number % 2 else None)


def _asks(data: bytes) -> None:
    """What a client says ends its own connection at most, and it understands what it is told about the rest."""
    node = _Node()
    anything = cast("Any", node)
    served = _ServedClient(ClientService(anything, anything, anything, anything), anything, Caller("c"))
    try:
        for payload in _payloads(data):
            served._hear(payload)
        node.settle()
    finally:
        if served._untold:
            client = _Client()
            for payload in served._untold:
                client.hears(payload, node.counts)
        served.leave()


_DRAWN = tuple(map(Random(1).uniform, [0.0] * 64, [1.0] * 64))


@attrs.define(eq=False)
class _Dice:
    """As much of a `Random` as a board uses, with the same numbers for each input: to seed one takes longer."""

    rolls: int = 0

    def uniform(self, low: float, high: float) -> float:
        self.rolls += 1
        return low + (high - low) * _DRAWN[self.rolls % len(_DRAWN)]


@cache
def _raft_client() -> RaftClient[_Log]:
    """One for all inputs: it is asked for nothing but what an outcome means, which changes nothing of it."""
    nobody = cast("Any", None)
    return RaftClient(["a:1"], _Log, cluster="c", dialer=nobody, patience_s=1.0, silence_s=1.0, seed=1)


@attrs.define(eq=False)
class _Client:
    """A client with one connection, without a network."""

    board: Board = attrs.field(init=False)
    line: Line = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.board = Board(cast("Any", _Dice()), lambda: 0.0, lambda _at: None, lambda: None)
        self.line = self.board.lines["a:1"] = Line("a:1", lambda: None)

    def ask(self, number: int, count: int | None) -> Call:
        """Have asked for something as this number: so many entries, or a read."""
        ask, opened = (Ask.READ, Answered.decode) if count is None else (Ask.PROPOSE, partial(results_of, count=count))
        call = Call(self.board, ask, b"", opened, Need.QUORUM if count is None else Need.LEADER, 30.0)
        self.board.open[call] = None
        call.number, call.line = number, self.line
        self.line.calls[number] = call
        return call

    def hears(self, payload: bytes, counts: Mapping[int, int]) -> None:
        """Is told what it has asked for.

        Raises:
            AssertionError: it does not understand it.
        """
        kind, number, _ = unpack(payload)
        call = self.ask(number, None if kind == Tell.ANSWER else counts.get(number, 1))
        try:
            self.board.heard(self.line, payload)
        except ProtocolError as error:
            raise AssertionError("a client does not understand its node") from error
        self.look_at(call)
        if kind in (Tell.RESULTS, Tell.ANSWER) and not call.done:
            raise AssertionError("a call without its answer")

    def look_at(self, call: Call) -> None:
        """Use an answer as a client does."""
        if not call.done:
            return
        try:
            answer = call.result_nowait()
        except RaftError:
            return
        if call.ask is Ask.PROPOSE:
            token, outcomes = answer
            for outcome, known in outcomes:
                str(_raft_client()._result(outcome, known, token))


_ASKS = (
    pack(Ask.PROPOSE, 1, packed([register()])),
    pack(Ask.PROPOSE, 2, packed([numbered(1, 1, 0, b"one"), numbered(1, 2, 1, b"no \xff"), numbered(1, 1, 1, b"")])),
    pack(Ask.PROPOSE, 3, packed([numbered(1, 3, 0, b"text \xff")])),
    pack(Ask.PROPOSE, 4, packed([close(1)])),
    pack(Ask.READ, 5, read_body(_Log.queries.encode(_Count(1, ("a", "b"))), Linearizable())),
    pack(Ask.READ, 6, read_body(_Log.queries.encode(_Last()), BoundedStale(seconds=1.5))),
    pack(Ask.READ, 7, read_body(_Log.queries.encode(_Last()), ReadYourWrites(3))),
    pack(Ask.CANCEL, 3),
    pack(Ask.PING, 9),
    pack(99, 10, b"?"),
)

# --- what nodes say ------------------------------------------------------------------------------------------


def _tells(data: bytes) -> None:
    """What a node says ends the connection to it at most: what was asked there is answered, or asked elsewhere."""
    client = _Client()
    calls = [client.ask(1, 2), client.ask(2, None), client.ask(3, 1)]
    board = client.board
    try:
        for payload in _payloads(data):
            board.heard(client.line, payload)
            board.tick()
            for address in board.wanted(["b:1"]):
                with suppress(ConfigurationError):
                    Address.parse(address)
    finally:
        board.lost(client.line, "the connection is closed")
        for call in calls:
            client.look_at(call)
            if not call.done and call not in board._ready[call.need] and call not in [one[2] for one in board._paused]:
                raise AssertionError("a call that is neither answered nor asked again")


_MEMBERS = {"n1": "a:1", "n2": "b:1"}
_NOTICE = Notice(node_id="n1", term=3, leader="n1", config=4, members=_MEMBERS, most_requests=9, most_bytes=_MOST_BYTES)
_TELLS = (
    pack(Tell.NOTICE, 0, _NOTICE.encode()),
    pack(Tell.RESULTS, 1, packed([7, [Outcome.RESULT, PLAIN_RESULTS.encode(("a", 1))], [Outcome.FAILED, [6, "why"]]])),
    pack(Tell.RESULTS, 3, packed([7, [Outcome.BEGUN, 7]])),
    pack(Tell.RESULTS, 3, packed([7, [Outcome.EXPIRED, 7]])),
    pack(Tell.RESULTS, 3, packed([7, [99, "of a newer version"]])),
    pack(Tell.ANSWER, 2, Answered(7, 3, 0.5, PLAIN_RESULTS.encode(None)).encode()),
    pack(Tell.REFUSAL, 1, refusal_body("NodeStopped", "why", index=None)),
    pack(Tell.REFUSAL, 2, refusal_body("CommandTooLarge", "why", size=3, limit=2)),
    pack(Tell.PONG, 2),
)


_RESULT = [("a", 1), {"b": (b"c", None)}, 1.5]


def _result(data: bytes) -> object:
    """What was kept of a result, or came from afar, is a result: it can be kept again, and is the same then."""
    result = PLAIN_RESULTS.decode(data)
    with suppress(TypeError):  # some things have a form in msgpack that no result has: an extension's timestamp
        again = PLAIN_RESULTS.decode(PLAIN_RESULTS.encode(result))
        if repr(again) != repr(result):
            raise AssertionError("another result comes back")
    return result


# --- the sessions in a snapshot ------------------------------------------------------------------------------


def _sessions(data: bytes) -> object:
    """A table from a peer is one to go on with, and goes into the next snapshot as it came."""
    sessions = ReplicatedSessions(_Log(), ())
    run(sessions.restore(pieces(data, 3), sessions.state_machine.restore))
    other = ReplicatedSessions(_Log(), ())
    head = b"".join(sessions.snapshot([]))
    run(other.restore(pieces(head, 2), other.state_machine.restore))
    if other.table.encode() != sessions.table.encode():
        raise AssertionError("another table comes back")
    entries = [register(), tick(5), numbered(1, 1, 0, b"x"), tick(2**32 - 1), close(1)]
    sessions.apply_each(_Applied(2**40 - 1), 1, entries)
    return sessions.table.encode()


def _table() -> bytes:
    sessions = ReplicatedSessions(_Log(), ())
    entries = [register(), tick(5), numbered(1, 1, 0, b"x"), numbered(1, 2, 0, b"no"), register()]
    sessions.apply_each(_Applied(), 1, entries)
    return b"".join(sessions.snapshot([b"the state machine's"]))


TARGETS: dict[str, Target] = {
    "asks": Target(_asks, (ProtocolError,), _joined(_ASKS), memory_factor=150, free_bytes=600_000),
    "tells": Target(_tells, (ProtocolError,), _joined(_TELLS)),
    "result": Target(_result, (Exception,), (PLAIN_RESULTS.encode(_RESULT),), free_bytes=10_000_000),
    "sessions": Target(_sessions, (StateMachineError,), (_table(),)),
}
