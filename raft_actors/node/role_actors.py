"""The life of a role: an actor for each, which has the role decide and performs what it decides.

An actor is one role of a node from the transition that made it to the one that ends it; then it returns, and an actor
of another class begins. Its life is one nursery: everything it starts (its timer, a leader's replicators) runs in it,
so leaving the role cancels all of that before the successor decides on anything. What they share is the node's inbox,
which outlives them all with what waits in it; that is why they are not subclasses of `Actor`, whose mailbox is its own.

While nothing waits in the inbox, what a peer sends and what the disk has done is decided on at once, in the task that
brings it (`Mailbox.tell_at_once`): a turn of the role's own task would cost more than the decision. Proposals are left
in the inbox all the same, so that those which come together share an entry batch and a write, but for one that is alone
(`Submission.hand_in_in_turn`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import attrs
import trio
from typing_extensions import override

from raft_actors.actors.actor import Mailbox
from raft_actors.actors.clock import NodeClock
from raft_actors.actors.timer import DeadlineTimer
from raft_actors.errors import InternalError
from raft_actors.node.replication import Replication
from raft_actors.node.scopes import Scopes
from raft_actors.persistence.abc import Storage
from raft_actors.raft.effects import (
    AnnounceCommit,
    AnnounceSnapshot,
    AnswerReads,
    Apply,
    Beat,
    Become,
    ChangeBegun,
    DiscardSnapshot,
    DoubtStore,
    Effect,
    EndScopes,
    Feed,
    GiveLeadershipUp,
    KeepResults,
    LeaveBehind,
    LookAgain,
    Persist,
    Refuse,
    RefuseMessage,
    ReplicateTo,
    RestoreSnapshot,
    Resume,
    Send,
    StoreChunk,
    TellCommit,
    TellDifference,
    Transferred,
    WakeReplicators,
)
from raft_actors.raft.inputs import Input, TimerFired
from raft_actors.raft.roles import Candidate, Follower, Leader, PreCandidate, Role
from raft_actors.raft.state import RaftState
from raft_actors.raft.transitions import RoleName, check_transition
from raft_actors.records import frozen
from raft_actors.transports.abc import Transport

Performers = dict[type[Any], Callable[[Any], None]]
"""How to perform each kind of effect."""

#: Inputs handled between two checkpoints. More would starve other tasks; fewer would make smaller group commits.
_STEP_LIMIT = 4096

#: The effects that `Services.perform` must cover; a leader's actor adds those for its replicators.
COMMON_EFFECTS = (
    Send,
    Persist,
    RestoreSnapshot,
    AnnounceSnapshot,
    Apply,
    AnswerReads,
    KeepResults,
    Refuse,
    Transferred,
    ChangeBegun,
    StoreChunk,
    DiscardSnapshot,
    LeaveBehind,
    LookAgain,
    TellDifference,
    GiveLeadershipUp,
    RefuseMessage,
    DoubtStore,
)


@frozen
class Services:
    """What a role's actor performs effects with. All of it outlives the role.

    Attributes:
        inbox: the node's.
        transport, storage: as handed to the node.
        perform: how to perform each of the `COMMON_EFFECTS`.
        end_step: called when all effects of a step were performed: what was asked for during the step begins.
        observe: called after each input that was decided on, and with the successor once it has started.
        clock: the node's.
        scopes: what goes on only while it leads.
    """

    inbox: Mailbox[Input]
    transport: Transport
    storage: Storage
    perform: Performers
    end_step: Callable[[], None]
    observe: Callable[[Role], None]
    clock: NodeClock = attrs.field(factory=NodeClock)
    scopes: Scopes = attrs.field(factory=Scopes)

    def __attrs_post_init__(self) -> None:
        missing = [effect.__name__ for effect in COMMON_EFFECTS if effect not in self.perform]
        if missing:
            raise InternalError(f"nobody performs {', '.join(missing)}")


class RoleActor:
    """One role of a node, from the transition that made it to the one that ends it.

    Attributes:
        decides: the class of its decisions.
        role: the decisions.
        services: what it performs them with.
    """

    decides: ClassVar[type[Role]]

    def __init__(self, state: RaftState, services: Services) -> None:
        self.role: Role = self.decides(state)
        self.services = services

    async def run(self, *, redelivered: Input | None = None) -> Become:
        """Live until a decision ends the role; return what comes next.

        Args:
            redelivered: what the role before left to be handled first.
        """
        role = self.role
        async with trio.open_nursery() as nursery:
            perform = self.performers(nursery)
            become = await self._serve(nursery, perform, redelivered)
            _perform(role.leave(), perform)
            nursery.cancel_scope.cancel()
        check_transition(role.name, become.role)
        return become

    def performers(self, nursery: trio.Nursery) -> Performers:
        """How to perform the effects that this role decides on; what they start lives in the nursery."""
        return self.services.perform

    async def _serve(self, nursery: trio.Nursery, perform: Performers, redelivered: Input | None) -> Become:
        # Where cancelled, decide nothing: the actors that would be told are gone, or about to go.
        await trio.lowlevel.checkpoint_if_cancelled()
        role, services = self.role, self.services
        inbox = services.inbox
        become = _perform(role.start(services.clock.now()), perform)
        services.end_step()
        services.observe(role)
        timer = DeadlineTimer(role.deadline, services.clock, spread_s=role.spread_s, grace_s=role.grace_s)
        nursery.start_soon(timer.run, lambda: inbox.tell_when_room(TimerFired()))

        def step(item: Input) -> Become | None:
            become = self._step(item, perform)
            services.end_step()
            timer.arm(role.deadline)
            return become

        if become is None and redelivered is not None:
            become = step(redelivered)
        return become if become is not None else await inbox.serve(step)

    def _step(self, item: Input, perform: Performers) -> Become | None:
        """Decide on an input and on all that wait behind it, then on what they came to together."""
        role, services, inbox = self.role, self.services, self.services.inbox
        now = services.clock.now()
        handled = 0
        while True:
            become = _perform(role.handle(item, now), perform)
            services.observe(role)
            handled += 1
            if become is not None or handled == _STEP_LIMIT or inbox.waiting <= 0:
                break
            item = inbox.receive_nowait()
        if become is None:
            become = _perform(role.end_of_step(now), perform)
        role.state.check()
        return become


class FollowerActor(RoleActor):
    """A follower's life: it has nothing but its timer."""

    decides: ClassVar[type[Role]] = Follower


