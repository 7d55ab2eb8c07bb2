"""Mutations of elections: votes, terms, who may lead."""

from __future__ import annotations

from tests.mutations.mutation import Edit, Mutation, mutation

_FOLLOWER = "raft/roles/follower.py"
_CANDIDATE = "raft/roles/candidate.py"
_LEADER = "raft/roles/leader.py"
_CONTACT = "raft/leading/contact.py"
_ROLE = "raft/roles/role.py"
_PRE_VOTER = "raft/roles/pre_voter.py"
_STATE = "raft/state.py"
_QUORUM = "raft/quorum.py"
_LOG = "raft/log.py"

_VOTE_GUARD = Edit(_STATE, "RaftState.vote_for", "if self.voted_for not in (None, candidate):", "if False:")

VOTES: tuple[Mutation, ...] = (
    mutation(
        "two-votes-in-a-term",
        "a server votes for at most one candidate in a term",
        "§5.2",
        Edit(_ROLE, "Role.would_vote", "free = self.state.voted_for in (None, sender)", "free = True"),
        _VOTE_GUARD,
    ),
    mutation(
        "candidate-votes-for-another",
        "a candidate has given its vote of the term to itself",
        "§5.2",
        Edit(_ROLE, "Role.on_request_vote", "granted=False", "granted=True"),
    ),
    mutation(
        "vote-without-log-check",
        "no vote for a candidate whose log is less up-to-date",
        "§5.4.1",
        Edit(
            _PRE_VOTER,
            "PreVoter.is_up_to_date",
            "return self.state.log.is_up_to_date(message.last_log_index, message.last_log_term)",
            "return True",
        ),
    ),
    mutation(
        "log-check-by-index-only",
        "the last entry's term decides which log is more up-to-date",
        "§5.4.1",
        Edit(
            _LOG,
            "Log.is_up_to_date",
            "return (last_log_term, last_log_index) >= (self.last_term, self.last_index)",
            "return last_log_index >= self.last_index",
        ),
    ),
    mutation(
        "log-check-by-term-only",
        "of logs that end in the same term the longer one is more up-to-date",
        "§5.4.1",
        Edit(
            _LOG,
            "Log.is_up_to_date",
            "return (last_log_term, last_log_index) >= (self.last_term, self.last_index)",
            "return last_log_term >= self.last_term",
        ),
    ),
    mutation(
        "log-check-by-index-first",
        "the term is compared before the index",
        "§5.4.1",
        Edit(
            _LOG,
            "Log.is_up_to_date",
            "return (last_log_term, last_log_index) >= (self.last_term, self.last_index)",
            "return (last_log_index, last_log_term) >= (self.last_index, self.last_term)",
        ),
    ),
    mutation(
        "equal-log-not-up-to-date",
        "a candidate with the same log gets the vote",
        "§5.4.1",
        Edit(
            _LOG,
            "Log.is_up_to_date",
            "(last_log_term, last_log_index) >= (self.last_term, self.last_index)",
            "(last_log_term, last_log_index) > (self.last_term, self.last_index)",
        ),
    ),
    mutation(
        "candidate-overstates-its-log",
        "RequestVote names the candidate's last entry",
        "Figure 2",
        Edit(
            _CANDIDATE,
            "Candidate.start",
            "state.term, state.log.last_index, state.log.last_term, ",
            "state.term, state.log.last_index + 1, state.log.last_term, ",
        ),
    ),
    mutation(
        "candidate-understates-its-log",
        "RequestVote names the candidate's last entry, committed or not",
        "Figure 2",
        Edit(
            _CANDIDATE,
            "Candidate.start",
            "state.term, state.log.last_index, state.log.last_term, ",
            "state.term, state.commit_index, state.log.last_term, ",
        ),
    ),
    mutation(
        "last-term-of-compacted-log-forgotten",
        "a log that a snapshot has replaced ends with the snapshot's last entry",
        "§7",
        Edit(_LOG, "Log.last_term", "return self.snapshot.term if self.snapshot else 0", "return 0"),
        Edit(_LOG, "Log.append", " or batch.term < self.last_term", ""),
    ),
    mutation(
        "refusal-counted-as-vote",
        "only granted votes count",
        "§5.2",
        Edit(
            _CANDIDATE,
            "Candidate.on_request_vote_reply",
            "return self._count(sender) if message.granted else self._note_refusal(sender, now)",
            "return self._count(sender)",
        ),
    ),
    mutation(
        "stale-vote-counted",
        "a vote counts in its own term only",
        "§5.1",
        Edit(
            _ROLE,
            "Role._on_received",
            "elif message.term < self.state.term:",
            "elif message.term < self.state.term and not isinstance(message, RequestVoteReply):",
        ),
    ),
    mutation(
        "vote-quorum-too-small",
        "a leader has the votes of a majority",
        "§5.2",
        Edit(
            _QUORUM,
            "is_quorum",
            "< majority(len(voters)):",
            "< majority(len(voters)) - 1:",
        ),
    ),
    mutation(
        "vote-quorum-too-large",
        "a majority of votes is enough",
        "§5.2",
        Edit(_QUORUM, "is_quorum", "< majority(len(voters)):", "< len(voters):"),
    ),
    mutation(
        "half-is-a-majority",
        "a majority is more than half",
        "§5.2",
        Edit(_QUORUM, "majority", "return members // 2 + 1", "return (members + 1) // 2"),
    ),
    mutation(
        "candidate-never-tries-again",
        "a candidate that times out starts a new election",
        "§5.2",
        Edit(_CANDIDATE, "Candidate.on_deadline", "return self.stand(now)", "return []"),
    ),
    mutation(
        "follower-never-stands",
        "a follower that hears no leader stands for election",
        "§5.2",
        Edit(
            _FOLLOWER,
            "Follower.on_deadline",
            "return self.stand(now)",
            """
            self.deadline = self.state.election_deadline(now)
            return []
            """,
        ),
    ),
    mutation(
        "election-timeout-not-random",
        "election timeouts are random, so that split votes are rare",
        "§5.2",
        Edit(
            _STATE,
            "RaftState.election_deadline",
            "return now + self.rng.uniform(*self.config.election_timeout_s)",
            "return now + self.config.election_timeout_s[0]",
        ),
    ),
    mutation(
        "election-timer-not-reset",
        "a follower that hears its leader does not stand for election",
        "§5.2",
        Edit(
            _FOLLOWER,
            "Follower.on_append_entries",
            """
            self.heard_at = now
            self.deadline = state.election_deadline(now)
            """,
            "self.heard_at = now",
        ),
    ),
)

