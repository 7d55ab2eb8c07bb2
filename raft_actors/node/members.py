"""Changing the members of the cluster, and looking at them, as an application does it."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from typing import cast

import trio

from raft_actors.actors.actor import ActorStopped
from raft_actors.actors.home_thread import current_task
from raft_actors.actors.pending import Pending
from raft_actors.errors import ChangeFailed, ChangeRefused, ConfigurationError, NodeStopped
from raft_actors.node.supervisor import Supervisor
from raft_actors.raft.configurations import Held
from raft_actors.raft.features import MEMBERSHIP
from raft_actors.raft.inputs import ChangeRequested
from raft_actors.raft.membership import Goal, Member
from raft_actors.raft.roles import Leader
from raft_actors.records import frozen

MemberIds = Collection[str] | Mapping[str, "str | Member"]
"""Ids of members, or id → address, or id → `Member` (address and metadata) for those who are new or have changed."""


class ChangePhase(enum.StrEnum):
    """How far a change of members is."""

    STABLE = "stable"
    """None is under way."""
    CATCHING_UP = "catching up"
    """Newcomers learn the log; they will vote once they hold all that is committed."""
    JOINT = "joint"
    """Every decision needs a majority of the old voters and one of the new."""
    LEAVING = "leaving"
    """The new voters decide alone; those who are to leave learn of it."""


@frozen(kw_only=True)
class MemberStatus:
    """One member, as far as the node that was asked knows.

    Attributes:
        address: where nodes reach it; None where that is not known.
        metadata: what the application publishes about it.
        priority: see `Member.priority`.
        incarnation: id of its store, as recorded in the log; "" where none is recorded yet. See `Member.incarnation`.
        is_voter: whether it has a vote: in either half, while the configuration is joint.
        match_index: the last entry known to be on its disk; None for a node that does not lead, of all but itself.
        behind: entries of the leader's log that it lacks; None likewise.
        silent_s: for how long the leader has not heard of it, in seconds; None likewise, and where it never has.
    """

    address: str | None
    metadata: Mapping[str, str]
    priority: int = 0
    incarnation: str = ""
    is_voter: bool
    match_index: int | None = None
    behind: int | None = None
    silent_s: float | None = None


@frozen(kw_only=True)
class MembersStatus:
    """The members of the cluster at one moment, by the latest configuration in one node's log.

    Attributes:
        config: the index of the configuration's entry: what `change_members(if_config=…)` takes. 0 for the one that the
            cluster began with.
        committed: whether that configuration is committed; if not, it may be truncated, and the one before comes back.
        phase: how far a change is, if one is under way.
        voters, learners, outgoing: ids, as in `MembershipChanged`.
        goal_voters, goal_learners: the members that the change under way leads to; the present ones if there is none.
        members: id → what is known of it.
        features: what the cluster uses, and every member must support (`raft.features`).
    """

    config: int
    committed: bool
    phase: ChangePhase
    voters: frozenset[str]
    learners: frozenset[str]
    outgoing: frozenset[str]
    goal_voters: frozenset[str]
    goal_learners: frozenset[str]
    members: Mapping[str, MemberStatus]
    features: frozenset[str] = frozenset()


class PendingChange(Pending[tuple[int, Goal]]):
    """A change of members whose requester waits to hear that it has begun."""

    __slots__ = ("addresses", "cancels", "if_config", "learners", "members", "priorities", "promote", "voters")

    def __init__(
        self,
        voters: MemberIds | None,
        learners: MemberIds | None,
        *,
        if_config: int | None,
        promote: bool,
        priorities: Mapping[str, int] | None = None,
        addresses: Mapping[str, str] | None = None,
        cancels: bool = False,
    ) -> None:
        super().__init__()
        self.priorities: dict[str, int] = dict(priorities or {})
        self.addresses: dict[str, str] = dict(addresses or {})
        self.voters: frozenset[str] | None = _ids(voters)
        self.learners: frozenset[str] | None = _ids(learners)
        self.members: dict[str, Member] = {**_told(learners), **_told(voters)}
        self.if_config: int | None = if_config
        self.promote: bool = promote
        self.cancels: bool = cancels


def _ids(given: MemberIds | None) -> frozenset[str] | None:
    if given is None:
        return None
    if isinstance(given, str):
        raise ConfigurationError(f"voters and learners are sets of ids, or map ids to addresses: not {given!r}")
    return frozenset(given)


def _told(given: MemberIds | None) -> dict[str, Member]:
    if not isinstance(given, Mapping):
        return {}
    told = cast("Mapping[str, str | Member]", given)
    return {member_id: one if isinstance(one, Member) else Member(one) for member_id, one in told.items()}


class MemberCalls:
    """What a `Node` can do about members. A part of it: see there."""

    _supervisor: Supervisor

    @trio.lowlevel.enable_ki_protection
    async def change_members(
        self,
        voters: MemberIds | None = None,
        learners: MemberIds | None = None,
        *,
        priorities: Mapping[str, int] | None = None,
        addresses: Mapping[str, str] | None = None,
        if_config: int | None = None,
        promote: bool = True,
    ) -> MembersStatus:
        """Make these the members of the cluster, whoever they are now, and return them once all of it is committed.

        Any set can become any other, in one call (joint consensus: Raft paper §6): newcomers learn the log first, then
        the old voters and the new decide together, then the new alone, and whoever is to leave is told. A leader that
        is not among the new voters hands leadership over. Proposals go on meanwhile. If leadership changes, the next
        leader carries on. The call is idempotent: asked for again, it waits for the same change.

        A newcomer that does not answer costs nothing: after ten of the longest election timeouts the change goes on
        without it, it stays a learner, and this raises `ChangeFailed`; so it does where newcomers stop answering just
        when they become voters. Cancelling the wait does not take the change back: `cancel_change` does.

        Args:
            voters: who shall vote; None: as now. Newcomers come with their addresses, {id: address}, or with metadata
                too, {id: Member(address, metadata)}; a set of ids is enough for those who are members.
            learners: who shall get the log without a vote; None: as now.
            priorities: id → 0 to 1,000, for those of whom it changes: a leader hands over to a voter with a higher one
                than its own, as soon as that one answers and has caught up. All have 0 at first.
            addresses: id → address, for members that have moved. Hardly needed: a member that starts at another address
                tells the others, and once the leader has reached it there, it records that, a few election timeouts
                later.
            if_config: refuse unless the configuration in force is this one, of `members().config`.
            promote: False: refuse new voters that are not yet learners with all that is committed. True: let them catch
                up, however long that takes.

        Raises:
            NotLeader: this node does not lead; nothing was changed.
            ChangeRefused: it can't be made as asked, or another one is under way; nothing was changed.
            ChangeFailed: the change ended with other members than asked for; the message says with which.
            NodeStopped: the node ended first; the change may go on.
            UsageError: this is not a task of the node's Trio run, or the node was never run.
        """
        return await self._change(
            PendingChange(
                voters,
                learners,
                if_config=if_config,
                promote=promote,
                priorities=priorities,
                addresses=addresses,
            )
        )

    @trio.lowlevel.enable_ki_protection
    async def cancel_change(self) -> MembersStatus:
        """Give up the change of members that is under way; return the members once those before are in force again.

        Possible until the new voters decide alone. Whoever waits for the change gets `ChangeFailed`.

        Raises:
            ChangeRefused: there is none, or it is too late.
            NotLeader, ChangeFailed, NodeStopped, UsageError: as for `change_members`.
        """
        return await self._change(PendingChange(None, None, if_config=None, promote=True, cancels=True))

    def members(self) -> MembersStatus:
        """The members, by this node's log; at the leader also how far each has caught up.

        Raises as `Node.status` does.
        """
        self._supervisor.check_caller()
        return members_of(self._supervisor)

    async def _change(self, pending: PendingChange) -> MembersStatus:
        supervisor = self._supervisor
        current_task()
        supervisor.check_caller()
        self._check_peers(pending)
        supervisor.transfers.add(pending)
        try:
            await supervisor.inbox.tell_when_room(ChangeRequested(pending))
            index, goal = await pending.wait()
        except ActorStopped:
            raise NodeStopped(supervisor.node_id) from supervisor.crash
        finally:
            supervisor.transfers.discard(pending)
        return await self._outcome(index, goal)

    def _check_peers(self, pending: PendingChange) -> None:
        """Refuse while a member is connected that would take the entry of a change for damage."""
        for peer, statistics in self._supervisor.transport.statistics().peers.items():
            staying = pending.voters is None or peer in pending.voters
            if staying and statistics.version is not None and MEMBERSHIP not in statistics.features:
                raise ChangeRefused(
                    f"{peer!r} runs a version of raft_actors without changes of members: upgrade it first"
                )

    async def _outcome(self, index: int, goal: Goal) -> MembersStatus:
        """Wait for the end of a change that began at an index, by what this node's own log says."""
        supervisor = self._supervisor
        state = supervisor.recovered_state()
        while True:
            held = state.configurations.latest
            if held.index < index:
                raise ChangeFailed("leadership changed before any of it was committed: ask the next leader")
            if held.index <= state.commit_index and held.configuration.goal is None and not held.configuration.is_joint:
                return self._result(held, goal)
            if self._is_decided_without_it(held, goal):
                return self._result(held, goal)
            if supervisor.over:
                raise NodeStopped(supervisor.node_id) from supervisor.crash
            await supervisor.changed.park()

    def _is_decided_without_it(self, held: Held, goal: Goal) -> bool:
        """Whether all that is left is that others commit the entry by which this node goes: it may never be told.

        The new voters decide alone, so nobody can go back. Whoever leads brings the change to that end.
        """
        state = self._supervisor.recovered_state()
        committed = state.configurations.at(state.commit_index).configuration
        return (
            state.node_id not in held.configuration.ids
            and held.configuration.voters == goal.voters == committed.voters
            and not committed.is_joint
        )

    def _result(self, held: Held, goal: Goal) -> MembersStatus:
        configuration = held.configuration
        if (configuration.voters, configuration.learners) == (goal.voters, goal.learners):
            return members_of(self._supervisor)
        names = ", ".join(sorted(configuration.voters))
        behind = sorted(goal.voters & configuration.learners)
        if behind:
            raise ChangeFailed(
                f"{', '.join(map(repr, behind))} did not answer (long enough) to become a voter, and stays a learner: "
                f"see that it runs and can be reached, and ask again. The voters are {names}"
            )
        raise ChangeFailed(f"the change was cancelled, or another one was made since: the voters are {names}")


