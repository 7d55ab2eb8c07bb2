"""The configurations of one node's log: which is in force, which was before, and which a snapshot ends with.

A configuration takes effect when its entry is appended, committed or not (§6: a server always uses the latest
configuration in its log), and none any more when that entry is truncated: then the one before is in force again,
whichever that is. So a node knows all of them from the one that its snapshot ends with on. They are few, and small.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from operator import attrgetter

import attrs

from raft_actors.errors import InternalError
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.membership import Configuration
from raft_actors.raft.membership_codec import decode_configuration
from raft_actors.raft.persistent_state import StoredConfiguration
from raft_actors.records import frozen

_index = attrgetter("index")


@frozen
class Held:
    """A configuration in its place in the log.

    Attributes:
        index: of its entry; 0 for the one that the cluster began with, which is in nobody's log.
        configuration: what the entry says.
        stored: the same as bytes, verbatim: what is passed on must not lose what a newer version wrote. None at 0.
    """

    index: int
    configuration: Configuration
    stored: StoredConfiguration | None = attrs.field(default=None, eq=False, repr=False)


class Configurations:
    """One node's. See the module's text.

    Attributes:
        changes: counts what changed which configuration is in force.
    """

    def __init__(
        self, first: Configuration, stored: Iterable[StoredConfiguration] = (), *, snapshot_index: int = 0
    ) -> None:
        """Begin with the configuration that the cluster began with, and with what a store has.

        Unless the first of these is what the snapshot ends with: then nobody needs what was before.
        """
        self._first = Held(0, first)
        self._held = list(map(_opened, stored))
        if not self._held or self._held[0].index > snapshot_index:
            self._held.insert(0, self._first)
        self.changes: int = 0

    @property
    def latest(self) -> Held:
        """The one in force."""
        return self._held[-1]

    def at(self, index: int) -> Held:
        """The one in force at an index of the log, which must not lie below what was forgotten."""
        position = bisect_right(self._held, index, key=_index) - 1
        if position < 0:
            raise InternalError(f"the configuration at index {index} was forgotten")
        return self._held[position]

    def since(self, index: int) -> tuple[Held, ...]:
        """Those whose entries follow an index of the log."""
        return tuple(self._held[bisect_right(self._held, index, key=_index) :])

    def hold(self, stored: StoredConfiguration) -> bool:
        """Whether this very one is among them."""
        return any(one.stored == stored for one in self._held)

    def was_removed(self, node_id: str, incarnation: str) -> bool:
        """Whether a node was a member, with this store, and is none now, as far as what is not forgotten tells.

        One that was added again with no store named is a member: a leader names the store once it has met it.
        """
        stores = [
            held.configuration.members[node_id].incarnation
            for held in self._held
            if node_id in held.configuration.ids  # how it was a member, each time
        ]
        is_member = node_id in self.latest.configuration.ids and stores[-1] in ("", incarnation)
        return incarnation in stores and not is_member

    def another_until(self, node_id: str, incarnation: str) -> int:
        """The last index whose configuration names another store for a node than its own; -1: none does.

        Whatever came before that, and names none, does not mean its own either. The log tells of what was, to a store
        that learns it from the beginning: of a voter, say, whose files were lost.
        """
        own = {"", incarnation}
        named = [
            (one.index, one.configuration.members[node_id]) for one in self._held if node_id in one.configuration.ids
        ]
        return max((index for index, member in named if incarnation and member.incarnation not in own), default=-1)

    def admit(self, node_id: str, incarnation: str, until: float = math.inf) -> bool:
        """Whether any, up to an index, takes a store in: names it for a node whose id had no vote in the one before.

        One that names it in the place of a voter without a name says of that voter that this is the store that it had,
        and the store itself may know better. What was before the first one here is forgotten, and was in order.
        """
        gives_vote = False
        for held in self._held:
            if held.index > until:
                return False
            member = held.configuration.members.get(node_id)
            if member is not None and member.incarnation == incarnation and not gives_vote:
                return True
            gives_vote = node_id in held.configuration.all_voters
        return False

    def append(self, batch: EntryBatch) -> None:
        """Put a batch of kind CONFIGURATION into force, entry by entry.

        Raises:
            InternalError: it is none, or comes before the one in force.
        """
        for entry in batch.entries():
            if entry.index <= self.latest.index:
                raise InternalError(f"a configuration at index {entry.index} can't follow one at {self.latest.index}")
            self._held.append(_opened(StoredConfiguration(entry.index, entry.command)))
            self.changes += 1

    def truncate(self, from_index: int) -> None:
        """Forget those whose entries are removed; the last that stays is in force."""
        kept = bisect_left(self._held, from_index, key=_index)
        if kept < len(self._held):
            if not kept:
                raise InternalError(f"the configuration that a snapshot ends with can't be truncated, at {from_index}")
            del self._held[kept:]
            self.changes += 1

    def forget_before(self, index: int) -> None:
        """Forget those that another one has replaced at an index of the log."""
        del self._held[: max(0, bisect_right(self._held, index, key=_index) - 1)]

    def restart(self, stored: StoredConfiguration | None) -> None:
        """Forget all: the log goes on after a leader's snapshot, which ends with this one (None: the first).

        Whatever this node took for the configuration: its entry is gone, or covered by the snapshot.
        """
        self._held = [self._first if stored is None else _opened(stored)]
        self.changes += 1


def _opened(stored: StoredConfiguration) -> Held:
    try:
        return Held(stored.index, decode_configuration(stored.data), stored)
    except ValueError as error:
        raise InternalError(f"the configuration at index {stored.index} can't be read: {error}") from error
