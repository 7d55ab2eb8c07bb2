"""The change of members that a leader carries through (Raft paper §6; dissertation §4).

What comes next follows from the configuration in force alone (`membership.next_configuration`), so whoever leads goes
on with it. Here is when it may be appended:

- once the one in force is committed: one change at a time;
- and only when an entry of this leader's own term is, under the configuration in force, both halves of it where it is
  joint: before that, a leader can't know what else may be committed;
- and newcomers only become voters while they answer now and hold all that is committed, or will within an election
  timeout; and once an entry that they hold names their stores. Were one a voter without a name, a later store of the
  same id that learns the log from its beginning would take itself for that voter meanwhile. And did one not hold the
  name, it might give no vote that the others need, for all that it knows.

A change never costs the quorum that there was: where newcomers don't come up, or stop answering before they count,
those who voted before vote on, and the newcomers stay learners.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping

import attrs

from raft_actors.errors import ChangeRefused, ConfigurationError
from raft_actors.raft.features import IDENTITY
from raft_actors.raft.leading.commit import Commit
from raft_actors.raft.leading.contact import Contact
from raft_actors.raft.leading.gates import Gates
from raft_actors.raft.leading.introductions import Introductions
from raft_actors.raft.membership import (
    Configuration,
    Goal,
    Member,
    Proven,
    begin_change,
    cancel_change,
    introduce,
    next_configuration,
    settle_change,
    with_stores,
)
from raft_actors.raft.membership_codec import MOST_BYTES, encode_configuration
from raft_actors.raft.requests import ChangeRequest
from raft_actors.raft.solitude import FAREWELL
from raft_actors.raft.state import RaftState
from raft_actors.records import define, frozen

#: For how many of the longest election timeouts a newcomer may be silent before the change is settled without it.
_NEWCOMERS_SILENCE = 10

#: Heartbeat intervals within which a newcomer must have answered to be made a voter.
_ANSWERS_NOW = 2


@define
class _Farewell:
    """Somebody who was removed, and is to hear so.

    Attributes:
        index: of the entry that removed it.
        ends_at: when to give up, on the node's clock.
        told: whether it holds that entry, and was told since that it is committed.
    """

    member: Member
    index: int
    ends_at: float
    told: bool = False


@frozen
class _Leave:
    """A change that a member asks for, and nobody here waits for."""

    voters: frozenset[str] | None
    learners: frozenset[str] | None
    members: Mapping[str, Member] = attrs.field(factory=dict[str, Member])
    priorities: Mapping[str, int] = attrs.field(factory=dict[str, int])
    addresses: Mapping[str, str] = attrs.field(factory=dict[str, str])
    if_config: int | None = None
    promote: bool = True
    cancels: bool = False


class Members:
    """A leader's side of a change. See the module's text.

    Attributes:
        busy: whether there is anything to go on with. False at almost all times, and then nothing here costs anything.
        waiting: a change that came before an entry of this term was committed.
        farewells: who was removed lately, and is still replicated to.
        gates: what may be in the log.
        introductions: what the members say of themselves.
        declined: who was to lead in the place of this leader, which has no vote any more, and did not take it.
    """

    def __init__(self, state: RaftState, commit: Commit, contact: Contact) -> None:
        self._state = state
        self._commit = commit
        self._contact = contact
        self.gates: Gates = Gates(state, contact)
        self.introductions: Introductions = Introductions(state, contact)
        self.busy: bool = True
        self.waiting: ChangeRequest | None = None
        self.farewells: dict[str, _Farewell] = {}
        self.declined: frozenset[str] = frozenset()
        self._began_at = 0.0
        self._marks: deque[tuple[float, int]] = deque()

    @property
    def followers(self) -> tuple[str, ...]:
        """Everybody to replicate to: members, and those who must hear that they are none any more."""
        return tuple(sorted({*self._state.peers, *self.farewells}))

    @property
    def awaited(self) -> frozenset[str]:
        """Newcomers that are to answer each heartbeat, for they may become voters only while they do."""
        return self._state.configuration.newcomers if self.busy else frozenset()

    # --- what is asked -------------------------------------------------------------------------------------------

    @property
    def may_append(self) -> bool:
        """Whether this leader has committed an entry of its own term under the configuration in force."""
        state = self._state
        return state.log.term_at(state.commit_index) == state.term

    def begin(self, request: ChangeRequest, now: float) -> tuple[Configuration | None, Goal]:
        """What the first entry of a change holds (None: nothing is left to do), and what it is to come to.

        Raises:
            ChangeRefused: it can't be made as asked, or not now; nothing was changed.
        """
        held = self._state.configurations.latest
        current = held.configuration
        if request.cancels:
            cancelled = cancel_change(current)
            if cancelled is None:
                raise ChangeRefused("no change of members is under way that could be cancelled: see Node.members()")
            return cancelled, Goal(cancelled.voters, cancelled.learners)
        goal = _goal_of(request, current)
        if _is_under_way(request, goal, current):
            return None, goal
        if held.index > self._state.commit_index:
            raise ChangeRefused("another change of members is under way, and not committed yet: wait for its end")
        try:
            changed = begin_change(
                current,
                voters=request.voters,
                learners=request.learners,
                members=request.members,
                priorities=request.priorities,
                addresses=request.addresses,
                caught_up=self.caught_up(now),
            )
        except ConfigurationError as error:  # an id or a priority that can't be one
            raise ChangeRefused(str(error)) from error
        if changed is not None:
            changed = self.gates.opened_for(changed, now)
            changed = self._naming_newcomers(changed) or changed
            self._check(request, goal, held.index, changed, now)
        return changed, goal

    def _check(self, request: ChangeRequest, goal: Goal, index: int, changed: Configuration, now: float) -> None:
        if request.if_config not in (None, index):
            raise ChangeRefused(
                f"the members have changed: their configuration is the one at index {index}, not {request.if_config}. "
                "Look at Node.members(), and decide anew"
            )
        behind = sorted(goal.voters - self._state.voters - self.caught_up(now))
        if behind and not request.promote:
            raise ChangeRefused(
                f"{', '.join(map(repr, behind))} can't vote yet: only learners that answer now, whose stores are "
                "named, and that hold all that is committed can at once. Let them learn first, or ask with promote=True"
            )
        size = len(encode_configuration(changed))
        if size > MOST_BYTES:
            raise ChangeRefused(f"the configuration would take {size:,} bytes of {MOST_BYTES:,}: shorten the metadata")

    # --- going on ------------------------------------------------------------------------------------------------

    def appended(self, before: Configuration, index: int, now: float) -> frozenset[str]:
        """Note that a configuration was appended: who the followers are now, and whom to take leave of.

        Returns:
            Who has come back before its leave was over. Nothing that was known of it counts: it may have another store.
        """
        state = self._state
        ends_at = now + FAREWELL * state.config.election_timeout_s[1]
        for gone in before.ids - state.configuration.ids - {state.node_id}:
            self.farewells[gone] = _Farewell(before.members[gone], index, ends_at)
        returned = state.configuration.ids & self.farewells.keys()
        for back in returned:
            del self.farewells[back]
            self._commit.forget(back)
            self._contact.forget(back)
        self.busy, self._began_at = True, now
        self._marks.clear()
        self.introductions.appended(now)
        self._follow()
        return frozenset(returned)

    @property
    def must_hand_over(self) -> bool:
        """Whether somebody else has to lead: this leader has no vote any more, which is committed."""
        state = self._state
        committed = state.configurations.latest.index <= state.commit_index
        return committed and not state.is_voter and self.may_append

    def without(self, member: str) -> ChangeRequest:
        """What a member asks for that leaves."""
        current = self._state.configuration
        return _Leave(current.voters - {member}, current.learners - {member})

    def next(self, now: float) -> Configuration | None:
        """What to append now, on the way to the goal; None: nothing, or not yet."""
        state = self._state
        held = state.configurations.latest
        if held.index > state.commit_index or not self.may_append:
            return None
        current = held.configuration
        if current.goal is None:
            opened = self.gates.due(now) or self.introductions.due(now)
            self.busy = bool(self.farewells or self.gates.closed) or not state.is_voter
            return opened
        following = self._naming_newcomers(current) or next_configuration(current, self.caught_up(now))
        if following is None and self._are_silent(current.newcomers, now):
            return settle_change(current)
        return following

    def _naming_newcomers(self, configuration: Configuration) -> Configuration | None:
        """The same, where learners that are to vote are bound to their stores; None where they are, as far as known."""
        newcomers = configuration.newcomers & configuration.ids
        return introduce(configuration, {one: Proven(self._state.proven(one).incarnation) for one in newcomers})

    def take_back(self, now: float) -> Configuration | None:
        """What to append where a majority of the new voters has fallen silent and one of the old has not; None else.

        Else a newcomer that ends the moment that it counts would take the cluster along. Not before an entry of this
        term is committed under both halves: only then can nobody be elected any more who holds a configuration of the
        new voters alone that an earlier leader appended. Whatever `check_quorum` is: a leader that goes on without a
        majority can commit nothing by this configuration, and can by the old one.
        """
        current, contact = self._state.configuration, self._contact
        if not current.is_joint or contact.holds(now):
            return None
        return settle_change(current) if self.may_append and contact.holds_among([current.outgoing], now) else None

    def caught_up(self, now: float) -> frozenset[str]:
        """Learners that answer now, and hold all that is committed, or what the log held an election timeout ago.

        Not before the configuration in force names their stores, unless they don't say which these are.
        """
        state, commit, contact = self._state, self._commit, self._contact
        enough = state.commit_index
        shortest_s = state.config.election_timeout_s[0]
        if self._marks and now - self._marks[0][0] <= shortest_s:
            enough = min(enough, self._marks[0][1])
        earliest = now - _ANSWERS_NOW * state.config.heartbeat_interval_s
        return frozenset(
            peer
            for peer in state.configuration.learners
            if commit.match_index.get(peer, 0) >= max(1, enough)
            and contact.last_contact[peer] >= earliest
            and contact.last_contact[peer] > contact.began_at
            and peer not in contact.disconnected
            and self._is_named(peer)
        )

    def _is_named(self, peer: str) -> bool:
        """Whether the store of a peer is, or can't be: it does not say."""
        state = self._state
        named = state.configuration.members[peer].incarnation
        return bool(named) or state.proven(peer).silent or IDENTITY not in state.features_of(peer)

    def beat(self, now: float) -> bool:
        """A heartbeat is due: note how long the log is, and take leave. Returns whether the followers have changed."""
        self.busy = self.introductions.look(now) or self.busy
        if not self.busy:
            return False
        shortest_s = self._state.config.election_timeout_s[0]
        self._marks.append((now, self._state.log.last_index))
        while now - self._marks[0][0] > shortest_s:
            self._marks.popleft()
        gone = [peer for peer in self.farewells if self._has_left(peer, now)]
        for peer in gone:
            del self.farewells[peer]
        if gone:
            self._follow()
        return bool(gone)

    def _has_left(self, peer: str, now: float) -> bool:
        farewell = self.farewells[peer]
        if farewell.told or now >= farewell.ends_at:
            return True
        # The heartbeat that goes out now tells it; by the next one it has heard it, or it can't be helped.
        farewell.told = min(self._commit.match_index[peer], self._state.commit_index) >= farewell.index
        return False

    def _are_silent(self, newcomers: Collection[str], now: float) -> bool:
        patience_s = _NEWCOMERS_SILENCE * self._state.config.election_timeout_s[1]
        last_contact = self._contact.last_contact
        return any(now - max(last_contact[peer], self._began_at) > patience_s for peer in newcomers)

    def start(self, now: float) -> None:
        """Lead: whatever change is under way is this leader's now."""
        self._began_at = now

    def _follow(self) -> None:
        followers = self.followers
        self._commit.follow(followers)
        self._contact.follow(followers)
        self._state.parting = {peer: farewell.member for peer, farewell in self.farewells.items()}

    def leave(self) -> None:
        """Lead no more: the farewells are over."""
        self._state.parting = {}


def _goal_of(request: ChangeRequest, current: Configuration) -> Goal:
    base = current.goal or Goal(current.voters, current.learners)
    voters = base.voters if request.voters is None else request.voters
    return Goal(voters, base.learners - voters if request.learners is None else request.learners)


def _is_under_way(request: ChangeRequest, goal: Goal, current: Configuration) -> bool:
    """Whether this very change is being made already, so that to ask for it once more does nothing."""
    under_way = current.goal
    if under_way is None or (goal.voters, goal.learners) != (under_way.voters, under_way.learners):
        return False
    known = current.members
    if any(known.get(member_id) != member for member_id, member in with_stores(request.members, known).items()):
        return False
    if any(known[one].address != address for one, address in request.addresses.items() if one in known):
        return False
    return all(known[one].priority == number for one, number in request.priorities.items() if one in known)
