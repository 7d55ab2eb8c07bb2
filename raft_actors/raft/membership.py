"""Who is in the cluster, and how one set of members becomes another (Raft paper §6; dissertation §4).

A `Configuration` is a value: which members vote, which only learn, and, while it is *joint*, who voted before. A change
is a short sequence of configurations, each an entry of the log that takes effect when it is appended, and each appended
once the one before is committed:

    1. who is new joins as a learner, so that adding what can't be reached or is far behind costs no quorum (§4.2.1);
    2. where the voters change: a joint configuration of the old and the new ones, under which every decision needs a
       majority of both (§6). Also for a change of one voter, so that there is one rule and not two;
    3. the new voters alone. Who votes no more is a learner now, so that it hears of that;
    4. who is to leave goes.

What the change is to come to is part of every configuration on the way (`goal`), so that any later leader carries on:
nothing but the log has to survive. A change without a joint step (learners, addresses) ends after its first or second
entry.

All here is pure: what the next configuration is, or why a change is refused. When it may be appended, the leader
decides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set
from types import MappingProxyType

import attrs

from raft_actors.errors import ChangeRefused, ConfigurationError
from raft_actors.raft.features import PRIORITY
from raft_actors.records import frozen

_MAX_ID = 255
_MAX_MEMBER = 4096
_MAX_PRIORITY = 1000


def _frozen_ids(ids: Iterable[str]) -> frozenset[str]:
    if isinstance(ids, str):
        raise ConfigurationError(f"a set of ids, not one id: {{{ids!r}}}")
    return frozenset(ids)


def _is_text(value: object) -> bool:
    """Whether it is one that has bytes: half of a surrogate pair, which JSON can spell, has none."""
    try:
        return isinstance(value, str) and bool(value.isascii() or value.encode())
    except UnicodeEncodeError:
        return False


def _frozen_metadata(metadata: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(sorted(metadata.items())))


@frozen
class Member:
    """What the cluster knows of one member beside its id.

    Attributes:
        address: where its peers reach it; what an address looks like is the transport's affair.
        metadata: what the application wants known of it (its HTTP address, its zone); small.
        incarnation: of the store that it keeps its vote and log in, as it was first heard of; "" where not yet known. A
            member that comes with another one has lost its files, and with them its promises (dissertation §11.2).
        priority: a leader hands over to a voter with a higher one, as soon as that can take over. 0 to 1,000.
    """

    address: str = ""
    metadata: Mapping[str, str] = attrs.field(factory=dict[str, str], converter=_frozen_metadata, hash=False)
    incarnation: str = ""
    priority: int = 0

    def __attrs_post_init__(self) -> None:
        if type(self.priority) is not int or not 0 <= self.priority <= _MAX_PRIORITY:
            raise ConfigurationError(f"a member's priority is 0 to {_MAX_PRIORITY:,}, not {self.priority!r}")
        for text in (self.address, self.incarnation, *self.metadata, *self.metadata.values()):
            if not _is_text(text):
                raise ConfigurationError(f"{text!r} can't be told of a member: it is no text")
        if len(self.incarnation) > _MAX_ID:
            raise ConfigurationError(f"an incarnation of {len(self.incarnation):,} characters: at most {_MAX_ID}")
        # Without the incarnation, which is not the application's to choose: naming a store must not fail for its sake.
        size = len(self.address) + sum(len(key) + len(value) for key, value in self.metadata.items())
        if size > _MAX_MEMBER:
            raise ConfigurationError(
                f"a member of {size:,} characters, where {_MAX_MEMBER:,} are allowed: keep its metadata small"
            )


@frozen
class Proven:
    """What a member has said of itself when it greeted, as far as another one has found it true.

    Attributes:
        incarnation: of the store that it is known by; "" where it has not greeted, or does not say.
        address: where it says that it is, and was reached; "" where that is not so.
        silent: whether it has greeted, and does not say which store it has.
    """

    incarnation: str = ""
    address: str = ""
    silent: bool = False


@frozen
class Goal:
    """What a change of members is to come to, and what it goes back to where it is given up.

    Attributes:
        voters, learners: who shall vote, and who else shall get the log.
        learners_before: who only learned when the change began.
    """

    voters: frozenset[str] = attrs.field(converter=_frozen_ids)
    learners: frozenset[str] = attrs.field(default=frozenset(), converter=_frozen_ids)
    learners_before: frozenset[str] = attrs.field(default=frozenset(), converter=_frozen_ids)

    @property
    def ids(self) -> frozenset[str]:
        """All who shall be members."""
        return self.voters | self.learners


def _frozen_members(members: Mapping[str, Member]) -> Mapping[str, Member]:
    return MappingProxyType(dict(sorted(members.items())))


@frozen
class Configuration:
    """Who is in the cluster, from one entry of the log to the next such entry.

    Attributes:
        voters: who votes; while it is joint, who is to vote from now on.
        learners: who gets the log without a vote. Never a voter, but for those who vote for the last time (`outgoing`).
        outgoing: who voted before; empty unless joint.
        goal: what the change under way is to come to; None where there is none.
        members: id → what is known of it, for every voter, outgoing voter and learner.
        features: gates that are open (`raft.features`): what entries from this one on may need. None is ever closed.
    """

    voters: frozenset[str] = attrs.field(converter=_frozen_ids)
    learners: frozenset[str] = attrs.field(default=frozenset(), converter=_frozen_ids)
    outgoing: frozenset[str] = attrs.field(default=frozenset(), converter=_frozen_ids)
    goal: Goal | None = None
    members: Mapping[str, Member] = attrs.field(factory=dict[str, Member], converter=_frozen_members, hash=False)
    features: frozenset[str] = attrs.field(default=frozenset(), converter=_frozen_ids)

    def __attrs_post_init__(self) -> None:
        if not self.voters:
            raise ConfigurationError("a cluster needs at least one voter")
        both = self.voters & self.learners
        if both:
            raise ConfigurationError(f"{_names(both)} can't be voter and learner at once")
        for member_id in self.ids:
            if not _is_text(member_id) or not 1 <= len(member_id) <= _MAX_ID:
                raise ConfigurationError(f"member id {member_id!r} must be a text of 1 to {_MAX_ID} characters")
        known = {member_id: self.members.get(member_id, Member()) for member_id in self.ids}
        object.__setattr__(self, "members", _frozen_members(known))

    @property
    def is_joint(self) -> bool:
        """Whether decisions need a majority of the old voters, too."""
        return bool(self.outgoing)

    @property
    def voter_sets(self) -> tuple[frozenset[str], ...]:
        """The sets of which each must agree: what the functions of `quorum` take."""
        return (self.voters, self.outgoing) if self.outgoing else (self.voters,)

    @property
    def all_voters(self) -> frozenset[str]:
        """Everybody with a vote in at least one half."""
        return self.voters | self.outgoing

    @property
    def ids(self) -> frozenset[str]:
        """Everybody who gets the log."""
        return self.voters | self.outgoing | self.learners

    @property
    def newcomers(self) -> frozenset[str]:
        """Learners that the change under way will make voters."""
        return self.goal.voters - self.all_voters if self.goal else frozenset()


# --- changes -----------------------------------------------------------------------------------------------------


def begin_change(
    current: Configuration,
    *,
    voters: Set[str] | None = None,
    learners: Set[str] | None = None,
    members: Mapping[str, Member] | None = None,
    priorities: Mapping[str, int] | None = None,
    addresses: Mapping[str, str] | None = None,
    caught_up: Collection[str] = (),
) -> Configuration | None:
    """What the first entry of a change holds; None where all is as asked already, so that a retry does nothing.

    Args:
        current: what is in force, and committed.
        voters: who shall vote; None: as now.
        learners: who else shall get the log; None: as now, without those who become voters.
        members: id → address and the rest, for newcomers and for those of whom something changes.
        priorities: id → priority, for those of whom it changes.
        addresses: id → address, for those of whom it changes, and nothing else.
        caught_up: see `next_configuration`; where learners that are to vote are not, the first entry only says so.

    Raises:
        ChangeRefused: another change is under way, nobody would vote, somebody would be both, a newcomer comes without
            an address, or something is told of a stranger.
    """
    if current.is_joint or current.goal is not None:
        raise ChangeRefused("another change of members is under way: wait for its end, or cancel it")
    goal_voters = current.voters if voters is None else frozenset(voters)
    goal_learners = current.learners - goal_voters if learners is None else frozenset(learners)
    told = dict(members or {})
    _check_goal(current, goal_voters, goal_learners, {**dict(priorities or {}), **dict(addresses or {}), **told})
    goal = Goal(goal_voters, goal_learners, current.learners)
    known = {**current.members, **with_stores(told, current.members)}
    known |= {one: attrs.evolve(known[one], priority=number) for one, number in (priorities or {}).items()}
    known |= {one: attrs.evolve(known[one], address=address) for one, address in (addresses or {}).items()}
    if goal.voters == current.voters and goal.learners == current.learners:
        changed = attrs.evolve(current, members={member_id: known[member_id] for member_id in current.ids})
        return None if changed == current else changed
    newcomers = goal.ids - current.ids
    if newcomers:
        joined = attrs.evolve(current, learners=current.learners | newcomers, goal=goal, members=known)
        return _without_reached_goal(joined)
    begun = attrs.evolve(current, goal=goal, members=_of(known, current.ids))
    return next_configuration(begun, caught_up) or begun


def with_stores(told: Mapping[str, Member], known: Mapping[str, Member]) -> dict[str, Member]:
    """What is told of members; where it names no store or no priority, with those that they are known by."""
    return {
        member_id: attrs.evolve(
            member,
            incarnation=member.incarnation or known.get(member_id, Member()).incarnation,
            priority=member.priority or known.get(member_id, Member()).priority,
        )
        for member_id, member in told.items()
    }


def introduce(current: Configuration, proven: Mapping[str, Proven]) -> Configuration | None:
    """The same members, and what they have proven of themselves; None where that is known already.

    A member is bound to its store once, and for good. Where it is, only who has that store says where it is.
    """
    members = {member_id: _introduced(current.members[member_id], proven[member_id]) for member_id in proven}
    changed = attrs.evolve(current, members={**current.members, **members})
    return None if changed == current else changed


def _introduced(member: Member, proven: Proven) -> Member:
    incarnation = member.incarnation or proven.incarnation
    is_same = bool(incarnation) and incarnation == proven.incarnation
    address = proven.address if is_same and proven.address else member.address
    return attrs.evolve(member, incarnation=incarnation, address=address)


def _check_goal(
    current: Configuration, voters: frozenset[str], learners: frozenset[str], told: Mapping[str, object]
) -> None:
    if not voters:
        raise ChangeRefused("nobody would vote: a cluster needs at least one voter")
    if voters & learners:
        raise ChangeRefused(f"{_names(voters & learners)} can't be voter and learner at once")
    strangers = told.keys() - (voters | learners)
    if strangers:
        raise ChangeRefused(f"{_names(strangers)} would be neither voter nor learner, yet something is told of it")
    unknown = (voters | learners) - current.ids - told.keys()
    if unknown:
        raise ChangeRefused(f"{_names(unknown)} is new: give its address, members={{id: Member(address)}}")


def next_configuration(current: Configuration, caught_up: Collection[str]) -> Configuration | None:
    """What to append once `current` is committed, on the way to its goal; None where there is nothing to do (yet).

    Args:
        current: what is in force, and committed.
        caught_up: those who hold all that is committed, or will within an election timeout, and answer now. Newcomers
            are made voters only while they are among them.
    """
    if current.is_joint:
        return _left(current)
    goal = current.goal
    if goal is None:
        return None
    if goal.voters != current.voters:
        if not current.newcomers <= frozenset(caught_up):
            return None
        learners = current.ids - goal.voters - current.voters
        return attrs.evolve(current, voters=goal.voters, learners=learners, outgoing=current.voters)
    staying = current.ids & goal.ids
    left = staying - goal.voters
    return attrs.evolve(current, learners=left, goal=None, members=_of(current.members, staying))


def cancel_change(current: Configuration) -> Configuration | None:
    """What to append to give up the change under way; None where there is none, or where it is too late.

    It leads back to what was in force before the change: from a joint configuration to its old half alone, whose
    majority is part of every majority of both. Too late is when the new voters decide alone.
    """
    goal = current.goal
    if goal is None or (goal.voters == current.voters and not current.is_joint):
        return None
    voters = current.outgoing or current.voters
    learners = goal.learners_before - voters
    return _settled(current, voters, learners)


def settle_change(current: Configuration) -> Configuration | None:
    """What to append where newcomers can't be made voters; None where no change is under way, or it is too late.

    Those who voted before vote on, and all others that had joined stay as learners. It leads as far back as
    `cancel_change`, so it needs nobody of the new voters either.
    """
    goal = current.goal
    if goal is None or (goal.voters == current.voters and not current.is_joint):
        return None
    voters = current.outgoing or current.voters
    return _settled(current, voters, current.ids - voters)


def _settled(current: Configuration, voters: frozenset[str], learners: frozenset[str]) -> Configuration:
    members = _of(current.members, voters | learners)
    return attrs.evolve(current, voters=voters, learners=learners, outgoing=frozenset(), goal=None, members=members)


# --- gates -------------------------------------------------------------------------------------------------------


def features_needed(configuration: Configuration) -> frozenset[str]:
    """Gates that must be open for what a configuration says."""
    return frozenset({PRIORITY}) if any(member.priority for member in configuration.members.values()) else frozenset()


def turn_on(current: Configuration, features: frozenset[str]) -> Configuration | None:
    """The same with these gates open, too; None where all of them are."""
    return None if features <= current.features else attrs.evolve(current, features=current.features | features)


def _left(joint: Configuration) -> Configuration:
    """The new voters alone; who votes no more learns of it as a learner."""
    learners = joint.ids - joint.voters
    return _without_reached_goal(attrs.evolve(joint, outgoing=frozenset(), learners=learners))


def _without_reached_goal(configuration: Configuration) -> Configuration:
    goal = configuration.goal
    reached = goal is not None and goal.voters == configuration.voters and goal.learners == configuration.learners
    return attrs.evolve(configuration, goal=None) if reached else configuration


def _of(members: Mapping[str, Member], ids: Collection[str]) -> dict[str, Member]:
    return {member_id: members[member_id] for member_id in ids}


def _names(ids: Collection[str]) -> str:
    return ", ".join(repr(member_id) for member_id in sorted(ids))
