"""Log matching: if two logs contain an entry with the same index and term, then the logs are identical in all entries
up through the given index (Raft paper, Figure 3 and §5.3)."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.persistent_state import LogWrite, Write
from raft_actors.testing.invariants.base import Invariant

_Seen = tuple[EntryKind, bytes, int | None]


class LogMatching(Invariant):
    """Entries of one index and term are the same on all disks, and stand behind entries of the same term.

    That the entries before the one before are the same, too, follows: each of them was compared like this when it was
    written. So nothing is ever compared twice, and a write costs what its entries cost.
    """

    name = "log matching"
    source = "Raft paper, Figure 3 and §5.3"

    def __init__(self) -> None:
        super().__init__()
        self._entries: dict[tuple[int, int], _Seen] = {}
        self._batches: dict[tuple[int, int], tuple[bytes, int | None]] = {}

    @override
    def written(self, node_id: str, writes: Sequence[Write]) -> None:
        """Compare what was appended to a disk."""
        for write in writes:
            if type(write) is LogWrite:
                previous: int | None = None
                for position, batch in enumerate(write.entries):
                    if position == 0:
                        previous = self._term_before(node_id, batch)
                    self._compare(node_id, batch, previous)
                    previous = batch.term

    def _term_before(self, node_id: str, batch: EntryBatch) -> int | None:
        """The term of the entry before a batch; None where it can't be told any more.

        The disk may have gone on with a later write of the same transaction: then what is there now is not what this
        batch was written behind, unless it is still there itself.
        """
        state, index = self.facts.disks[node_id].state, batch.first_index - 1
        if index == 0:
            return 0
        if not state.first_index <= batch.first_index <= state.last_index:
            return None
        if state.term_at(batch.first_index) != batch.term:
            return None
        if index >= state.first_index:
            return state.term_at(index)
        return state.snapshot.term if state.snapshot is not None and state.snapshot.index == index else None

    def _compare(self, node_id: str, batch: EntryBatch, previous: int | None) -> None:
        key = (batch.first_index, batch.term)
        data, known_previous = self._batches.get(key, (None, None))
        if data == batch.data and previous in (known_previous, None):
            return
        self._batches[key] = batch.data, previous if previous is not None else known_previous
        for entry in batch.entries():
            entry_key = (entry.index, entry.term)
            seen = self._entries.get(entry_key)
            if seen is None:
                self._entries[entry_key] = (entry.kind, entry.command, previous)
            else:
                if (entry.kind, entry.command) != seen[:2]:
                    self.fail(
                        f"node {node_id!r} holds {entry.command!r} as entry {entry.index} of term {entry.term}, where "
                        f"another holds {seen[1]!r}"
                    )
                if seen[2] is None:
                    self._entries[entry_key] = (*seen[:2], previous)
                elif previous is not None and previous != seen[2]:
                    self.fail(
                        f"node {node_id!r} holds entry {entry.index} of term {entry.term} behind one of term "
                        f"{previous}, where another holds it behind one of term {seen[2]}"
                    )
            previous = entry.term
