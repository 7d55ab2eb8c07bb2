"""Mutations of pre-votes: who asks, who grants, and what that must not change."""

from __future__ import annotations

from tests.mutations.mutation import Edit, Mutation, mutation

_FOLLOWER = "raft/roles/follower.py"
_PRE_CANDIDATE = "raft/roles/pre_candidate.py"
_CANDIDATE = "raft/roles/candidate.py"
_LEADER = "raft/roles/leader.py"
_ROLE = "raft/roles/role.py"
_PRE_VOTER = "raft/roles/pre_voter.py"

_ASKED = "dissertation §9.6"
_STICKY = "dissertation §4.2.3, §6.2"

_GRANT = "return [self._grant(sender, message)]"

PRE_VOTES: tuple[Mutation, ...] = (
    mutation(
        "pre-vote-adopts-term",
        "a request for a pre-vote is of no term that anybody is in",
        _ASKED,
        Edit(
            _ROLE,
            "Role._on_received",
            "if message.term != self.state.term and self._is_pre_vote(message):",
            "if False:",
        ),
    ),
    mutation(
        "pre-vote-casts-vote",
        "who grants a pre-vote has not voted",
        _ASKED,
        Edit(
            _PRE_VOTER,
            "PreVoter.on_request_pre_vote",
            _GRANT,
            """
            state.voted_for = state.voted_for or sender
            return [self._grant(sender, message)]
            """,
        ),
    ),
    mutation(
        "pre-vote-moves-timer",
        "who grants a pre-vote waits for a leader no longer than before",
        "hashicorp/raft #609",
        Edit(
            _PRE_VOTER,
            "PreVoter.on_request_pre_vote",
            _GRANT,
            """
            self.deadline = state.election_deadline(now)
            return [self._grant(sender, message)]
            """,
        ),
    ),
    mutation(
        "grant-says-own-term",
        "a grant says the term that was asked for",
        "etcd #8243",
        Edit(
            _PRE_VOTER,
            "PreVoter.on_request_pre_vote",
            _GRANT,
            "return [Send(sender, RequestPreVoteReply(state.term, message.round, granted=True))]",
        ),
    ),
    mutation(
        "refusal-says-asked-term",
        "a refusal says the voter's own term",
        "openraft #1796",
        Edit(
            _PRE_VOTER,
            "PreVoter.on_request_pre_vote",
            "RequestPreVoteReply(state.term, message.round, granted=False)",
            "RequestPreVoteReply(message.term, message.round, granted=False)",
        ),
    ),
    mutation(
        "own-term-granted",
        "a pre-vote is of a term above the voter's own",
        _ASKED,
        Edit(
            _PRE_VOTER, "PreVoter._would_pre_vote", "message.term > self.state.term", "message.term >= self.state.term"
        ),
    ),
    mutation(
        "granted-though-leader-heard",
        "who hears a leader grants nothing",
        _STICKY,
        Edit(
            _FOLLOWER,
            "Follower.in_touch",
            "return self.state.leader is not None and now",
            "return False and now",
        ),
    ),
    mutation(
        "leader-helps-anybody",
        "a leader that a majority answers grants nothing",
        _STICKY,
        Edit(_LEADER, "Leader.in_touch", "return self.contact.holds(now)", "return False"),
    ),
    mutation(
        "granted-though-the-disk-hangs",
        "who grants a pre-vote has a disk that a vote can be written to",
        "architecture, Elections",
        Edit(_PRE_VOTER, "PreVoter.on_request_pre_vote", "if state.unsynced_writes:", "if False:"),
    ),
    mutation(
        "stands-without-asking",
        "a follower asks before it stands",
        _ASKED,
        Edit(_ROLE, "Role.stand", "if needed and state.config.pre_vote and state.voting_peers:", "if False:"),
    ),
    mutation(
        "stands-again-without-asking",
        "a candidate that timed out asks before it stands again",
        _ASKED,
        Edit(_CANDIDATE, "Candidate.on_deadline", "return self.stand(now)", "return [Become(RoleName.CANDIDATE)]"),
    ),
    mutation(
        "stands-without-majority",
        "a candidate has the word of a majority",
        _ASKED,
        Edit(
            _PRE_CANDIDATE,
            "PreCandidate._stand_if_granted",
            "is_quorum({*self.grants, state.node_id}, *state.voter_sets)",
            "True",
        ),
    ),
    mutation(
        "refusal-counted-as-grant",
        "only grants count",
        _ASKED,
        Edit(
            _PRE_CANDIDATE,
            "PreCandidate.on_request_pre_vote_reply",
            "if message.granted and (message.term",
            "if not message.granted or (message.term",
        ),
    ),
    mutation(
        "grant-of-earlier-round-counted",
        "a grant counts in its round",
        _ASKED,
        Edit(
            _PRE_CANDIDATE,
            "PreCandidate.on_request_pre_vote_reply",
            "(message.term, message.round) == (self.state.term + 1, self.round)",
            "message.term == self.state.term + 1",
        ),
    ),
    mutation(
        "pre-candidate-gives-up",
        "a pre-candidate asks until there is a leader",
        _ASKED,
        Edit(
            _PRE_CANDIDATE,
            "PreCandidate.on_deadline",
            "return [Become(RoleName.PRE_CANDIDATE)] if now >= self.ends_at else self._ask(now)",
            """
            self.deadline = now + 1.0
            return []
            """,
        ),
    ),
)
