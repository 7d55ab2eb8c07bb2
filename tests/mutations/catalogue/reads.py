"""Mutations of reads that take no entry of the log."""

from __future__ import annotations

from tests.mutations.mutation import Edit, Mutation, mutation

_READS = "raft/leading/reads.py"
_ROLE = "raft/roles/role.py"
_APPLIED = "node/applied_reads.py"
_RARE = "tests/cluster/test_reads_rare.py"

READ_INDEX: tuple[Mutation, ...] = (
    mutation(
        "read-without-quorum",
        "a leader makes sure that it still leads before it answers a read",
        "§8",
        Edit(
            _READS,
            "Reads._settle",
            "confirmed = quorum_value({**self.answered, state.node_id: self.last_round}, *state.voter_sets)",
            "confirmed = self.last_round",
        ),
    ),
    mutation(
        "read-round-used-again",
        "each question whether a leader leads still has a number of its own",
        "etcd #20418",
        Edit(_READS, "Reads._ask", "self.last_round += 1", "self.last_round = 1"),
    ),
    mutation(
        "read-joins-round-under-way",
        "a read waits for answers to a question that was asked after it came",
        "dissertation §6.4",
        Edit(
            _READS,
            "Reads.begin",
            "questions = self._ask()",
            """
            if self.rounds:
                self.rounds[-1].reads += reads
                return []
            questions = self._ask()
            """,
        ),
        scenario=f"{_RARE}::test_a_read_waits_for_answers_to_a_question_that_was_asked_after_it_came",
    ),
    mutation(
        "read-index-before-own-entry",
        "a leader that has committed nothing yet does not know what is committed",
        "dissertation §6.4; TiKV #9239",
        Edit(_READS, "Reads.begin", "max(self.inherited_index, state.commit_index)", "state.commit_index"),
    ),
    mutation(
        "confirmed-read-before-apply",
        "a read is answered once all that was committed before it is applied",
        "dissertation §6.4, step 4",
        Edit(_APPLIED, "AppliedReads.answer_when_applied", "effect.index <= self.index", "effect.index > 0"),
    ),
    mutation(
        "older-leader-confirmed",
        "who has gone on to a higher term confirms no leader of an older one",
        "dissertation §6.4",
        Edit(
            _ROLE,
            "Role._refuse_stale",
            "return [self.state.reply(sender, ConfirmLeaderReply(term, 0))]",
            "return [self.state.reply(sender, ConfirmLeaderReply(message.term, message.round))]",
        ),
        scenario=f"{_RARE}::test_who_has_gone_on_confirms_no_leader_of_an_older_term",
    ),
    mutation(
        "lost-question-not-asked-again",
        "what reads wait for is asked again where it may be lost",
        "dissertation §6.4",
        Edit(
            _READS,
            "Reads.ask_again",
            "return self._ask() if self._lease.is_to_be_renewed() or self.rounds else []",
            "return []",
        ),
        scenario=f"{_RARE}::test_a_question_that_was_lost_is_asked_again",
    ),
)
