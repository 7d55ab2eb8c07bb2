"""What a node tells its subscribers, each through a bounded channel of its own."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

import attrs
import trio

from raft_actors.actors.home_thread import HomeThread, current_task
from raft_actors.errors import SubscriberTooSlow
from raft_actors.raft.configurations import Held
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.raft.transitions import GivenUp, RoleName
from raft_actors.records import frozen


@frozen
class RoleChanged:
    """This node took on a role in a term; or, with None, it has ended and has none any more: the last such event."""

    term: int
    role: RoleName | None


@frozen
class LeaderChanged:
    """This node has learned who leads a term. None: a new term has no known leader yet, or the node has ended."""

    term: int
    leader: str | None


@frozen
class CommitAdvanced:
    """The commit index has grown. Several advances may come as one."""

    commit_index: int


@frozen
class SnapshotTaken:
    """A snapshot of this node's own state has become current."""

    snapshot: SnapshotMetadata


@frozen
class SnapshotInstalled:
    """A snapshot that the leader sent has become current; the state machine is being restored from it."""

    snapshot: SnapshotMetadata


@frozen
class FollowerLeftBehind:
    """This leader has compacted entries that a follower still needed to catch up: the follower gets a newer snapshot.

    Keeping them would have taken more than `NodeConfig.max_catch_up_bytes`.

    Attributes:
        follower: its id.
        needed_index: the first entry that it needs.
        first_index: the first that the log has from now on.
    """

    follower: str
    needed_index: int
    first_index: int


@frozen
class LeadershipGivenUp:
    """This leader steps down, though it knows of no other one: a failing disk or network is at this node, or near it.

    Attributes:
        term: that it led.
        reason: why.
        silent_s: for how long its disk, or a majority, has not been heard of.
    """

    term: int
    reason: GivenUp
    silent_s: float


@frozen
class StatesDiffer:
    """Replicas have different states after the same commands; see `NodeConfig.state_check_entries`.

    A replica that a majority contradicts ends with `StateDiverged`. The others get this event whenever one more has
    reported its digest.

    Attributes:
        index: the last entry that they had applied.
        digests: node id → digest of its state there, of those that have reported one so far.
    """

    index: int
    digests: Mapping[str, str] = attrs.field(hash=False)


@frozen
class CertificateExpiring:
    """The certificate by which peers know this node expires soon, or has expired: sent once a day until it is replaced.

    Attributes:
        expires_at: when, in seconds since 1970.
    """

    expires_at: float


@frozen
class MembershipChanged:
    """A configuration of members came into force on this node, or the one in force was committed.

    Sent when a configuration is appended to the log, and again when it is committed (unless the leader appends the next
    one at once). If one is truncated again, the one before it is sent once more.

    Attributes:
        index: of the configuration's entry in the log; 0 for the one that the cluster began with.
        committed: whether it is committed; if not, it may still be truncated.
        voters: who votes; while it is joint, who is to vote.
        learners: who gets the log without a vote.
        outgoing: who voted before; empty unless joint.
    """

    index: int
    committed: bool
    voters: frozenset[str]
    learners: frozenset[str] = frozenset()
    outgoing: frozenset[str] = frozenset()

    @classmethod
    def of(cls, held: Held, *, committed: bool) -> MembershipChanged:
        """The event of a configuration in its place."""
        configuration = held.configuration
        return cls(held.index, committed, configuration.voters, configuration.learners, configuration.outgoing)

    def __str__(self) -> str:
        parts = [f"voters {_names(self.voters)}"]
        parts += [f"voters before {_names(self.outgoing)}"] * bool(self.outgoing)
        parts += [f"learners {_names(self.learners)}"] * bool(self.learners)
        pending = "" if self.committed else ", not committed yet"
        return f"has the members of index {self.index}{pending}: {'; '.join(parts)}"


def _names(ids: frozenset[str]) -> str:
    return ", ".join(sorted(ids))


Event = (
    RoleChanged
    | LeaderChanged
    | CommitAdvanced
    | MembershipChanged
    | SnapshotTaken
    | SnapshotInstalled
    | FollowerLeftBehind
    | LeadershipGivenUp
    | StatesDiffer
    | CertificateExpiring
)
"""What `Node.events` yields: see each class."""


class EventChannel:
    """One subscriber's events, in order. `async for event in channel` ends when the node does.

    No change of role or leader is ever lost: commits that nobody fetched yet are merged into one, and a subscriber
    that lets `capacity` other events pile up is cut off with `SubscriberTooSlow` instead of missing some.
    """

    def __init__(self, capacity: int, home: HomeThread | None = None) -> None:
        self._home = home or HomeThread("a channel of events")
        self._capacity = capacity
        self._events: deque[Event] = deque()
        self._reader = trio.lowlevel.ParkingLot()
        self._overflowed = False
        self._closed = False

    async def receive(self) -> Event:
        """Wait for the next event.

        Raises:
            SubscriberTooSlow: too many events piled up; those before were delivered, the later ones are gone.
            trio.EndOfChannel: the node has ended, and all events were delivered.
            UsageError: this is not the node's thread, or not under Trio.
        """
        current_task()
        self._home.check()
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            with contextlib.suppress(trio.WouldBlock):
                event = self.receive_nowait()
                await trio.lowlevel.cancel_shielded_checkpoint()
                return event
            # Not while WouldBlock is handled: what ends the wait would be told as having come of it.
            await self._reader.park()

    def receive_nowait(self) -> Event:
        """Take the next event.

        Raises:
            trio.WouldBlock: there is none yet.
            SubscriberTooSlow, trio.EndOfChannel, UsageError: as for `receive`.
        """
        self._home.check()
        if self._events:
            return self._events.popleft()
        if self._overflowed:
            raise SubscriberTooSlow(
                f"{self._capacity} events waited in this channel and the node had more: fetch them faster, or ask for "
                "more capacity"
            )
        if self._closed:
            raise trio.EndOfChannel
        raise trio.WouldBlock

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    def put(self, event: Event) -> None:
        """Add an event (for the node)."""
        events = self._events
        if self._overflowed:
            return
        if isinstance(event, CommitAdvanced) and events and isinstance(events[-1], CommitAdvanced):
            events[-1] = event
        elif len(events) < self._capacity:
            events.append(event)
        else:
            self._overflowed = True
        if self._reader:
            self._reader.unpark_all()

    def close(self) -> None:
        """Let the subscriber come to the end (for the node)."""
        self._closed = True
        self._reader.unpark_all()


class EventHub:
    """The subscribers of one node."""

    def __init__(self, home: HomeThread | None = None) -> None:
        self._home = home
        # A dict for its order, so that a simulation repeats itself.
        self._channels: dict[EventChannel, None] = {}
        self._closed = False

    @asynccontextmanager
    async def subscribe(self, capacity: int) -> AsyncGenerator[EventChannel, None]:
        """Open a channel that gets all events published while it is open."""
        channel = EventChannel(capacity, self._home)
        self._channels[channel] = None
        if self._closed:
            channel.close()
        try:
            yield channel
        finally:
            del self._channels[channel]

    def publish(self, event: Event) -> None:
        """Give an event to all subscribers."""
        for channel in self._channels:
            channel.put(event)

    def close(self) -> None:
        """The node has ended."""
        self._closed = True
        for channel in self._channels:
            channel.close()