class PreCandidateActor(RoleActor):
    """A pre-candidate's life: one round of pre-votes, with nothing but its timer."""

    decides: ClassVar[type[Role]] = PreCandidate


class CandidateActor(RoleActor):
    """A candidate's life: one election, with nothing but its timer."""

    decides: ClassVar[type[Role]] = Candidate


class LeaderActor(RoleActor):
    """A leader's life, and that of its replicators.

    Attributes:
        replication: the replicators; they end with this leadership.
    """

    decides: ClassVar[type[Role]] = Leader

    def __init__(self, state: RaftState, services: Services) -> None:
        super().__init__(state, services)
        self.replication: Replication = Replication(
            state, transport=services.transport, storage=services.storage, clock=services.clock
        )

    @override
    def performers(self, nursery: trio.Nursery) -> Performers:
        replication, leader, services = self.replication, self.role, self.services
        if isinstance(leader, Leader) and leader.lease.settings is not None:
            nursery.start_soon(services.scopes.watch, leader, services.clock, name="watch over the lease")
        return {
            **self.services.perform,
            ReplicateTo: lambda effect: replication.replicate_to(effect, nursery),
            WakeReplicators: replication.tell_all,
            Beat: replication.tell_all,
            Resume: replication.resume,
            AnnounceCommit: replication.announce_commit,
            TellCommit: replication.tell_commit,
            EndScopes: lambda effect: self.services.scopes.end_all(effect.why),
            Feed: replication.feed,
        }


ROLE_ACTORS: dict[RoleName, type[RoleActor]] = {
    actor.decides.name: actor for actor in (FollowerActor, PreCandidateActor, CandidateActor, LeaderActor)
}


def _perform(effects: list[Effect], perform: Performers) -> Become | None:
    """Perform effects in order; return the one that ends the role, if there is one."""
    for effect in effects:
        if type(effect) is Become:
            if effect is not effects[-1]:
                raise InternalError(f"{effect} ends the role, and would leave undone what follows it in {effects}")
            return effect
        perform[type(effect)](effect)
    return None
