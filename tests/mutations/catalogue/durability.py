"""Mutations of durability: what must be on disk before something is said, and what a restart must bring back."""

from __future__ import annotations

from tests.mutations.mutation import Edit, Mutation, mutation

_FOLLOWER = "raft/roles/follower.py"
_CANDIDATE = "raft/roles/candidate.py"
_COMMIT = "raft/leading/commit.py"
_ROLE = "raft/roles/role.py"
_STATE = "raft/state.py"
_LOG = "raft/log.py"
_SUPERVISOR = "node/supervisor.py"
_RECOVERY = "node/recovery.py"
_PERSISTENCE = "persistence/actor.py"
_LOG_STATE = "persistence/log_state.py"

DURABLE_BEFORE_SENT: tuple[Mutation, ...] = (
    mutation(
        "vote-before-durable",
        "a vote is on disk before it is sent",
        "Figure 2",
        Edit(
            _STATE,
            "RaftState.reply",
            "return self.persist(Send(to, message))",
            "return Send(to, message)",
        ),
    ),
    mutation(
        "candidacy-before-durable",
        "a candidate's vote for itself is on disk before it asks for others",
        "Figure 2",
        Edit(
            _CANDIDATE,
            "Candidate.start",
            "return [state.persist(*self._requests())]",
            "return [state.persist(), *self._requests()]",
        ),
    ),
    mutation(
        "ack-before-durable",
        "entries are on disk before they are acknowledged",
        "Figure 2",
        Edit(
            _FOLLOWER,
            "Follower.on_append_entries",
            """
            written = state.persist(accepted, *then, truncate_from=truncate_from, entries=tuple(new))
            return [*doubts, written, *applied] if at_once else [*doubts, written]
            """,
            """
            written = state.persist(*then, truncate_from=truncate_from, entries=tuple(new))
            return [written, accepted, *applied] if at_once else [written, accepted]
            """,
        ),
    ),
    mutation(
        "ack-of-entries-under-way",
        "entries that came twice are acknowledged once they are on disk",
        "Figure 2",
        Edit(
            _FOLLOWER,
            "Follower.on_append_entries",
            "durable = min(message.last_index, state.log.durable_index)",
            "durable = message.last_index",
        ),
    ),
    mutation(
        "snapshot-ack-before-durable",
        "a snapshot is on disk before it is acknowledged",
        "Figure 13",
        Edit(
            _ROLE,
            "Role._on_snapshot_received",
            "return [*decided, state.persist_snapshot(commit, RestoreSnapshot(snapshot), installed)]",
            "return [*decided, state.persist_snapshot(commit, RestoreSnapshot(snapshot)), installed]",
        ),
    ),
    mutation(
        "known-snapshot-ack-before-durable",
        "what a snapshot covers is on disk before it is called known",
        "Figure 13",
        Edit(
            _FOLLOWER,
            "Follower.on_install_snapshot",
            "return [state.persist(Send(sender, known))]",
            "return [Send(sender, known)]",
        ),
    ),
    mutation(
        "own-match-before-durable",
        "a leader counts itself once its own disk has an entry",
        "dissertation §10.2.1",
        Edit(
            _COMMIT,
            "Commit.advance",
            "state.node_id: state.log.durable_index",
            "state.node_id: state.log.last_index",
        ),
    ),
    mutation(
        "stale-durable-ack-counts",
        "the late ack of a write says nothing of entries that took its entries' place (ABA)",
        "architecture, Durable before sent",
        Edit(_LOG, "Log.mark_durable", "if epoch == self.epoch and last_index >", "if last_index >"),
    ),
    mutation(
        "stale-durable-ack-counts-after-snapshot",
        "the late ack of a write says nothing of a snapshot that took the log's place (ABA)",
        "architecture, Durable before sent",
        Edit(
            _LOG,
            "Log.reset",
            """
            self.epoch += 1
            self.snapshot = snapshot
            """,
            "self.snapshot = snapshot",
        ),
    ),
    mutation(
        "truncated-entries-still-durable",
        "what takes the place of removed entries is not on disk yet",
        "Figure 2",
        Edit(_LOG, "Log.truncate", "self.durable_index = min(self.durable_index, self.last_index)", "pass"),
    ),
    mutation(
        "installed-snapshot-durable-at-once",
        "a snapshot is durable once it is written",
        "Figure 2",
        Edit(_LOG, "Log.reset", "self.durable_index = 0", "self.durable_index = snapshot.index"),
    ),
    mutation(
        "all-writes-durable-with-the-first",
        "a term and vote are durable once their own write is",
        "Figure 2",
        Edit(_STATE, "RaftState.mark_durable", "self.durable = persisted.hard_state", "self.durable = self.written"),
    ),
    mutation(
        "what-waits-for-an-old-term-is-sent",
        "what waited for a write is not sent once its term is over",
        "architecture, Durable before sent",
        Edit(_ROLE, "Role.on_durable", "current = persisted.hard_state.term == self.state.term", "current = True"),
    ),
    mutation(
        "acknowledged-though-the-disk-refused",
        "a write that failed is acknowledged to nobody",
        "Figure 2",
        Edit(
            _PERSISTENCE,
            "PersistenceActor.receive",
            "await message.durable",
            """
            try:
                await message.durable
            except Exception:
                pass
            """,
        ),
    ),
    mutation(
        "acknowledged-before-written",
        "a write is acknowledged once the storage has done it",
        "Figure 2",
        Edit(
            _PERSISTENCE,
            "PersistenceActor._durable",
            "for persist in transaction.persists:",
            "for persist in transaction.persists if transaction.durable is None else []:",
        ),
        Edit(
            _PERSISTENCE,
            "PersistenceActor.receive",
            "await message.durable",
            """
            for early in message.persists:
                self._acknowledge(early)
            await message.durable
            """,
        ),
    ),
)

