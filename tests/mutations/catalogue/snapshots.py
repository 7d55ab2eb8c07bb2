"""Mutations of snapshots: taking them, sending them, installing them, and what they leave of the log."""

from __future__ import annotations

from tests.mutations.mutation import Edit, Mutation, mutation

_ROLE = "raft/roles/role.py"
_LOG = "raft/log.py"
_STATE = "raft/state.py"
_APPLIER = "node/applier.py"
_INSTALLER = "node/installer.py"
_SNAPSHOTTER = "node/snapshotter.py"
_WINDOW = "raft/chunk_window.py"
_REPLICATOR = "node/replicator.py"

TAKEN: tuple[Mutation, ...] = (
    mutation(
        "snapshot-index-too-high",
        "a snapshot names the last entry that it covers",
        "§7",
        Edit(
            _APPLIER,
            "Applier._take_snapshot_if_due",
            "SnapshotJob(metadata, chunks)",
            "SnapshotJob(SnapshotMetadata(self.applied_index + 1, self._applied_term), chunks)",
        ),
    ),
    mutation(
        "snapshot-index-too-low",
        "a snapshot names the last entry that it covers",
        "§7",
        Edit(
            _APPLIER,
            "Applier._take_snapshot_if_due",
            "SnapshotJob(metadata, chunks)",
            "SnapshotJob(SnapshotMetadata(max(1, self.applied_index - 1), self._applied_term), chunks)",
        ),
    ),
    mutation(
        "snapshot-term-wrong",
        "a snapshot names the term of the last entry that it covers",
        "§7",
        Edit(
            _APPLIER,
            "Applier._begin",
            "self._applied_term = batch.term",
            "self._applied_term = self._applied_term or batch.term",
        ),
    ),
    mutation(
        "compaction-beyond-the-snapshot",
        "only what a snapshot covers is forgotten",
        "§7",
        Edit(
            _ROLE,
            "Role._on_snapshot_written",
            "snapshot.index + 1 - self.state.config.trailing_entries",
            "min(log.last_index, snapshot.index + 1 + self.state.config.trailing_entries)",
        ),
        Edit(_LOG, "Log.compact", " or first_index > snapshot.index + 1", ""),
    ),
    mutation(
        "compaction-forgets-term-runs",
        "the terms of entries that are kept are kept",
        "§7",
        Edit(
            _LOG,
            "Log.compact",
            "keep = max(0, bisect_right(self._run_starts, first_index) - 1)",
            "keep = max(0, bisect_right(self._run_starts, first_index + 1) - 1)",
        ),
    ),
    mutation(
        "snapshot-boundary-term-unknown",
        "the term of a snapshot's last entry is known, for the entry behind it",
        "§7",
        Edit(
            _LOG,
            "Log.term_at",
            """
            if self.snapshot is not None and index == self.snapshot.index:
                return self.snapshot.term
            """,
            "pass",
        ),
    ),
)

