"""What one who sees all nodes of a cluster knows: who led, what was committed, what was applied."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Hashable, Set
from operator import attrgetter

import attrs

from raft_actors.persistence.memory_disk import MemoryDisk
from raft_actors.raft.log import Log
from raft_actors.raft.membership import Configuration
from raft_actors.raft.messages import Message
from raft_actors.testing.kept_snapshots import KeptSnapshots

_index = attrgetter("index")


@attrs.frozen
class AppliedEntry:
    """A command as it was applied first: its log index, its bytes, and the result in a form to compare."""

    index: int
    command: bytes
    result: Hashable = None


@attrs.define(eq=False)
class CommittedLog:
    """The terms of all entries that any node has known to be committed, and in which term that was first known.

    Terms are kept as runs, so a comparison with a log costs little however long both are.

    Attributes:
        last_index: the last entry known to be committed.
    """

    last_index: int = 0
    _starts: list[int] = attrs.field(factory=list[int], init=False)
    _terms: list[int] = attrs.field(factory=list[int], init=False)
    _known_until: list[int] = attrs.field(factory=list[int], init=False)
    _known_in: list[int] = attrs.field(factory=list[int], init=False)

    def term_at(self, index: int) -> int | None:
        """The term of a committed entry; 0 for index 0, None where nothing is known to be committed."""
        if not 1 <= index <= self.last_index:
            return None if index else 0
        return self._terms[bisect_right(self._starts, index) - 1]

    def extend(self, log: Log, last_index: int, term: int) -> bool:
        """Take over from a node's log what it knows, in `term`, to be committed up to `last_index`.

        False: the log no longer holds some of it.
        """
        index = self.last_index + 1
        while index <= last_index:
            entry_term = log.term_at(index)
            if entry_term is None:
                return False
            if not self._terms or self._terms[-1] != entry_term:
                self._starts.append(index)
                self._terms.append(entry_term)
            # Terms never fall along a log: where both ends are of one term, so is all between them.
            self.last_index = last_index if log.term_at(last_index) == entry_term else index
            index = self.last_index + 1
        if self._known_in and self._known_in[-1] >= term:
            self._known_until[-1] = self.last_index
        else:
            self._known_until.append(self.last_index)
            self._known_in.append(term)
        return True

    def last_known_before(self, term: int) -> int:
        """The last entry that was known to be committed in a term below `term`."""
        for position in range(len(self._known_in) - 1, -1, -1):
            if self._known_in[position] < term:
                return self._known_until[position]
        return 0

    def mismatch(self, log: Log, first_index: int, last_index: int) -> int | None:
        """An index in a range at which a log holds another term than what was committed there, or nothing; else None.

        What the log has compacted away is not looked at, nor what is not known to be committed.
        """
        first_index = max(first_index, log.first_index)
        last_index = min(last_index, self.last_index)
        if first_index > last_index:
            return None
        position = bisect_right(self._starts, first_index) - 1
        while position < len(self._starts) and self._starts[position] <= last_index:
            begin = max(self._starts[position], first_index)
            following = self._starts[position + 1] if position + 1 < len(self._starts) else last_index + 1
            for index in (begin, min(following - 1, last_index)):
                if log.term_at(index) != self._terms[position]:
                    return index
            position += 1
        return None


@attrs.define(eq=False)
class Facts:
    """What the nodes of a cluster did, all starts of all nodes together.

    Attributes:
        disks: node id → its disk, for all members.
        leaders: term → the first node seen to lead it.
        committed: what was committed.
        history: every command that some node has applied, in order.
        snapshots: what they wrote.
        stores: node id → the incarnations of all stores that it was started with.
        replaced: nodes whose disk was replaced, with all stores that they had before: nothing that they once held or
            promised binds them, until the members have taken them in with a store that is another one.
        bound_in: node id → the term in which that was committed last.
        outcomes: what became of proposals whose leader was deposed before it knew ("committed", "not committed",
            "unknown"), on nodes that have ended.
        forged: messages that somebody has sent in another's name, by their `id`.
    """

    disks: dict[str, MemoryDisk] = attrs.field(factory=dict[str, MemoryDisk])
    leaders: dict[int, str] = attrs.field(factory=dict[int, str], init=False)
    committed: CommittedLog = attrs.field(factory=CommittedLog, init=False)
    history: list[AppliedEntry] = attrs.field(factory=list[AppliedEntry], init=False)
    snapshots: KeptSnapshots = attrs.field(factory=KeptSnapshots, init=False)
    stores: dict[str, set[str]] = attrs.field(factory=dict[str, set[str]], init=False)
    replaced: dict[str, frozenset[str]] = attrs.field(factory=dict[str, frozenset[str]], init=False)
    bound_in: dict[str, int] = attrs.field(factory=dict[str, int], init=False)
    outcomes: Counter[str] = attrs.field(factory=Counter[str], init=False)
    forged: dict[int, Message] = attrs.field(factory=dict[int, Message], init=False)

    @staticmethod
    def is_quorum(agreeing: Set[str], configuration: Configuration) -> bool:
        """Whether more than half of the voters are among these, and of those before where it is joint.

        Counted here anew: what checks the nodes must not go by their own arithmetic.
        """
        halves = (configuration.voters, configuration.outgoing or configuration.voters)
        return all(2 * len(half & agreeing) > len(half) for half in halves)

    def disk_replaced(self, node_id: str, disk: MemoryDisk) -> None:
        """A node has another disk, or an older copy of its own."""
        self.disks[node_id] = disk
        self.replaced[node_id] = frozenset(self.stores.get(node_id, ()))

    def note_bound(self, configuration: Configuration, term: int) -> None:
        """A configuration is committed: who is in it with a new store counts again, as the member that it is now.

        An older copy is no new store: it never counts again.
        """
        for node_id, before in [*self.replaced.items()]:
            member = configuration.members.get(node_id)
            if member is None or not member.incarnation or member.incarnation in before:
                continue
            if member.incarnation == self.disks[node_id].incarnation:
                del self.replaced[node_id]
                self.bound_in[node_id] = term

    def is_another(self, node_id: str, term: int) -> bool:
        """Whether a node need not have what a leader of this term knows it to have: that was another disk of its."""
        return node_id in self.replaced or term < self.bound_in.get(node_id, 0)

    def count_until(self, index: int) -> int:
        """How many commands have been applied up to this log index, by whoever is furthest."""
        return bisect_right(self.history, index, key=_index)

    def command_at(self, index: int) -> bytes | None:
        """The command that was applied at a log index; None where none was, or the entry there is no command."""
        position = self.count_until(index) - 1
        if position < 0 or self.history[position].index != index:
            return None
        return self.history[position].command


def holds(disk: MemoryDisk, index: int, term: int | None) -> bool:
    """Whether a disk durably holds the entry of that index and term, in its log or within its snapshot.

    With None for the term, an entry of any term will do.
    """
    state = disk.state
    snapshot = state.snapshot
    if snapshot is not None and index == snapshot.index:
        return term in (None, snapshot.term)
    if index <= state.snapshot_index:
        return True
    if index > state.last_index:
        return False
    if index < state.first_index:
        return True
    if term is None:
        return True
    last = state.term_runs[-1]
    return (last.term if index >= last.first_index else state.term_at(index)) == term
