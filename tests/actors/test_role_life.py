"""A role's actor: it performs what the role decides, input by input, until a decision ends it."""

from __future__ import annotations

from typing import Any, get_args

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from raft_actors.actors.actor import Mailbox
from raft_actors.actors.clock import NodeClock
from raft_actors.errors import InternalError
from raft_actors.node.proposals import PendingProposal
from raft_actors.node.replication import Replication
from raft_actors.node.role_actors import (
    COMMON_EFFECTS,
    CandidateActor,
    FollowerActor,
    LeaderActor,
    Performers,
    RoleActor,
    Services,
)
from raft_actors.persistence import MemoryStorage
from raft_actors.raft.effects import Become, Effect, Persist, ReplicateTo, Send
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.inputs import Durable, Input, Received, Requested
from raft_actors.raft.messages import AppendEntries, AppendEntriesAccepted, RequestVote, RequestVoteReply
from raft_actors.raft.roles import Candidate, Follower, Role
from raft_actors.raft.transitions import RoleName
from raft_actors.transports import MemoryNetwork
from tests.actors.doubles import Outbox
from tests.unit.builders import make_admission, make_candidate, make_state, written


class Stage:
    """Everything around a role: an inbox, and a record of what was performed and observed."""

    def __init__(self) -> None:
        self.inbox: Mailbox[Input] = Mailbox(name="node", capacity=20_000)
        self.performed: list[Any] = []
        self.observed: list[tuple[RoleName, int]] = []
        perform: Performers = dict.fromkeys(COMMON_EFFECTS, self.performed.append)
        self.services = Services(
            inbox=self.inbox,
            transport=MemoryNetwork().transport("n1"),
            storage=MemoryStorage(),
            perform=perform,
            end_step=lambda: None,
            observe=lambda role: self.observed.append((role.name, role.state.term)),
        )

    def follower(self, **state: Any) -> FollowerActor:
        return FollowerActor(make_state(term=2, **state), self.services)

    def tell(self, sender: str, *messages: Any) -> None:
        for message in messages:
            self.inbox.tell(Received(sender, message))


STALE = RequestVote(1, 0, 0)


def deciding(role: type[Role], stage: Stage) -> RoleActor:
    """An actor whose decisions are this role's."""

    class Actor(RoleActor):
        decides = role

    return Actor(make_state(), stage.services)


async def run_until_blocked(actor: RoleActor) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor.run)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_a_role_performs_what_it_decides_and_is_observed_after_each_item() -> None:
    stage = Stage()
    stage.tell("n2", STALE, STALE)
    await run_until_blocked(stage.follower())
    assert stage.performed == [Send("n2", RequestVoteReply(2, granted=False))] * 2
    assert stage.observed == [(RoleName.FOLLOWER, 2)] * 3  # once for the start


@pytest.mark.parametrize("count", [4095, 4096, 4097, 10_000])
async def test_a_full_step_loses_nothing_of_what_waits_behind_it(count: int) -> None:
    stage = Stage()
    stage.tell("n2", *[STALE] * count)
    await run_until_blocked(stage.follower())
    assert len(stage.performed) == count


async def test_a_step_gives_other_tasks_a_turn_however_much_waits() -> None:
    stage = Stage()
    stage.tell("n2", *[STALE] * 10_000)
    seen: list[int] = []

    async def watch() -> None:
        while stage.inbox.statistics().waiting:
            seen.append(stage.inbox.statistics().waiting)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.follower().run)
        nursery.start_soon(watch)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert min(seen) < 9_000  # it saw the inbox between two steps


async def test_a_decision_that_ends_the_role_comes_back_with_what_the_next_one_must_handle() -> None:
    stage = Stage()
    candidate, _ = make_candidate(term=1)
    heartbeat = AppendEntries(3, 0, 0, 0)
    stage.tell("n2", heartbeat, STALE)
    become = await CandidateActor(candidate.state, stage.services).run()
    assert become == Become(RoleName.FOLLOWER, redeliver=Received("n2", heartbeat))
    assert stage.inbox.receive_nowait() == Received("n2", STALE)


async def test_what_the_last_role_left_to_handle_comes_first() -> None:
    stage = Stage()
    follower = stage.follower()
    stage.tell("n3", STALE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: follower.run(redelivered=Received("n2", STALE)))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [effect.to for effect in stage.performed] == ["n2", "n3"]


async def test_the_deadline_ends_a_follower(autojump_clock: trio.testing.MockClock) -> None:
    stage = Stage()
    assert await stage.follower().run() == Become(RoleName.PRE_CANDIDATE)
    assert 0.4 <= trio.current_time() <= 0.8


async def test_each_word_of_the_leader_moves_the_deadline(autojump_clock: trio.testing.MockClock) -> None:
    stage = Stage()
    become: list[Become] = []

    async def live() -> None:
        become.append(await stage.follower().run())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(live)
        for _ in range(20):
            await trio.sleep(0.3)
            stage.tell("n2", AppendEntries(2, 0, 0, 0))
        assert not become
    assert 6.4 <= trio.current_time() <= 6.8