INSTALLED: tuple[Mutation, ...] = (
    mutation(
        "snapshot-leaves-what-is-sent-next-behind",
        "what is sent next lies above what is known to match",
        "Figure 2: nextIndex, matchIndex",
        Edit(
            "raft/progress.py",
            "Progress.accepted",
            "self.next_index = max(self.next_index, self.match_index + 1)\nreturn",
            "return",
        ),
    ),
    mutation(
        "old-snapshot-installed",
        "a snapshot is installed only if it says more than is known to be committed",
        "Figure 13",
        Edit(_ROLE, "Role._on_snapshot_received", "if snapshot.index <= state.commit_index:", "if False:"),
    ),
    mutation(
        "old-snapshot-installed-without-guards",
        "neither snapshot nor commit index go back",
        "Figure 13",
        Edit(_ROLE, "Role._on_snapshot_received", "if snapshot.index <= state.commit_index:", "if False:"),
        Edit(
            _ROLE,
            "Role._on_snapshot_received",
            "matches = state.log.term_at(snapshot.index) == snapshot.term",
            "matches = False",
        ),
        Edit(_ROLE, "Role._on_snapshot_received", "elif self.name is RoleName.LEADER:", "elif False:"),
        Edit(_STATE, "RaftState.commit", "if not self.commit_index <= index <= self.log.last_index:", "if False:"),
    ),
    mutation(
        "conflicting-log-kept",
        "a log that contradicts the snapshot is discarded",
        "Figure 13, step 7",
        Edit(
            _ROLE,
            "Role._on_snapshot_received",
            "matches = state.log.term_at(snapshot.index) == snapshot.term",
            "matches = state.log.term_at(snapshot.index) is not None",
        ),
    ),
    mutation(
        "matching-log-discarded",
        "entries behind the snapshot stay where the log agrees with it: they may have been acknowledged",
        "Figure 13, step 6",
        Edit(
            _ROLE,
            "Role._on_snapshot_received",
            "matches = state.log.term_at(snapshot.index) == snapshot.term",
            "matches = False",
        ),
    ),
    mutation(
        "installed-snapshot-not-restored",
        "an installed snapshot resets the state machine",
        "Figure 13, step 8",
        Edit(
            _ROLE,
            "Role._on_snapshot_received",
            "return [*decided, state.persist_snapshot(commit, RestoreSnapshot(snapshot), installed)]",
            "return [*decided, state.persist_snapshot(commit, installed)]",
        ),
    ),
    mutation(
        "restored-but-not-counted",
        "after a snapshot, applying goes on behind it",
        "Figure 13, step 8",
        Edit(
            _APPLIER,
            "Applier._restore_from",
            "self.applied_index = metadata.index",
            "pass",
        ),
    ),
    mutation(
        "chunks-in-any-order",
        "chunks are written in order, each once",
        "Figure 13, step 3",
        Edit(
            _INSTALLER,
            "SnapshotInstaller._take",
            "if message.sequence == incoming.next_sequence + len(incoming.due):",
            "if True:",
        ),
    ),
    mutation(
        "chunks-of-several-snapshots-mixed",
        "a snapshot is put together from its own chunks",
        "Figure 13, step 5",
        Edit(
            _INSTALLER,
            "SnapshotInstaller._incoming_for",
            "if incoming is not None and incoming.key == key:",
            "if incoming is not None:",
        ),
    ),
    mutation(
        "last-chunk-not-sent",
        "a snapshot is complete with its last chunk, and not before",
        "Figure 13, step 4",
        Edit(
            _REPLICATOR,
            "Replicator._send_chunk",
            "done = sequence + 1 == reader.chunk_count",
            "done = sequence + 2 >= reader.chunk_count",
        ),
    ),
    mutation(
        "next-chunk-never-sent",
        "chunks are sent until the last",
        "§7",
        Edit(_WINDOW, "ChunkWindow.may_send", "self.next_chunk >= self.chunk_count", "self.next_chunk >= 1"),
    ),
    mutation(
        "lost-chunk-not-sent-again",
        "chunks that were lost are sent again",
        "§7",
        Edit(_WINDOW, "ChunkWindow.rewind", "self.next_chunk = self.acknowledged", "pass"),
    ),
    mutation(
        "no-snapshot-for-a-follower-behind",
        "a follower that needs what is compacted away gets the snapshot",
        "§7",
        Edit(
            _REPLICATOR,
            "Replicator._send_what_is_due",
            """
            if progress.state is not ProgressState.SNAPSHOT and self._previous_term() is None:
                # Also where the window is full: what is on its way may be lost, and no heartbeat could show that.
                progress.snapshot_needed()
            """,
            "pass",
        ),
        Edit(
            _REPLICATOR,
            "Replicator._stored",
            "progress.snapshot_needed()",
            "pass",
        ),
    ),
    mutation(
        "applies-what-a-snapshot-has-replaced",
        "entries that a leader's snapshot has replaced are not applied: they may never have been committed",
        "Figure 13, step 7",
        Edit(
            "node/committed_entries.py",
            "committed_entries",
            """
            if first_index < log.first_index:
                # The storage may still hold the log from before, in which these entries were never committed.
                return []
            """,
            "",
        ),
    ),
)