TERMS: tuple[Mutation, ...] = (
    mutation(
        "term-not-adopted",
        "a server that sees a higher term enters it",
        "§5.1",
        Edit(_ROLE, "Role._on_received", "self.state.adopt_term(message.term)", "pass"),
    ),
    mutation(
        "vote-kept-in-new-term",
        "in a new term a server has not voted yet",
        "§5.2",
        Edit(_STATE, "RaftState.adopt_term", "self.voted_for = None", "pass"),
        _VOTE_GUARD,
    ),
    mutation(
        "leader-ignores-higher-term",
        "a leader that sees a higher term steps down",
        "§5.1",
        Edit(
            _ROLE,
            "Role._on_received",
            "if self.name is not RoleName.FOLLOWER:",
            "if self.name is RoleName.CANDIDATE:",
        ),
    ),
    mutation(
        "candidate-ignores-higher-term",
        "a candidate that sees a higher term steps down",
        "§5.1",
        Edit(_ROLE, "Role._on_received", "if self.name is not RoleName.FOLLOWER:", "if self.name is RoleName.LEADER:"),
    ),
    mutation(
        "stale-leader-obeyed",
        "a request of an older term is refused",
        "§5.1",
        Edit(
            _ROLE,
            "Role._on_received",
            "elif message.term < self.state.term:",
            "elif message.term < self.state.term and not isinstance(message, AppendEntries):",
        ),
        Edit(_STATE, "RaftState.follow", "if self.leader not in (None, leader):", "if False:"),
    ),
    mutation(
        "stale-reply-accepted",
        "an answer of an older term says nothing in this one",
        "§5.1",
        Edit(
            _ROLE,
            "Role._on_received",
            "elif message.term < self.state.term:",
            "elif message.term < self.state.term and not isinstance(message, AppendEntriesAccepted):",
        ),
    ),
    mutation(
        "stale-candidate-gets-votes",
        "a candidate of an older term gets no vote",
        "§5.1",
        Edit(
            _ROLE,
            "Role._on_received",
            "elif message.term < self.state.term:",
            "elif message.term < self.state.term and not isinstance(message, RequestVote):",
        ),
        Edit(
            _FOLLOWER,
            "Follower.on_request_vote",
            "return [state.reply(sender, RequestVoteReply(state.term, granted=True))]",
            "return [state.reply(sender, RequestVoteReply(message.term, granted=True))]",
        ),
    ),
    mutation(
        "check-quorum-off",
        "a leader that a majority has not answered for an election timeout steps down",
        "dissertation §6.2",
        Edit(_CONTACT, "Contact.is_lost", "return self._state.config.check_quorum and", "return False and"),
    ),
    mutation(
        "check-quorum-too-eager",
        "a leader whom a majority answers stays",
        "dissertation §6.2",
        Edit(
            _CONTACT,
            "Contact.holds_among",
            "silence_s <= state.config.election_timeout_s[1]",
            "silence_s <= 0",
        ),
    ),
    mutation(
        "candidate-starts-no-new-term",
        "an election is of a new term",
        "§5.2",
        Edit(
            _CANDIDATE,
            "Candidate.start",
            "state.adopt_term(state.term + 1)",
            """
            if not state.term:
                state.adopt_term(1)
            state.voted_for = None
            """,
        ),
    ),
)
