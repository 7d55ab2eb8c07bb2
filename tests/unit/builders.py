"""States, logs, batches and roles in one line each, and ways to read what a role decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any, TypeVar

from raft_actors.config import MIB, ClusterConfig, NodeConfig
from raft_actors.node.admission import Admission
from raft_actors.node.proposals import LocalProposal, LocalProposals, PendingProposals, PendingRead
from raft_actors.raft.effects import Become, Effect, Persist, Refuse, Send
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.features import FEATURES, IDENTITY
from raft_actors.raft.inputs import Durable, Input, Received, Requested
from raft_actors.raft.log import Log
from raft_actors.raft.membership import Configuration
from raft_actors.raft.membership_codec import encode_configuration
from raft_actors.raft.messages import AppendEntries, Message
from raft_actors.raft.persistent_state import (
    HardState,
    LogWrite,
    Recovered,
    SnapshotMetadata,
    StoredConfiguration,
    TermRun,
)
from raft_actors.raft.roles import Candidate, Follower, Leader, Role
from raft_actors.raft.state import RaftState

T = TypeVar("T")

ME = "n1"


def command(index: int) -> bytes:
    """A command that says where it stands."""
    return b"%d" % index


def batch(first_index: int, term: int, count: int = 1) -> EntryBatch:
    """`count` commands of one term."""
    commands = [command(index) for index in range(first_index, first_index + count)]
    return EntryBatch.encode(first_index, term, EntryKind.COMMAND, commands)


def batches(first_index: int, terms: Iterable[int]) -> list[EntryBatch]:
    """One batch of one entry for each term."""
    return [batch(first_index + offset, term) for offset, term in enumerate(terms)]


def recovered(
    terms: Sequence[int] = (), *, after: SnapshotMetadata | None = None, first_index: int | None = None
) -> Recovered:
    """What a store would give for a log with an entry of each of these terms, from `first_index` on."""
    first = first_index if first_index is not None else (after.index + 1 if after else 1)
    tail = batches(first, terms)
    runs: list[TermRun] = []
    for entry in tail:
        if not runs or runs[-1].term != entry.term:
            runs.append(TermRun(entry.term, entry.first_index))
    return Recovered(HardState(), after, first, first + len(terms) - 1, tuple(runs), tuple(tail))


def make_log(
    terms: Sequence[int] = (),
    *,
    after: SnapshotMetadata | None = None,
    first_index: int | None = None,
    cache_bytes: int = MIB,
) -> Log:
    """A durable log with an entry of each of these terms."""
    return Log(recovered(terms, after=after, first_index=first_index), cache_bytes=cache_bytes)


def log_terms(log: Log) -> list[int | None]:
    """The terms of all entries kept."""
    return [log.term_at(index) for index in range(log.first_index, log.last_index + 1)]


def make_config(**settings: Any) -> NodeConfig:
    """A node's settings, with a fixed seed."""
    settings.setdefault("seed", 1)
    settings = {"election_timeout_s": (0.4, 0.8), "heartbeat_interval_s": 0.1, **settings}
    return NodeConfig(**settings)


def stored(index: int, configuration: Configuration) -> StoredConfiguration:
    """A configuration as a store keeps it, of the entry at this index."""
    return StoredConfiguration(index, encode_configuration(configuration))


#: The others say nothing of their stores, where a test does not have them do so.
_FEATURES_OF_OTHERS = FEATURES - {IDENTITY}


def make_state(
    terms: Sequence[int] = (),
    *,
    term: int | None = None,
    voted_for: str | None = None,
    commit_index: int | None = None,
    voters: int = 3,
    after: SnapshotMetadata | None = None,
    first_index: int | None = None,
    stored_configurations: tuple[StoredConfiguration, ...] = (),
    features: frozenset[str] = FEATURES,
    features_of: Callable[[str], frozenset[str]] = lambda _peer: _FEATURES_OF_OTHERS,
    turned_on: frozenset[str] = frozenset(),
    incarnation: str = "",
    must_be_named: bool = False,
    **settings: Any,
) -> RaftState:
    """The state of n1 among n1, n2, …: all of it durable."""
    log = make_log(terms, after=after, first_index=first_index)
    return RaftState(
        node_id=ME,
        cluster=ClusterConfig("test", {f"n{number}": f"address {number}" for number in range(1, voters + 1)}),
        config=make_config(**settings),
        rng=Random(1),
        log=log,
        term=max([*terms, after.term if after else 0]) if term is None else term,
        voted_for=voted_for,
        commit_index=log.snapshot_index if commit_index is None else commit_index,
        stored_configurations=stored_configurations,
        monotonic=lambda: 0.0,
        boottime=lambda: 0.0,
        features=features,
        features_of=features_of,
        turned_on=turned_on,
        incarnation=incarnation,
        must_be_named=must_be_named,
    )


