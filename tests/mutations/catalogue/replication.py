"""Mutations of replication and commitment: AppendEntries, the log, the commit index."""

from __future__ import annotations

from tests.mutations.mutation import Edit, Mutation, mutation

_FOLLOWER = "raft/roles/follower.py"
_LEADER = "raft/roles/leader.py"
_START = "return [replicate, *self._append([self.intake.noop()]), *questions]"
_COMMIT = "raft/leading/commit.py"
_QUORUM = "raft/quorum.py"
_LOG = "raft/log.py"
_PROGRESS = "raft/progress.py"
_REPLICATION = "node/replication.py"
_REPLICATOR = "node/replicator.py"

FOLLOWERS_LOG: tuple[Mutation, ...] = (
    mutation(
        "previous-term-not-compared",
        "entries are appended behind an entry of the same index and term only",
        "§5.3",
        Edit(
            _FOLLOWER,
            "Follower._has_entry_before",
            "return term == message.prev_log_term",
            "return term is not None",
        ),
    ),
    mutation(
        "previous-entry-not-checked",
        "entries are appended behind the one before them only",
        "§5.3",
        Edit(_FOLLOWER, "Follower._has_entry_before", "return term == message.prev_log_term", "return True"),
    ),
    mutation(
        "conflict-not-detected",
        "an entry of another term gives way to the leader's",
        "§5.3",
        Edit(_LOG, "Log.conflict_with", "if self._run_terms[position] != batch.term:", "if False:"),
    ),
    mutation(
        "only-the-last-batch-compared",
        "each of the sent entries is compared",
        "§5.3",
        Edit(
            _FOLLOWER,
            "Follower._merge",
            "conflict = log.conflict_with(batch)",
            "conflict = log.conflict_with(batch) if batch is batches[-1] else None",
        ),
    ),
    mutation(
        "conflict-one-too-late",
        "an entry that conflicts is removed with all that follow",
        "§5.3",
        Edit(_FOLLOWER, "Follower._merge", "truncate(conflict)", "truncate(min(conflict + 1, log.last_index))"),
    ),
    mutation(
        "truncation-without-conflict",
        "entries that the message does not contradict stay: they may have been acknowledged since it was sent",
        "§5.3",
        Edit(
            _FOLLOWER,
            "Follower._merge",
            "conflict = log.conflict_with(batch)",
            """
            conflict = log.conflict_with(batch)
            if conflict is None and batch.last_index < log.last_index:
                conflict = batch.last_index + 1
            """,
        ),
        Edit(_FOLLOWER, "Follower.on_append_entries", "if new:", "if new or truncate_from is not None:"),
    ),
    mutation(
        "whole-tail-removed-on-conflict",
        "nothing before the conflict is removed, least of all what is committed",
        "§5.3",
        Edit(
            _FOLLOWER,
            "Follower._merge",
            """
            if conflict is not None:
            """,
            """
            if conflict is not None:
                conflict = max(log.first_index, log.snapshot_index + 1)
            """,
        ),
    ),
    mutation(
        "recent-entries-not-cut",
        "entries that were removed are sent to nobody, and never applied",
        "§5.3",
        Edit(_LOG, "Log.truncate", "self._cut_tail(from_index)", "pass"),
    ),
    mutation(
        "terms-of-removed-entries-stay",
        "entries that were removed leave nothing behind",
        "§5.3",
        Edit(
            _LOG,
            "Log.truncate",
            "keep = bisect_right(self._run_starts, self.last_index)",
            "keep = bisect_right(self._run_starts, self.last_index + 1)",
        ),
    ),
    mutation(
        "acknowledges-its-whole-log",
        "a follower acknowledges what the message shows to match, not what else it holds",
        "§5.3",
        Edit(
            _FOLLOWER,
            "Follower.on_append_entries",
            "durable = min(message.last_index, state.log.durable_index)",
            "durable = state.log.durable_index",
        ),
    ),
    mutation(
        "rejects-silently",
        "a follower that lacks the entry before says so",
        "§5.3",
        Edit(
            _FOLLOWER,
            "Follower.on_append_entries",
            "return [state.reply(sender, self._rejection(message))]",
            "return []",
        ),
    ),
)