def members_of(supervisor: Supervisor) -> MembersStatus:
    """The members as one node knows them."""
    state = supervisor.recovered_state()
    held = state.configurations.latest
    configuration = held.configuration
    goal = configuration.goal or Goal(configuration.voters, configuration.learners)
    if configuration.is_joint:
        phase = ChangePhase.JOINT
    elif configuration.goal is None:
        phase = ChangePhase.STABLE
    else:
        phase = ChangePhase.LEAVING if configuration.goal.voters == configuration.voters else ChangePhase.CATCHING_UP
    return MembersStatus(
        config=held.index,
        committed=held.index <= state.commit_index,
        phase=phase,
        voters=configuration.voters,
        learners=configuration.learners,
        outgoing=configuration.outgoing,
        goal_voters=goal.voters,
        goal_learners=goal.learners,
        members={member_id: _member(supervisor, member_id) for member_id in configuration.members},
        features=configuration.features,
    )


def _member(supervisor: Supervisor, member_id: str) -> MemberStatus:
    state, role = supervisor.recovered_state(), supervisor.role
    last_index, match_index, silent_s = state.log.last_index, None, None
    if member_id == state.node_id:
        match_index, silent_s = state.log.durable_index, 0.0
    elif isinstance(role, Leader) and state.leader == state.node_id:
        match_index = role.commit.match_index.get(member_id)
        silence_s = supervisor.clock.now() - role.contact.last_contact.get(member_id, float("-inf"))
        silent_s = silence_s if silence_s < float("inf") else None
    return MemberStatus(
        address=state.address_of(member_id),
        metadata=state.configuration.members[member_id].metadata,
        priority=state.configuration.members[member_id].priority,
        incarnation=state.configuration.members[member_id].incarnation,
        is_voter=member_id in state.voters,
        match_index=match_index,
        behind=None if match_index is None else max(0, last_index - match_index),
        silent_s=silent_s,
    )
