"""Mutations of what the application sees: applied commands, answers to proposals and reads."""

from __future__ import annotations

from tests.mutations.mutation import Edit, Mutation, mutation

_LEADER = "raft/roles/leader.py"
_INTAKE = "raft/leading/intake.py"
_STATE = "raft/state.py"
_LOG = "raft/log.py"
_APPLIER = "node/applier.py"
_WAITING = "node/waiting_outcomes.py"
_ADMISSION = "node/admission.py"
_PROPOSALS = "node/proposals.py"
_SUBMISSION = "node/submission.py"
_TIMER = "actors/timer.py"
_END_OF_STEP = "effects += self._append_requested(now)"

APPLIED: tuple[Mutation, ...] = (
    mutation(
        "applied-twice",
        "each entry is applied once",
        "§5.3",
        Edit(_APPLIER, "Applier._apply_plain", "result = apply(command)", "apply(command)\nresult = apply(command)"),
    ),
    mutation(
        "command-skipped",
        "each entry is applied",
        "§5.3",
        Edit(
            _APPLIER,
            "Applier._apply_slice",
            "self._apply_each(commands[position : position + stride])",
            """
            if self.applied_index % 7 or len(commands) > 1:
                self._apply_each(commands[position : position + stride])
            else:
                self.applied_index += 1
            """,
        ),
    ),
    mutation(
        "applied-beyond-commit",
        "only committed entries are applied",
        "Figure 2",
        Edit(
            "node/committed_entries.py",
            "committed_entries",
            "batches = log.recent(first_index, commit_index, FETCH_BYTES)",
            "batches = log.recent(first_index, log.last_index, FETCH_BYTES)",
        ),
        Edit(
            _APPLIER,
            "Applier._apply_from_memory",
            "in_memory = log.recent(first_index, self.commit_index, FETCH_BYTES)",
            "in_memory = log.recent(first_index, log.last_index, FETCH_BYTES)",
        ),
    ),
    mutation(
        "applier-not-told",
        "what is committed is applied",
        "Figure 2",
        Edit(_APPLIER, "Applier.receive", "self._told, self._at_work = False, True", "self._at_work = True"),
    ),
)

ANSWERS: tuple[Mutation, ...] = (
    mutation(
        "result-of-the-last",
        "a proposer gets the result of its own command",
        "§8",
        Edit(
            _PROPOSALS,
            "PendingProposal.answer",
            "result = results[self.last_index - first_index]",
            "result = results[-1]",
        ),
    ),
    mutation(
        "result-of-the-first",
        "a proposer gets the result of its own command",
        "§8",
        Edit(
            _PROPOSALS,
            "PendingProposal.answer",
            "result = results[self.last_index - first_index]",
            "result = results[0]",
        ),
    ),
    mutation(
        "results-of-many-shifted",
        "commands proposed together get their own results, in order",
        "§8",
        Edit(
            _PROPOSALS,
            "PendingProposals.answer",
            "own = results[(self.index or 0) - first_index : self.last_index + 1 - first_index]",
            """
            end = min(self.last_index + 2 - first_index, len(results))
            own = results[end - len(self.commands) : end]
            """,
        ),
    ),
    mutation(
        "answers-in-the-wrong-order",
        "a proposer gets the result of its own command",
        "§8",
        Edit(_WAITING, "WaitingOutcomes.answer", "outcome = outcomes.popleft()", "outcome = outcomes.pop()"),
    ),
    mutation(
        "answered-when-appended",
        "a proposer is answered once its command is committed and applied",
        "§5.3",
        Edit(
            _LEADER,
            "Leader.end_of_step",
            _END_OF_STEP,
            """
            requested = self.intake.requested
            effects += self._append(self.intake.batches(now)) if requested else []
            for request in requested:
                if not request.is_read:
                    request.resolve("")
            """,
        ),
    ),
    mutation(
        "read-before-apply",
        "a read is answered once all that was committed before it is applied",
        "§8",
        Edit(
            _APPLIER,
            "Applier.commit_to",
            "self._waiting.add(outcomes, apply.keep_from, apply.commit_index)",
            """
            waiting = []
            for outcome in apply.outcomes:
                if hasattr(outcome, "query"):
                    outcome.answer([], 1, self._state_machine)
                else:
                    waiting.append(outcome)
            self._waiting.add(tuple(waiting), apply.keep_from, apply.commit_index)
            """,
        ),
    ),
    mutation(
        "read-placed-before-the-entry",
        "a read waits for an entry that was appended after it came",
        "§8",
        Edit(
            _INTAKE,
            "Intake.batches",
            "self._place_reads(requested, batches[-1].last_index)",
            "self._place_reads(requested, batches[0].first_index - 1)",
        ),
    ),
    mutation(
        "unknown-told-as-not-proposed",
        "a proposer is told that nothing was proposed only if that is so",
        "§8",
        Edit(
            _LEADER,
            "Leader.leave",
            "self.state.unresolved.watch([each for each in intake.uncommitted if not each.is_read], self.term)",
            "effects += [Refuse(outcome, self.not_leader()) for outcome in intake.uncommitted if not outcome.is_read]",
        ),
    ),
    mutation(
        "refused-but-proposed",
        "a proposal that is refused is not proposed",
        "§8",
        Edit(
            _LEADER,
            "Leader.on_requests",
            "return self._refuse_for_disk(requests)",
            """
            self.intake.requested += requests
            return self._refuse_for_disk(requests)
            """,
        ),
    ),
    mutation(
        "proposers-left-waiting",
        "who proposed to a leader that stepped down is told",
        "guarantees",
        Edit(
            _LEADER,
            "Leader.leave",
            "self.state.unresolved.watch([each for each in intake.uncommitted if not each.is_read], self.term)",
            "",
        ),
        Edit(_LEADER, "Leader.leave", "for outcome in intake.uncommitted if outcome.is_read", "for outcome in ()"),
    ),
    mutation(
        "room-leaked",
        "what is answered makes room",
        "architecture, Bounds",
        Edit(
            _ADMISSION,
            "Admission.release",
            "del self._admitted[outcome]",
            "pass",
        ),
    ),
    mutation(
        "disk-backlog-leaked",
        "what is on disk makes room",
        "architecture, Bounds",
        Edit(_STATE, "RaftState.mark_durable", "self.unsynced_bytes -= persisted.size", "pass"),
    ),
    mutation(
        "disk-backlog-without-bound",
        "a server whose disk is behind takes on no more",
        "architecture, Bounds",
        Edit(
            _STATE,
            "RaftState.disk_is_behind",
            "return self.unsynced_bytes > self.config.max_uncommitted_bytes or",
            "return False and",
        ),
    ),
    mutation(
        "cache-without-bound",
        "memory holds a bounded part of the log",
        "architecture, Bounds",
        Edit(_LOG, "Log._shrink_tail", "target = self._cache_bytes * 3 // 4", "target = 1 << 40"),
    ),
    mutation(
        "request-handed-to-nobody",
        "each request reaches the leader",
        "architecture, Decide, then perform",
        Edit(_SUBMISSION, "Submission._hand_in", "if not waiting.taken:", "if waiting.requests:"),
    ),
    mutation(
        "timer-fires-once",
        "a timer fires for each deadline that passes",
        "§5.2",
        Edit(_TIMER, "DeadlineTimer.run", "if self._has_fired():", "if True:"),
    ),
)