WRITES_AND_RESTARTS: tuple[Mutation, ...] = (
    mutation(
        "term-not-written",
        "a new term is written",
        "Figure 2",
        Edit(
            _STATE,
            "RaftState.hard_state_changed",
            "return self.written.term != self.term or self.written.voted_for != self.voted_for",
            "return self.written.voted_for != self.voted_for",
        ),
    ),
    mutation(
        "vote-not-written",
        "a vote is written",
        "Figure 2",
        Edit(
            _STATE,
            "RaftState.hard_state_changed",
            "return self.written.term != self.term or self.written.voted_for != self.voted_for",
            "return self.written.term != self.term",
        ),
    ),
    mutation(
        "vote-lost-among-writes",
        "a vote in a term that is on disk already is written",
        "Figure 2",
        Edit(
            _LOG_STATE,
            "LogState.after_log_write",
            "if write.hard_state is not None:",
            "if write.hard_state is not None and write.hard_state.term > state.hard_state.term:",
        ),
    ),
    mutation(
        "vote-forgotten",
        "a vote survives a restart",
        "Figure 2",
        Edit(_RECOVERY, "recover", "voted_for=hard_state.voted_for,", "voted_for=None,"),
    ),
    mutation(
        "term-forgotten",
        "the term survives a restart",
        "Figure 2",
        Edit(_RECOVERY, "recover", "term=hard_state.term,", "term=max(0, hard_state.term - 1),"),
    ),
    mutation(
        "log-end-forgotten",
        "acknowledged entries survive a restart",
        "Figure 2",
        Edit(
            _RECOVERY,
            "recover",
            "log = Log(recovered, cache_bytes=config.log_cache_bytes)",
            """
            log = Log(recovered, cache_bytes=config.log_cache_bytes)
            if log.last_index > log.snapshot_index:
                log.truncate(log.last_index)
            """,
        ),
    ),
    mutation(
        "snapshot-forgotten",
        "a restarted server goes on from its snapshot",
        "§7",
        Edit(_SUPERVISOR, "Supervisor._live", "await applier.restore()", "pass"),
    ),
    mutation(
        "uncommitted-taken-for-committed-at-restart",
        "a restarted server learns from a leader what is committed",
        "Figure 2",
        Edit(
            _RECOVERY,
            "recover",
            "commit_index=max(log.snapshot_index, recovered.commit_index),",
            "commit_index=log.last_index,",
        ),
    ),
    mutation(
        "terms-of-removed-entries-stay-on-disk",
        "entries that were removed leave nothing behind",
        "§5.3",
        Edit(
            _LOG_STATE,
            "LogState._truncated",
            "if run.first_index < index",
            "if run.first_index <= index",
        ),
    ),
    mutation(
        "conflicting-log-stays-on-disk",
        "a snapshot replaces a log that contradicts it, on disk too",
        "Figure 13",
        Edit(
            _LOG_STATE,
            "LogState.after_commit_snapshot",
            "if write.discard_log or self.last_index < metadata.index:",
            "if self.last_index < metadata.index:",
        ),
    ),
    mutation(
        "entries-not-cut-on-disk",
        "entries that a leader overwrites are removed from the disk first",
        "§5.3",
        Edit(
            _FOLLOWER,
            "Follower.on_append_entries",
            "truncate_from=truncate_from, entries=tuple(new)",
            "entries=tuple(new)",
        ),
    ),
    mutation(
        "cache-forgets-what-is-not-durable",
        "an entry is in memory or on disk",
        "architecture, Bounds",
        Edit(
            _LOG,
            "Log._shrink_tail",
            "if size <= target or batch.last_index > self.durable_index:",
            "if size <= target:",
        ),
    ),
)