def make_follower(terms: Sequence[int] = (), *, leader: str | None = None, **state: Any) -> Follower:
    """A follower that has just started, at time 0."""
    role = Follower(make_state(terms, **state))
    role.start(0.0)
    role.state.leader = leader
    return role


def make_candidate(terms: Sequence[int] = (), **state: Any) -> tuple[Candidate, Persist]:
    """A candidate that has just started, at time 0, and the write of its vote."""
    role = Candidate(make_state(terms, **state))
    [persist] = role.start(0.0)
    assert isinstance(persist, Persist)
    return role, persist


def make_leader(terms: Sequence[int] = (), *, term: int = 2, durable: bool = True, **state: Any) -> Leader:
    """A leader that has just started, at time 0; its no-op stands at the end of the log."""
    role = Leader(make_state(terms, term=term, voted_for=ME, **state))
    for effect in role.start(0.0):
        if durable and isinstance(effect, Persist):
            role.handle(Durable(effect), 0.0)
    return role


# --- making a role decide -------------------------------------------------------------------------------------


def receive(role: Role, sender: str, message: Message, *, now: float = 0.0) -> list[Effect]:
    """Have a role decide on a message."""
    return role.handle(Received(sender, message), now)


def make_durable(role: Role, effects: Iterable[Effect], *, now: float = 0.0) -> list[Effect]:
    """Have a role told that all these writes are on disk; return what it decides."""
    return [after for persist in of(Persist, effects) for after in role.handle(Durable(persist), now)]


def append(
    prev_index: int, prev_term: int, terms: Sequence[int] = (), *, term: int | None = None, commit: int = 0
) -> AppendEntries:
    """An AppendEntries with one entry for each of these terms; by default in the term of the last of them."""
    sent = tuple(batches(prev_index + 1, terms))
    return AppendEntries(max([prev_term, *terms]) if term is None else term, prev_index, prev_term, commit, sent)


def make_admission() -> Admission:
    """A bound that nothing here reaches."""
    return Admission(ME, max_bytes=MIB, max_count=1000)


def propose(role: Role, *commands: bytes, now: float = 0.0) -> tuple[PendingProposals[Any], list[Effect]]:
    """Have a role decide on a proposal of these commands (not yet on the end of the step)."""
    kind: Any = LocalProposal if len(commands) == 1 else LocalProposals
    proposal = kind(make_admission(), commands, sum(map(len, commands)))
    return proposal, role.handle(Requested([proposal]), now)


def query(role: Role, *, now: float = 0.0) -> tuple[PendingRead[Any], list[Effect]]:
    """Have a role decide on a read (not yet on the end of the step)."""
    read: PendingRead[Any] = PendingRead(make_admission(), lambda machine: machine)
    return read, role.handle(Requested([read]), now)


def step(role: Role, *items: Input, now: float = 0.0) -> list[Effect]:
    """Have a role decide on some items and on the end of the step."""
    return [effect for item in items for effect in role.handle(item, now)] + role.end_of_step(now)


# --- reading what it decided ----------------------------------------------------------------------------------


def of(kind: type[T], effects: Iterable[Any]) -> list[T]:
    """The effects of one kind."""
    return [effect for effect in effects if isinstance(effect, kind)]


def sent(effects: Iterable[Any]) -> list[tuple[str, Message]]:
    """What leaves at once."""
    return [(send.to, send.message) for send in of(Send, effects)]


def held_back(effects: Iterable[Effect]) -> list[tuple[str, Message]]:
    """What leaves once something is durable."""
    return [
        (send.to, send.message) for persist in of(Persist, effects) for send in persist.then if isinstance(send, Send)
    ]


def written(effects: Iterable[Effect]) -> list[LogWrite]:
    """The changes of term, vote and log that are written."""
    return [persist.write for persist in of(Persist, effects) if isinstance(persist.write, LogWrite)]


def became(effects: Iterable[Effect]) -> list[Become]:
    """The changes of role."""
    return of(Become, effects)


def refused(effects: Iterable[Effect]) -> list[tuple[Any, Exception]]:
    """Which proposals and reads were refused, and with what."""
    return [(refuse.outcome, refuse.error) for refuse in of(Refuse, effects)]