LEADERS_LOG: tuple[Mutation, ...] = (
    mutation(
        "leader-drops-uncommitted-entries",
        "a leader never removes entries of its log",
        "Figure 3",
        Edit(
            _LEADER,
            "Leader.start",
            _START,
            """
            if state.log.last_index == state.commit_index:
                return [replicate, *self._append([self.intake.noop()])]
            state.log.truncate(state.commit_index + 1)
            noop = self.intake.noop()
            state.log.append(noop)
            return [replicate, state.persist(truncate_from=state.commit_index + 1, entries=(noop,)), WakeReplicators()]
            """,
        ),
    ),
    mutation(
        "no-entry-at-term-start",
        "a leader begins its term with an entry of its own",
        "§8",
        Edit(_LEADER, "Leader.start", _START, "return [replicate]"),
    ),
    mutation(
        "match-noted-for-all",
        "an acknowledgement is its sender's alone",
        "Figure 2",
        Edit(
            _COMMIT,
            "Commit.record_match",
            "self.match_index[follower] = index",
            "self.match_index = dict.fromkeys(self.match_index, index)",
        ),
    ),
    mutation(
        "match-noted-for-the-neighbour",
        "an acknowledgement is its sender's",
        "Figure 2",
        Edit(
            _COMMIT,
            "Commit.record_match",
            "self.match_index[follower] = index",
            "self.match_index[min(self.match_index)] = index",
        ),
    ),
    mutation(
        "rejection-counted-as-match",
        "a rejection says nothing of what matches",
        "§5.3",
        Edit(
            _LEADER,
            "Leader.on_append_entries_rejected",
            "return self._feed(sender, message, now)",
            """
            self.commit.record_match(sender, message.prev_log_index)
            return self._feed(sender, message, now) + self._advance_commit(now)
            """,
        ),
    ),
    mutation(
        "installed-snapshot-counted-as-whole-log",
        "an installed snapshot matches up to its own last entry",
        "§7",
        Edit(
            _LEADER,
            "Leader.on_install_snapshot_reply",
            "self.commit.record_match(sender, message.snapshot.index)",
            "self.commit.record_match(sender, self.state.log.last_index)",
        ),
    ),
    mutation(
        "next-index-never-backs-up",
        "after a rejection the leader goes back to where the logs agree",
        "§5.3",
        Edit(
            _PROGRESS,
            "Progress.rejected",
            "self.next_index = max(self.match_index + 1, min(self._agreement_after(rejection, log), previous))",
            "pass",
        ),
    ),
    mutation(
        "lost-append-not-noticed",
        "the leader sends again what got lost, until the follower has it",
        "§5.3",
        Edit(
            _PROGRESS,
            "Progress.rejected",
            "if self.state is ProgressState.SNAPSHOT:",
            "if self.state is not ProgressState.PROBE:",
        ),
    ),
    mutation(
        "probe-not-repeated",
        "the leader sends again what got lost, until the follower has it",
        "§5.3",
        Edit(_PROGRESS, "Progress.heartbeat_due", "self.probe_sent = False", "pass"),
        Edit(
            _REPLICATOR,
            "Replicator._send_heartbeat",
            "if self.progress.state is ProgressState.SNAPSHOT or",
            "if self.progress.state is not ProgressState.REPLICATE or",
        ),
    ),
    mutation(
        "window-never-slides",
        "what was answered makes room for what is sent next",
        "architecture, Bounds",
        Edit(
            _PROGRESS,
            "Progress.accepted",
            "self.inflight_bytes -= self.inflight.popleft()[1]",
            "self.inflight.rotate(-1)\nbreak",
        ),
    ),
    mutation(
        "window-without-bound",
        "a leader bounds what it sends without an answer",
        "architecture, Bounds",
        Edit(
            _PROGRESS,
            "Progress.may_append",
            """
            and len(self.inflight) < self.max_inflight
            and self.inflight_bytes < self.max_inflight_bytes
            """,
            "",
        ),
    ),
    mutation(
        "wrong-previous-term-sent",
        "AppendEntries names the term of the entry before",
        "Figure 2",
        Edit(
            _REPLICATOR,
            "Replicator._send_append",
            "AppendEntries(self._term, previous, term, commit_index, entries, wants_reply)",
            "AppendEntries(self._term, previous, self._term, commit_index, entries, wants_reply)",
        ),
    ),
    mutation(
        "no-heartbeats",
        "a leader sends heartbeats while it has nothing else to send",
        "§5.2",
        Edit(
            _LEADER,
            "Leader.on_deadline",
            "effects.append(Beat(self.contact.inactive(now) | self.members.awaited | self.priority.higher))",
            "effects.clear()",
        ),
    ),
    mutation(
        "replicators-outlive-the-leadership",
        "what belongs to a leadership ends with it",
        "architecture, Decide, then perform",
        Edit(
            _REPLICATION,
            "Replication.replicate_to",
            "nursery.start_soon(_run,",
            "(nursery.parent_task.parent_nursery or nursery).start_soon(_run,",
        ),
    ),
)

