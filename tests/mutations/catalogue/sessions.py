"""Mutations of what proposers are told: what became of their commands, through deposed leaders."""

from __future__ import annotations

from tests.mutations.mutation import Edit, Mutation, mutation

_UNRESOLVED = "raft/unresolved.py"
_STATE = "raft/state.py"

OUTCOMES: tuple[Mutation, ...] = (
    mutation(
        "outcome-told-by-index-alone",
        "an entry is known by its index and its term",
        "Figure 3",
        Edit(
            _UNRESOLVED, "UnresolvedProposals._decide_one", "if end >= first and log.term_at(end) != term:", "if False:"
        ),
    ),
    mutation(
        "decided-by-what-is-not-committed",
        "only what is committed says what else is not",
        "§5.4",
        Edit(
            _STATE,
            "RaftState.apply",
            "decided = self.unresolved.decide(self.log, index)",
            "decided = self.unresolved.decide(self.log, self.log.last_index)",
        ),
    ),
    mutation(
        "committed-told-as-not-committed",
        "what is committed in its place is applied, whoever leads by then",
        "§5.4",
        Edit(
            _UNRESOLVED,
            "UnresolvedProposals._decide_one",
            "if end >= last:",
            "if end > last:",
        ),
        Edit(_UNRESOLVED, "UnresolvedProposals._decide_one", "elif end >= first:", "elif end > last:"),
    ),
)

_OUTBOX = "raft/forwarding.py"
_FORWARDED_BATCHES = "raft/leading/forwarded.py"

FORWARDING: tuple[Mutation, ...] = (
    mutation(
        "copies-of-forwarded-batches-taken-in",
        "a forwarded batch is taken in once, however often it comes",
        "architecture, Forwarding",
        Edit(_FORWARDED_BATCHES, "ForwardedBatches.take", "if message.number in life.placed:", "if False:"),
    ),
    mutation(
        "unanswered-batch-handed-to-another-leader",
        "what a leader may have taken in goes to no other",
        "architecture, Forwarding",
        Edit(_OUTBOX, "Outbox._ask_again", "if now >= batch.ends_at and not batch.copies:", "if now >= batch.ask_at:"),
    ),
    mutation(
        "late-batch-said-to-be-refused",
        "a former leader knows what it took in",
        "architecture, Forwarding",
        Edit(
            _FORWARDED_BATCHES,
            "ForwardedBatches.answer_late",
            "outcome = Forwarded.REFUSED if index is None else Forwarded.PLACED",
            "outcome = Forwarded.REFUSED",
        ),
    ),
    mutation(
        "batch-placed-one-off",
        "a proposer gets the result of its own command",
        "architecture, Forwarding",
        Edit(_OUTBOX, "Outbox.heard", "index = message.index", "index = message.index + 1"),
    ),
)

_TABLE = "raft/sessions.py"
_REPLICATED = "node/replicated_sessions.py"

SESSIONS: tuple[Mutation, ...] = (
    mutation(
        "session-command-carried-out-twice",
        "a numbered command is carried out once, however often it is proposed",
        "dissertation §6.3",
        Edit(_TABLE, "SessionTable.find", "if kept is None:", "if True:"),
    ),
    mutation(
        "sessions-left-out-of-snapshots",
        "sessions are a part of the replicated state",
        "dissertation §6.3",
        Edit(
            _REPLICATED,
            "ReplicatedSessions.snapshot",
            "return _prefixed(self.table.encode(), iter(chunks))",
            'return _prefixed(b"", iter(chunks))',
        ),
    ),
    mutation(
        "sessions-of-the-snapshot-ignored",
        "a snapshot replaces the table of sessions, too",
        "dissertation §6.3",
        Edit(_REPLICATED, "ReplicatedSessions.restore", "self.table = table", "pass"),
    ),
)
