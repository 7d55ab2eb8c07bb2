"""Whom a node takes its peers for: each id, and the incarnation of the store that speaks for it.

Raft counts on what a member has promised, and the promises are in its store. One that comes back under its id with
another store has forgotten its vote and its entries: with it, a candidate could win a term that has a leader, or win
without entries that are committed. So nobody who knows it takes it for the one that it was, and it ends once it hears
so: whichever of its peers it asks first.

A member is known by what the configuration says of it, where that names a store; else by what it has said since this
node started. A leader writes that into the configuration as soon as it can (`leading.introductions`), so that it
outlives those who have met.

A copy of a store has the incarnation of the store that it was made of. So a node also remembers at which start it has
reached each of its peers last, tells that peer so, and is told the same: who hears of a start that its own store never
had is on an older copy, and ends (`raft.starts`).

Who knows a newer configuration than this node may be right where this node is not: a member that took a wiped one's
place while this node was away. It is admitted, for it may be the leader, from whom this node will learn. The other way
round, a node may be refused by one that has not heard of its admission: where its own log does not tell either, because
it is catching up, it asks whether somebody knows better, and grants nothing until its log says so (`node.joining`).

What was met is forgotten when the log says something else: that the member was removed, or which store it has. Each
configuration counts, not just the one in force, for a node that was away may learn of many at once; but none that may
still be undone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import trio

from raft_actors.errors import FeatureMissing, StoreReplaced
from raft_actors.node_log import NodeLog
from raft_actors.raft.effects import DoubtStore
from raft_actors.raft.lost_store import REMEDY
from raft_actors.raft.membership import Member, Proven
from raft_actors.raft.newest import Newest
from raft_actors.raft.persistent_state import Recovered
from raft_actors.raft.starts import Met, Starts, latest_met
from raft_actors.raft.state import RaftState
from raft_actors.records import frozen
from raft_actors.transports.greeting import OLDER_STORE, Greeting, Refusal

LACKS_FEATURE = "LACKS_FEATURE"

Remember = Callable[[Mapping[str, Met]], None]
"""`Storage.remember`."""

_logger = logging.getLogger(__name__)


@frozen
class Doubt:
    """A refusal by a peer that may have missed that this node's store was admitted. Its own log does not say it either.

    Attributes:
        peer: who refuses.
        newest: the newest configuration that it knows.
        error: what this node ends with, if that peer is right.
    """

    peer: str
    newest: Newest
    error: StoreReplaced


class Acquaintances:
    """One node's. Its methods are called by the transport, on the node's thread.

    Attributes:
        node_id: of this node.
        incarnation: of this node's own store, once it is open.
        address: where this node says that it is reached; "" where it does not say.
        starts: of this node's own store.
        doubt: a refusal of this node by one that may have missed something; None: none so far.
    """

    def __init__(self, node_id: str, fail: Callable[[Exception], None]) -> None:
        """`fail` ends the node with an error."""
        self.incarnation: str = ""
        self.address: str = ""
        self.starts: Starts = Starts()
        self.node_id = node_id
        self._fail = fail
        self._state: RaftState | None = None
        self._met: dict[str, str] = {}
        self._called: dict[str, tuple[str, str]] = {}
        self._reached: dict[str, tuple[str, str]] = {}
        self._starts_met: dict[str, Met] = {}
        self._silent: set[str] = set()
        self._remember: Remember | None = None
        self._note_loss: Callable[[], None] | None = None
        self._settled_index = 0
        self.doubt: Doubt | None = None
        self._doubted = trio.lowlevel.ParkingLot()
        self._log = NodeLog(_logger, node_id)

    def recovered(self, state: RaftState, address: str = "") -> None:
        """Know what the node knows of the cluster from now on; `address`: where it was told that it is reached.

        Else it is where its own settings say, and not where the cluster takes it to be: it may have moved.
        """
        self._state = state
        self._settled_index = state.commit_index
        configurations = state.configurations
        held = (configurations.at(state.commit_index), *configurations.since(state.commit_index))
        self._forget_all_but(frozenset[str]().union(*(one.configuration.ids for one in held)))
        self.incarnation = state.incarnation
        named = state.cluster.voters.get(self.node_id)
        self.address = address or named or state.address_of(self.node_id) or ""

    def recall(self, recovered: Recovered, remember: Remember, note_loss: Callable[[], None]) -> None:
        """Know the starts that the store knows, and have it `remember` those that are met from now on."""
        self.starts, self._starts_met, self._remember = recovered.starts, dict(recovered.met), remember
        self._note_loss = note_loss

    def newest(self) -> Newest:
        """The newest configuration that this node knows; see `Greeting`."""
        return Newest() if self._state is None else Newest.of(self._state.configurations, self._state.log)

    def known(self, node_id: str) -> str:
        """The incarnation by which this node knows a member; "" where it does not."""
        if node_id == self.node_id:
            return self.incarnation
        return self._member(node_id).incarnation or self._met.get(node_id, "")

    def proven(self, node_id: str) -> Proven:
        """What a member has proven of itself; see `Proven`.

        It has called, with the store that it is known by, and said where it is; and this node has reached that store
        there. So an address that leads nowhere, or to somebody else, is no news, and neither is one that nobody says.
        """
        if node_id == self.node_id:
            return Proven(self.incarnation, self.address)
        known = self.known(node_id)
        called, reached = self._called.get(node_id), self._reached.get(node_id)
        place = called[1] if called is not None and called == reached and called[0] == known else ""
        return Proven(known, place, silent=node_id in self._silent)

    def met(self, node_id: str) -> Met | None:
        """The start at which a peer was reached last, as this node remembers it; see `Endpoint.met`."""
        if self._state is not None and node_id not in self._state.configuration.ids:
            return None
        return self._starts_met.get(node_id)

    def _member(self, node_id: str) -> Member:
        state = self._state
        return (None if state is None else state.configuration.members.get(node_id)) or Member()

    # --- what the transport asks -----------------------------------------------------------------------------

    def admit(self, greeting: Greeting) -> Refusal | None:
        """Say whether this is the peer that has its id, and can do what the cluster does; see `Endpoint.admit`."""
        state = self._state
        lacking = frozenset[str]() if state is None else state.configuration.features - greeting.features
        if lacking:
            names = ", ".join(sorted(lacking))
            return Refusal(LACKS_FEATURE, f"node {greeting.sender!r} can't do what this cluster does: {names}")
        if (older := self.lacks(greeting.sender, greeting.met)) is not None:
            self._fail(older)
            return Refusal(OLDER_STORE, f"node {self.node_id!r} learns by this that it has an older copy of its store")
        said = greeting.incarnation
        if not said:  # an older version, or a storage that draws none: nothing is known against it
            self._silent.add(greeting.sender)
            return None
        known = self._known_since(greeting.sender, said)
        if said == known or greeting.newest.is_newer_than(self.newest()):
            self._note(greeting)
            return None
        return Refusal(
            "OTHER_INCARNATION",
            f"node {greeting.sender!r} is known by the store {known}, and this one is {said}: "
            "its files were lost, or its id is used twice",
        )

    def lacks(self, peer: str, met: Met | None) -> StoreReplaced | None:
        """What to end with where a peer has met this node's store at a start that this store never had."""
        if met is None or met.incarnation != self.incarnation or not self.starts.lack(met.start):
            return None
        return StoreReplaced(
            f"node {peer!r} has met {self.node_id!r} at start {met.start.number} of its store {met.incarnation}, and "
            f"this copy of that store was not there (its own starts end with {self.starts.last}): the files were "
            f"replaced by an older copy, or another process runs on a copy of them. {REMEDY}"
        )

    def _note(self, greeting: Greeting) -> None:
        if greeting.address:
            self._called[greeting.sender] = (greeting.incarnation, greeting.address)
        if greeting.dialled:
            self._reached[greeting.sender] = (greeting.incarnation, greeting.dialled)
            if greeting.start is not None:
                self._note_start(greeting.sender, Met(greeting.incarnation, greeting.start))

    def _note_start(self, peer: str, now: Met) -> None:
        """Remember a start of a peer that it has answered with, so that it has what this node had met before.

        That is written before whatever this node writes when the peer has answered anything else.
        """
        before = self._starts_met.get(peer)
        met = self._starts_met[peer] = latest_met(before, now)
        if met != before and self._remember is not None:
            self._remember(self._starts_met)

    def _known_since(self, sender: str, said: str) -> str:
        state = self._state
        if state is None:
            return self._met.setdefault(sender, said)
        if sender not in state.configuration.ids:
            return said  # it counts for nothing, and may come back as a member with any store
        return self._member(sender).incarnation or self._met.setdefault(sender, said)

    def settle(self, state: RaftState) -> None:
        """Forget what new configurations contradict; called whenever there may be some.

        Any that another one follows is committed, for there is but one change at a time, though this node may not know
        it yet: so who was removed is forgotten. But where the next one takes the change back, both may still be undone,
        and so may a name that only these say.
        """
        latest = state.configurations.latest
        for held in state.configurations.since(self._settled_index):
            if held is latest and held.index > state.commit_index:
                return
            committed = held.index <= state.commit_index
            if committed:
                self._settled_index = held.index
            self._forget_all_but(held.configuration.ids)
            for member_id, member in held.configuration.members.items():
                if member.incarnation and committed:
                    self._met.pop(member_id, None)  # it is known by that; and once it is not, it has been away

    def _forget_all_but(self, members: frozenset[str]) -> None:
        for known in (self._met, self._called, self._reached, self._starts_met):
            for gone in known.keys() - members:
                del known[gone]
        self._silent &= members

    def refused(self, peer: str, refusal: Refusal) -> None:
        """A peer does not take this node for the one that has its id; see `Endpoint.refused`."""
        if refusal.reason == LACKS_FEATURE:
            self._fail(FeatureMissing(f"node {peer!r} refuses this one: {refusal.detail}. Upgrade raft_actors here"))
            return
        state, named = self._state, self._member(self.node_id).incarnation
        if state is not None and state.must_be_named:
            return  # it has lost its files, knows that, and waits to be a new member
        if named == self.incarnation:
            # The members have agreed that it is: that peer will learn of it.
            self._log.warning("is refused by %r, which does not know the members of now: %s", peer, refusal.detail)
            return
        error = StoreReplaced(
            f"node {peer!r} knows {self.node_id!r} by another store than this one ({self.incarnation}): its files "
            f"were lost or replaced, or another process uses its id. {REMEDY}"
        )
        self._log.error("is refused by %r: %s", peer, refusal.detail)
        behind = bool(named) or refusal.newest.is_newer_than(self.newest())
        if state is not None and behind and state.leader != self.node_id:  # else it would name itself
            state.doubt_itself()
            self._doubt(Doubt(peer, refusal.newest, error))
            return
        self._fail(error)

    def doubt_store(self, effect: DoubtStore) -> None:
        """Note that this node's own store lacks what it has promised, as a leader's log shows."""
        self._log.error("learns from %r that its store was lost: %s", effect.peer, effect.error)
        if self._note_loss is not None:
            self._note_loss()
        self._doubt(Doubt(effect.peer, Newest(effect.index, effect.term), effect.error))

    def _doubt(self, doubt: Doubt) -> None:
        self.doubt = doubt
        self._doubted.unpark_all()

    async def wait_doubt(self) -> Doubt:
        """The refusal that this node doubts, once there is one."""
        while self.doubt is None:
            await self._doubted.park()
        return self.doubt