COMMITMENT: tuple[Mutation, ...] = (
    mutation(
        "old-term-committed-by-counting",
        "a leader commits by counting only entries of its own term",
        "§5.4.2",
        Edit(
            _COMMIT,
            "Commit.advance",
            "if index <= state.commit_index or state.log.term_at(index) != state.term:",
            "if index <= state.commit_index:",
        ),
    ),
    mutation(
        "commit-quorum-too-small",
        "an entry is committed once a majority holds it",
        "§5.3",
        Edit(
            _QUORUM,
            "quorum_value",
            "reached[majority(len(reached)) - 1]",
            "reached[max(0, majority(len(reached)) - 2)]",
        ),
    ),
    mutation(
        "commit-quorum-too-large",
        "a majority is enough",
        "§5.3",
        Edit(_QUORUM, "quorum_value", "reached[majority(len(reached)) - 1]", "reached[-1]"),
    ),
    mutation(
        "commit-quorum-counted-from-below",
        "of an even number of logs, more than half must hold an entry",
        "§5.3",
        Edit(_QUORUM, "quorum_value", ", reverse=True)", ")"),
    ),
    mutation(
        "own-log-not-counted",
        "the leader's own log counts like any other",
        "§5.3",
        Edit(
            _COMMIT,
            "Commit.advance",
            "state.node_id: state.log.durable_index",
            "state.node_id: 0",
        ),
    ),
    mutation(
        "late-own-disk-commits-nothing",
        "an entry is committed as soon as a majority holds it, whoever is the last of it",
        "dissertation §10.2.1",
        Edit(
            _LEADER,
            "Leader.on_durable",
            "return super().on_durable(item, now) + self._advance_commit(now)",
            "return super().on_durable(item, now)",
        ),
    ),
    mutation(
        "leader-announces-too-much",
        "a leader announces what is committed, not what it has",
        "Figure 2",
        Edit(
            _REPLICATOR,
            "Replicator._send_append",
            "commit_index = self._state.commit_index",
            "commit_index = self._state.log.last_index",
        ),
    ),
    mutation(
        "follower-commits-what-it-holds",
        "a follower commits at most what the message shows to match",
        "Figure 2",
        Edit(
            _FOLLOWER,
            "Follower.on_append_entries",
            "commit_index = min(message.leader_commit, message.last_index)",
            "commit_index = min(message.leader_commit, state.log.last_index)",
        ),
    ),
    mutation(
        "follower-commits-beyond-its-log",
        "the commit index is never beyond the log's end",
        "Figure 2",
        Edit(
            _FOLLOWER,
            "Follower.on_append_entries",
            "commit_index = min(message.leader_commit, message.last_index)",
            "commit_index = message.leader_commit",
        ),
    ),
    mutation(
        "heartbeats-commit-nothing",
        "a follower learns of commits from heartbeats too",
        "§5.3",
        Edit(
            _FOLLOWER,
            "Follower.on_append_entries",
            "return [*effects, *self._commit(commit_index), *state.note_commit()]",
            "return [*effects, *state.note_commit()]",
        ),
    ),
)