async def test_a_single_voter_elects_itself_once_its_vote_is_durable() -> None:
    stage = Stage()
    actor = CandidateActor(make_state(term=1, voters=1), stage.services)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor.run)
        await wait_all_tasks_blocked()
        [persist] = stage.performed
        assert isinstance(persist, Persist)
        stage.inbox.tell(Durable(persist))
    assert isinstance(actor.role, Candidate)
    assert actor.role.votes == {"n1"}


async def test_a_change_of_role_that_no_table_allows_is_our_bug() -> None:
    class Ambitious(Follower):
        def on_deadline(self, now: float) -> list[Any]:
            return [Become(RoleName.LEADER)]

        def start(self, now: float) -> list[Any]:
            self.deadline = now
            return []

    with pytest.raises(InternalError, match="a follower can't become a leader"):
        await deciding(Ambitious, Stage()).run()


async def test_an_effect_after_the_one_that_ends_the_role_is_our_bug() -> None:
    class Hasty(Follower):
        def start(self, now: float) -> list[Effect]:
            return [Become(RoleName.CANDIDATE), Send("n2", STALE)]

    with pytest.RaisesGroup(pytest.RaisesExc(InternalError, match="would leave undone what follows it")):
        await deciding(Hasty, Stage()).run()


async def test_an_invariant_that_does_not_hold_after_a_step_ends_the_role() -> None:
    stage = Stage()
    follower = stage.follower()
    follower.role.state.commit_index = 7
    stage.tell("n2", STALE)
    with pytest.RaisesGroup(pytest.RaisesExc(InternalError, match="commit 7")):
        await follower.run()


async def test_invariants_are_looked_at_after_the_step_that_ends_the_role_too() -> None:
    stage = Stage()
    candidate = CandidateActor(make_state(term=1), stage.services)
    candidate.role.state.commit_index = 7
    stage.tell("n2", AppendEntries(3, 0, 0, 0))
    with pytest.RaisesGroup(pytest.RaisesExc(InternalError, match="commit 7")):
        await candidate.run()


async def test_a_cancelled_role_decides_on_nothing_more() -> None:
    """Its siblings may be gone already, so whatever it told them would come back as an error of theirs."""
    stage = Stage()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.follower().run)
        await wait_all_tasks_blocked()
        stage.tell("n2", STALE)
        nursery.cancel_scope.cancel()
    assert stage.performed == []


async def test_a_role_that_is_cancelled_before_it_starts_does_not_start() -> None:
    stage = Stage()
    with trio.CancelScope() as scope:
        scope.cancel()
        await CandidateActor(make_state(term=1), stage.services).run()
    assert stage.performed == []


async def test_a_leader_hands_its_entries_to_the_transport_before_the_disk_gets_them() -> None:
    """Followers are further away than the disk, and the threads that write contend with the one that sends."""
    stage, outbox = Stage(), Outbox()
    order: list[Any] = []

    def end_step() -> None:
        order.extend(message.entries for message in outbox.take() if isinstance(message, AppendEntries))
        order.extend(write.entries for write in written(stage.performed))
        stage.performed.clear()

    services = attrs.evolve(stage.services, transport=outbox, end_step=end_step)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(LeaderActor(make_state(term=2, voted_for="n1"), services).run)
        await wait_all_tasks_blocked()
        stage.tell("n2", AppendEntriesAccepted(2, 1))
        stage.tell("n3", AppendEntriesAccepted(2, 1))
        await wait_all_tasks_blocked()
        order.clear()
        stage.inbox.tell(Requested([PendingProposal(make_admission(), [b"x"], 1)]))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    entries = (EntryBatch.encode(2, 2, EntryKind.COMMAND, [b"x"]),)
    assert order == [entries] * 3


def test_effects_that_nobody_performs_are_found_before_a_role_lives() -> None:
    with pytest.raises(InternalError, match="nobody performs Send"):
        attrs.evolve(Stage().services, perform=dict.fromkeys(COMMON_EFFECTS[1:], print))


def test_a_leader_has_somebody_to_perform_whatever_it_may_decide() -> None:
    actor = LeaderActor(make_state(term=2), Stage().services)
    nowhere: Any = None
    assert {*actor.performers(nowhere), Become} == set(get_args(Effect))


async def test_replicators_begin_and_end_as_the_leader_decides() -> None:
    outbox = Outbox()
    replication = Replication(
        make_state(term=2, voters=5), transport=outbox, storage=MemoryStorage(), clock=NodeClock()
    )

    async def replicating_to(*peers: str) -> list[str]:
        replication.replicate_to(ReplicateTo(peers, next_index=1), nursery)
        await wait_all_tasks_blocked()
        return sorted(task.name for task in nursery.child_tasks if task.name.startswith("replicator"))

    async with trio.open_nursery() as nursery:
        assert await replicating_to("n2", "n3") == ["replicator n1 → n2", "replicator n1 → n3"]
        kept = replication.replicators["n3"]
        assert await replicating_to("n3", "n4") == ["replicator n1 → n3", "replicator n1 → n4"]
        assert replication.replicators["n3"] is kept
        assert await replicating_to() == []
        assert replication.replicators == {}
        nursery.cancel_scope.cancel()
