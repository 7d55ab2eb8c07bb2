"""Real clusters with one part of the engine broken on purpose: the invariant that the part serves finds out, alone."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Any

import attrs
import pytest
import trio

from raft_actors import NodeConfig, StateMachine
from raft_actors.errors import RaftError
from raft_actors.node.admission import Admission
from raft_actors.node.applier import Applier
from raft_actors.node.proposals import PendingOutcome
from raft_actors.node.replication import Replication
from raft_actors.node.role_actors import CandidateActor, Performers
from raft_actors.raft.effects import Effect, Persist, ReplicateTo, Send
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.log import Log
from raft_actors.raft.messages import AppendEntries, AppendEntriesAccepted, RequestVote, RequestVoteReply
from raft_actors.raft.persistent_state import HardState
from raft_actors.raft.progress import Progress, ProgressState
from raft_actors.raft.roles import Follower, Leader
from raft_actors.raft.state import RaftState
from raft_actors.testing import CheckFailed, Invariant, Simulation, simulate
from raft_actors.testing.invariants import (
    BoundedQueues,
    CommittedStaysCommitted,
    DurableBeforeSent,
    ElectionSafety,
    EqualResults,
    IndexOrder,
    LeaderAppendOnly,
    LeaderCompleteness,
    LogMatching,
    Monotonic,
    NoLeakedTask,
    PromisesKept,
    StateMachineSafety,
)
from tests.cluster.support import CommandLog, Commands
from tests.invariants.support import run_simulated

Cluster = Simulation[bytes, int]

COLLIDING: dict[str, Any] = {"election_timeout_s": (0.2, 0.205), "heartbeat_interval_s": 0.05, "pre_vote": False}
"""Timeouts so close together that elections collide, and nobody asks before."""


async def serve(cluster: Cluster, count: int = 1_000) -> None:
    """Propose one command after the other, whoever leads."""
    cluster.tolerated = (RaftError,)
    commands = Commands()
    for _ in range(count):
        await cluster.start_command(cluster.leader() or "n1", commands())
        await trio.sleep(0.02)


def expect_found(
    invariant: type[Invariant],
    text: str,
    work: Callable[[Cluster], Awaitable[None]] = serve,
    *,
    machine: Callable[[], StateMachine[bytes, int]] = CommandLog,
    nodes: int = 3,
    **settings: Any,
) -> None:
    """A cluster at work must break the invariant, which is described like this.

    Nothing but this invariant looks at it: no other is to find the damage first.
    """

    async def scenario() -> None:
        config = NodeConfig(**settings)
        async with simulate(machine, nodes=nodes, seed=1, invariants=[invariant], config=config) as cluster:
            await work(cluster)

    with pytest.raises(CheckFailed, match=text) as caught:
        run_simulated(scenario)
    assert invariant.name in str(caught.value)


async def depose(cluster: Cluster) -> None:
    """Restart one leader after the other."""
    for _ in range(30):
        await cluster.restart(await cluster.wait_for_one_leader())


async def flood(cluster: Cluster) -> None:
    """Propose faster than entries commit."""
    leader = await cluster.wait_for_one_leader()
    for number in range(200):
        cluster.node(leader).propose_nowait(b"%d" % number)
        await trio.sleep(0.0001)


async def strand_entries(cluster: Cluster) -> None:
    """Leave entries on a cut-off leader that the others know nothing of, and have those go on."""
    cluster.tolerated = (RaftError,)
    await cluster.one(b"common", len(cluster.node_ids))
    stranded = await cluster.wait_for_one_leader()
    cluster.disconnect(stranded)
    for number in range(3):
        await cluster.start_command(stranded, b"stranded %d" % number)
    await trio.sleep(2)
    for number in range(6):
        await cluster.one(b"committed %d" % number, len(cluster.node_ids) - 1)


# --- elections -------------------------------------------------------------------------------------------------------


def test_a_quorum_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft_actors.raft.roles.candidate.is_quorum", lambda votes, voters: True)
    expect_found(ElectionSafety, "with the votes of")


def grant_always(self: Follower, sender: str, message: RequestVote, now: float) -> list[Effect]:
    state = self.state
    if state.log.is_up_to_date(message.last_log_index, message.last_log_term):
        state.voted_for = sender
        return [state.reply(sender, RequestVoteReply(message.term, granted=True))]
    return []


@pytest.mark.parametrize("invariant", [PromisesKept, Monotonic])
def test_two_votes_in_one_term(monkeypatch: pytest.MonkeyPatch, invariant: type[Invariant]) -> None:
    monkeypatch.setattr(Follower, "on_request_vote", grant_always)
    expect_found(invariant, "vote", depose, nodes=5, **COLLIDING)


def test_two_leaders_of_one_term(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Follower, "on_request_vote", grant_always)
    expect_found(ElectionSafety, "has two leaders", depose, nodes=5, **COLLIDING)


def test_a_vote_that_is_said_before_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RaftState, "reply", lambda self, to, message: Send(to, message))
    expect_found(DurableBeforeSent, "votes for|speaks of term")


@pytest.mark.parametrize("part", ["term", "vote", "log"])
def test_a_disk_that_forgets(part: str) -> None:
    async def work(cluster: Cluster) -> None:
        await cluster.one(b"x", 3)
        voter = cluster.leader() or ""
        cluster.crash(voter)
        disk = cluster.disk(voter)
        match part:
            case "term":
                disk.state = attrs.evolve(disk.state, hard_state=HardState())
            case "vote":
                disk.state = attrs.evolve(disk.state, hard_state=HardState(disk.state.hard_state.term))
            case _:
                follower = next(name for name in cluster.nodes)
                cluster.crash(follower)
                cluster.disk(follower).state = attrs.evolve(disk.state, last_index=0, term_runs=())
                cluster.disk(follower).batches.clear()
                await cluster.start(follower)
        await cluster.start(voter)

    text = {"term": "is back in term 0", "vote": "remembers a vote for None", "log": "has a log that ends at 0"}[part]
    expect_found(PromisesKept, text, work)


# --- logs ------------------------------------------------------------------------------------------------------------


def test_a_follower_that_does_not_truncate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Log, "conflict_with", lambda self, batch: None)

    async def work(cluster: Cluster) -> None:
        await strand_entries(cluster)
        cluster.connect()
        await serve(cluster)

    expect_found(LogMatching, "where another holds", work)


def test_a_leader_that_truncates(monkeypatch: pytest.MonkeyPatch) -> None:
    beat = Leader.on_deadline

    def drop_the_last_entry(self: Leader, now: float) -> list[Effect]:
        log = self.state.log
        if log.last_index > self.state.commit_index:
            log.truncate(log.last_index)
        return beat(self, now)

    monkeypatch.setattr(Leader, "on_deadline", drop_the_last_entry)
    expect_found(LeaderAppendOnly, "has removed entries", strand_entries)


def test_votes_for_a_log_that_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Log, "is_up_to_date", lambda self, index, term: True)

    async def work(cluster: Cluster) -> None:
        await cluster.one(b"common", 3)
        leader = await cluster.wait_for_one_leader()
        behind = next(name for name in cluster.node_ids if name != leader)
        cluster.tolerated = (RaftError,)
        cluster.disconnect(behind)
        await cluster.one(b"committed", 2)
        await trio.sleep(5)  # its term is far ahead by now
        cluster.crash(leader)
        cluster.connect()
        await serve(cluster)

    expect_found(LeaderCompleteness, "without entry", work)


# --- commitment ------------------------------------------------------------------------------------------------------


def test_an_entry_that_is_committed_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft_actors.raft.leading.commit.quorum_value", lambda values, voters: max(values.values()))
    expect_found(CommittedStaysCommitted, "which only .* hold: no majority")


def test_a_disk_that_loses_what_is_committed() -> None:
    async def work(cluster: Cluster) -> None:
        await cluster.one(b"x", 3)
        await cluster.one(b"y", 3)
        cluster.crash("n2")
        disk = cluster.disk("n2")
        disk.state = attrs.evolve(disk.state, last_index=0, term_runs=())
        disk.batches.clear()
        await cluster.start("n2")

    expect_found(CommittedStaysCommitted, "the disk of node 'n2' has lost entry", work)


def test_a_commit_index_that_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    def commit(self: RaftState, index: int) -> None:
        self.commit_index = index if index % 5 else 1

    monkeypatch.setattr(RaftState, "commit", commit)
    expect_found(Monotonic, "the commit index of .* fell from")


def test_applying_what_is_not_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RaftState, "commit", lambda self, index: None)
    expect_found(IndexOrder, "applied entry .*, and committed is 0")


# --- disks -----------------------------------------------------------------------------------------------------------


def test_an_acknowledgement_before_the_write(monkeypatch: pytest.MonkeyPatch) -> None:
    append = Follower.on_append_entries

    def acknowledge_at_once(self: Follower, sender: str, message: AppendEntries, now: float) -> list[Effect]:
        effects = append(self, sender, message, now)
        early: list[Effect] = [
            then
            for effect in effects
            if isinstance(effect, Persist)
            for then in effect.then
            if isinstance(then, Send) and isinstance(then.message, AppendEntriesAccepted)
        ]
        return [*effects, *early]

    monkeypatch.setattr(Follower, "on_append_entries", acknowledge_at_once)
    expect_found(DurableBeforeSent, "acknowledges entry|speaks of term")


def test_a_leader_that_counts_itself_too_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    append = Log.append

    def append_as_durable(self: Log, batch: EntryBatch) -> None:
        append(self, batch)
        self.durable_index = self.last_index

    monkeypatch.setattr(Log, "append", append_as_durable)
    expect_found(DurableBeforeSent, "for durable, and its disk does not hold it")


# --- state machines --------------------------------------------------------------------------------------------------


def test_a_command_that_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    apply_each = Applier._apply_each
    slices = 0

    def skip_one(self: Applier, commands: list[bytes]) -> None:
        nonlocal slices
        slices += 1
        if slices == 20:
            self.applied_index += len(commands)
        else:
            apply_each(self, commands)

    monkeypatch.setattr(Applier, "_apply_each", skip_one)
    expect_found(StateMachineSafety, "where others applied")


class Forgetful(CommandLog):
    """Restores all but the first command."""

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        await super().restore(chunks)
        del self.commands_applied[:1]


class Unstable(StateMachine[bytes, int]):
    """Its snapshots say which replica wrote them."""

    count = 0

    def __init__(self) -> None:
        type(self).count += 1
        self.number = self.count

    def apply(self, command: bytes) -> int:
        return 0

    def snapshot(self) -> Iterable[bytes]:
        return [b"%d" % self.number]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None: ...


@pytest.mark.parametrize("machine", [Forgetful, Unstable])
def test_a_state_that_differs(machine: Callable[[], StateMachine[bytes, int]]) -> None:
    async def work(cluster: Cluster) -> None:
        for number in range(12):
            await cluster.one(b"%d" % number, 3)
        await cluster.restart()
        await trio.sleep(1)

    text = "the snapshot of node .* differs"
    expect_found(EqualResults, text, work, machine=machine, snapshot_entries=5, trailing_entries=0)


# --- queues and tasks ------------------------------------------------------------------------------------------------


def test_proposals_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def take_in(self: Admission, outcome: PendingOutcome[Any]) -> bool:
        self._admitted[outcome] = None
        return True

    monkeypatch.setattr(Admission, "_take_in", take_in)
    monkeypatch.setattr(Admission, "is_full", False)
    expect_found(BoundedQueues, "proposals and reads|proposals that wait", flood, max_pending_proposals=5)


def test_appends_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def may_append(self: Progress, last_index: int) -> bool:
        return self.state is ProgressState.REPLICATE and self.next_index <= last_index

    monkeypatch.setattr(Progress, "may_append", may_append)
    expect_found(BoundedQueues, "without an answer", flood, max_inflight_appends=1)


def test_replicators_that_outlive_their_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    replicate_to = Replication.replicate_to

    def replicate_for_the_node(self: Replication, effect: ReplicateTo, _nursery: trio.Nursery) -> None:
        replicate_to(self, effect, trio.lowlevel.current_task().child_nurseries[0])

    monkeypatch.setattr(Replication, "replicate_to", replicate_for_the_node)
    expect_found(NoLeakedTask, "there still run|there should be 2")


def test_a_candidate_that_leaves_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    def performers(self: CandidateActor, nursery: trio.Nursery) -> Performers:
        outer = trio.lowlevel.current_task().child_nurseries[0]
        outer.start_soon(trio.sleep_forever, name="canvasser")
        return self.services.perform

    monkeypatch.setattr(CandidateActor, "performers", performers)
    expect_found(NoLeakedTask, r"there still run \['canvasser'\]")
