"""What must hold in a cluster at every moment, looked at after every applied entry (Raft paper, Figure 3).

The checks see what the nodes do from outside: what their state machines are given, and what their events say.

- State machine safety: the n-th command that any node applies is the same, at the same log index. So none is skipped,
  none is applied twice within one life of a node, and what was committed once never changes.
- Election safety: a term has at most one leader.
- Within one life, a node's applied and commit indexes only grow.
- Log matching, at the end: where two disks hold an entry of the same index and term, all before it are equal too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter

import attrs

from raft_actors.entries import EntryBatch
from raft_actors.events import CommitAdvanced, Event, RoleChanged
from raft_actors.transitions import RoleName

_index = attrgetter("index")


class CheckFailed(AssertionError):
    """A simulated cluster did what it never may, or not in time what it must. The text names the seed."""


@attrs.frozen
class AppliedEntry:
    """A command as it was applied: its log index, and its bytes."""

    index: int
    command: bytes


@attrs.define(eq=False)
class Life:
    """What is known of one node from one start to the next crash.

    Attributes:
        node_id: whose.
        number: counts the node's starts, from 1.
        applied_count: how many commands its state machine has taken in, by itself or within a snapshot.
        applied_index: log index of the last of them (or of the snapshot).
        commit_index: the last that its events told of.
    """

    node_id: str
    number: int
    applied_count: int = 0
    applied_index: int = 0
    commit_index: int = 0

    def __str__(self) -> str:
        return f"node {self.node_id!r} (start {self.number})"


@attrs.define(eq=False)
class ClusterChecks:
    """Compares what all nodes of a cluster do.

    Attributes:
        fail: called with what is wrong, as soon as it is seen. Must not raise.
        history: every command that some node has applied, in order.
        leaders: term → the node that led it.
    """

    fail: Callable[[str], None]
    history: list[AppliedEntry] = attrs.field(factory=list[AppliedEntry], init=False)
    leaders: dict[int, str] = attrs.field(factory=dict[int, str], init=False)

    def applied(self, life: Life, index: int, command: bytes) -> None:
        """A node is applying a command."""
        if index <= life.applied_index:
            self.fail(f"{life} applied entry {index} after entry {life.applied_index}")
        position, history = life.applied_count, self.history
        if position == len(history):
            history.append(AppliedEntry(index, command))
        elif history[position].index != index or history[position].command != command:
            self.fail(
                f"{life} applied {command!r} of entry {index} as command number {position + 1}, where others applied "
                f"{history[position].command!r} of entry {history[position].index}"
            )
        life.applied_count = position + 1
        life.applied_index = index

    def restored(self, life: Life, index: int, count: int) -> None:
        """A node has restored a snapshot that covers `index` entries, `count` of them commands."""
        if index < life.applied_index:
            self.fail(f"{life} went back from entry {life.applied_index} to a snapshot at {index}")
        covered = self.count_until(index)
        if count != covered:
            self.fail(f"{life} restored a snapshot at entry {index} with {count} commands; {covered} were committed")
        life.applied_count = count
        life.applied_index = index

    def saw(self, life: Life, event: Event) -> None:
        """A node has published an event."""
        if isinstance(event, RoleChanged) and event.role is RoleName.LEADER:
            leader = self.leaders.setdefault(event.term, life.node_id)
            if leader != life.node_id:
                self.fail(f"term {event.term} has two leaders: {leader!r} and {life.node_id!r}")
        elif isinstance(event, CommitAdvanced):
            if event.commit_index < life.commit_index:
                self.fail(f"the commit index of {life} fell from {life.commit_index} to {event.commit_index}")
            life.commit_index = event.commit_index

    def count_until(self, index: int) -> int:
        """How many commands have been applied up to this log index, by whoever is furthest."""
        return bisect_right(self.history, index, key=_index)

    def command_at(self, index: int) -> bytes | None:
        """The command that was applied at a log index; None where none was, or the entry there is no command."""
        position = self.count_until(index) - 1
        if position < 0 or self.history[position].index != index:
            return None
        return self.history[position].command

    def match_logs(self, logs: Mapping[str, Iterable[EntryBatch]]) -> None:
        """Compare the logs on all disks (log matching, §5.3)."""
        entries = {
            node_id: {entry.index: entry for batch in batches for entry in batch.entries()}
            for node_id, batches in logs.items()
        }
        names = sorted(entries)
        for position, one in enumerate(names):
            for other in names[position + 1 :]:
                self._match(one, other, entries[one], entries[other])

    def _match(self, one: str, other: str, ours: Mapping[int, object], theirs: Mapping[int, object]) -> None:
        agreed = False
        for index in sorted(ours.keys() & theirs.keys(), reverse=True):
            if _term(ours[index]) == _term(theirs[index]):
                agreed = True
                if ours[index] != theirs[index]:
                    self.fail(f"{one!r} and {other!r} hold different entries {index} of one term")
            elif agreed:
                self.fail(f"the logs of {one!r} and {other!r} agree after entry {index}, and not there")


_term = attrgetter("term")
