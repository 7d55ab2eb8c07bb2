"""What Raft needs kept on disk (Figure 2, "persistent state", and §7): what it recovers, and how it changes it.

Values only. `persistence.abc` says what a storage does with them.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.starts import Met, Renewed, Starts
from raft_actors.records import frozen, record


@frozen
class SnapshotMetadata:
    """The last entry that a snapshot covers (Figure 13: lastIncludedIndex, lastIncludedTerm)."""

    index: int
    term: int


@frozen
class StoredConfiguration:
    """A configuration of the cluster as an entry of the log holds it.

    Attributes:
        index: of the entry.
        data: its command: see `membership_codec`.
    """

    index: int
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")

    def packed(self) -> bytes:
        """Both in one, as a message holds it: see `InstallSnapshot.configuration`."""
        return self.index.to_bytes(8, "big") + self.data


@frozen
class HardState:
    """The term a node is in and whom it voted for in that term: what it must never forget (Figure 2)."""

    term: int = 0
    voted_for: str | None = None


@frozen
class TermRun:
    """From `first_index` on (to the next run), stored entries are of `term`."""

    term: int
    first_index: int


@frozen
class Recovered:
    """What a store held when it was opened.

    Attributes:
        hard_state: term and vote.
        snapshot: the latest complete snapshot, or None.
        first_index: index of the first entry kept (1 where nothing was compacted; the one after the snapshot where no
            entry is kept).
        last_index: index of the last entry; `first_index - 1` where the log holds none.
        term_runs: the term of every entry in `first_index … last_index`, ascending. Short: one run a term.
        tail: the last entries, in batches, up to about the number of bytes that was asked for; the first batch is cut
            so that none is below `first_index`.
        commit_index: entries up to here were committed, as far as the store was told (`LogWrite.commit_index`) and
            still knows. Never beyond `last_index`, nor below the snapshot's. It may be older than the last that a
            durable write told, for it is never synced.
        initial_voters: ids of the voters that the cluster began with; empty where no opening, this one included, has
            named any.
        configurations: those in the log, by index, beginning with the one in force where the snapshot ends; empty where
            none was ever appended. Those of entries that are not committed are among them.
        incarnation: of the store: drawn at random when it was made, and by `Storage.renew`. "": the storage draws none.
        starts: those of the store, this opening being the latest; none where the storage counts none.
        met: node id → the start of its store at which it was reached last, as `Storage.remember` was told.
        renewed: whether the store lacks what its node has promised: no configuration means it before one names it.
    """

    hard_state: HardState
    snapshot: SnapshotMetadata | None
    first_index: int
    last_index: int
    term_runs: tuple[TermRun, ...]
    tail: tuple[EntryBatch, ...]
    commit_index: int = 0
    initial_voters: tuple[str, ...] = ()
    configurations: tuple[StoredConfiguration, ...] = ()
    incarnation: str = ""
    starts: Starts = attrs.field(factory=Starts)
    met: Mapping[str, Met] = attrs.field(factory=dict[str, Met])
    renewed: Renewed = Renewed.NO


@record
class LogWrite:
    """One change of term, vote and log; its parts take effect in this order.

    Attributes:
        hard_state: the new term and vote, or None to keep them.
        truncate_from: remove all entries from this index on (it may fall inside a stored batch), or None. Above the
            snapshot's index and not below the log's first; without effect beyond its last.
        entries: batches to append, contiguous with each other and with the log, of terms that never fall.
        commit_index: entries up to here are committed, as far as the node knows: never beyond the log's last with this
            write, and never to be truncated. 0 where it knows nothing new. It costs no sync: a store that is opened
            again may tell an older one. Raft can do without (Figure 2: commitIndex is volatile), for a leader finds it
            again; a node that knows it need not wait for a leader before it applies its log.
    """

    hard_state: HardState | None = None
    truncate_from: int | None = None
    entries: tuple[EntryBatch, ...] = ()
    commit_index: int = 0


@frozen
class CommitSnapshot:
    """Make a written snapshot the current one, and forget the log and snapshot that it replaces, in one step.

    Attributes:
        snapshot_id: as `begin_snapshot` returned it. The snapshot must not end below the current one.
        first_index: entries below are forgotten; at most one beyond the snapshot's index. Entries that were forgotten
            before stay so.
        discard_log: forget all entries (the snapshot came from a leader whose log ours does not match). A log that ends
            below the snapshot's index is forgotten in any case: nothing that follows the snapshot could follow it.
        configuration: the one in force where the snapshot ends: it stays, though its entry may be forgotten. None where
            that is the one that the cluster began with.
    """

    snapshot_id: int
    first_index: int
    discard_log: bool = False
    configuration: StoredConfiguration | None = None


Write = LogWrite | CommitSnapshot
"""What a storage is given to write: see `Storage.write`."""
