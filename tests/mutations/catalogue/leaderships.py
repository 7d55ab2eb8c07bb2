"""Mutations of what keeps leaders in office: pre-votes, stickiness, check-quorum, and the look at the own disk."""

from __future__ import annotations

from tests.mutations.mutation import Edit, Mutation, mutation

_PRE_VOTER = "raft/roles/pre_voter.py"
_FOLLOWER = "raft/roles/follower.py"
_CONTACT = "raft/leading/contact.py"
_OWN_DISK = "raft/leading/own_disk.py"
_REPLICATOR = "node/replicator.py"
_REPLICATION = "node/replication.py"

_GRANT = "return [self._grant(sender, message)]"


def _granting(*lines: str) -> Edit:
    """What a voter does more when it grants a pre-vote."""
    return Edit(_PRE_VOTER, "PreVoter.on_request_pre_vote", _GRANT, "\n".join([*lines, _GRANT]))


WORD_OF_A_LEADER: tuple[Mutation, ...] = (
    mutation(
        "pre-vote-adopts-the-term",
        "who grants a pre-vote stays in its term",
        "dissertation §9.6",
        _granting("state.adopt_term(message.term)"),
    ),
    mutation(
        "pre-vote-is-word-of-a-leader",
        "to be asked for a pre-vote is no word of the leader",
        "dissertation §9.6",
        _granting("self.heard_at = now"),
    ),
    mutation(
        "pre-vote-granted-beside-a-leader",
        "who hears the leader grants no pre-vote",
        "dissertation §9.6",
        Edit(
            _PRE_VOTER,
            "PreVoter._would_pre_vote",
            "message.term > self.state.term and not self.in_touch(now) and",
            "message.term > self.state.term and",
        ),
    ),
    mutation(
        "broken-connection-is-reason-enough",
        "a connection that breaks is no proof that the leader has ended: the others are asked",
        "architecture, Elections",
        Edit(
            _FOLLOWER,
            "Follower.on_peer_disconnected",
            "self._leader_is_gone(now)",
            """
            from raft_actors.raft.effects import Become as End
            return [End(RoleName.CANDIDATE)]
            """,
        ),
    ),
    mutation(
        "word-of-the-leader-not-noted",
        "who hears the leader helps nobody to replace it",
        "dissertation §4.2.3",
        Edit(_FOLLOWER, "Follower.on_append_entries", "self.heard_at = now", "pass"),
    ),
    mutation(
        "word-of-the-leader-with-a-snapshot-not-noted",
        "chunks of a snapshot are word of the leader, too",
        "dissertation §4.2.3",
        Edit(_FOLLOWER, "Follower.on_install_snapshot", "self.heard_at = now", "pass"),
    ),
    mutation(
        "follower-in-touch-for-ever",
        "a leader that is not heard any more is replaced",
        "dissertation §4.2.3",
        Edit(
            _FOLLOWER,
            "Follower.in_touch",
            "return self.state.leader is not None and now - self.heard_at < self.state.config.election_timeout_s[0]",
            "return True",
        ),
    ),
)

CONTACT: tuple[Mutation, ...] = (
    mutation(
        "no-time-to-answer-a-new-leader",
        "a new leader gives its followers a whole election timeout to answer",
        "dissertation §6.2",
        Edit(
            _CONTACT,
            "Contact.begin",
            "self.last_contact = dict.fromkeys(self._state.peers, now)",
            'self.last_contact = dict.fromkeys(self._state.peers, float("-inf"))',
        ),
    ),
    mutation(
        "working-disk-taken-for-hung",
        "a disk that works is waited for",
        "architecture, Durable before sent",
        Edit(
            _OWN_DISK,
            "OwnDisk.hangs",
            "patience_s = max(state.config.election_timeout_s[1], _LEAST_PATIENCE_S)",
            "patience_s = 0.0",
        ),
        Edit(
            _OWN_DISK,
            "OwnDisk.hangs",
            "if not state.unsynced_writes or state.synced_writes != self._synced_writes:",
            "if False:",
        ),
        Edit(_OWN_DISK, "OwnDisk.hangs", " and state.commit_index > state.log.durable_index", ""),
    ),
    mutation(
        "announcer-outlives-the-leadership",
        "who tells of commits ends with the leadership",
        "architecture, Decide, then perform",
        Edit(
            _REPLICATION,
            "Replication.replicate_to",
            'nursery.start_soon(self._announcer.run, name=f"commit announcer of {self._state.node_id}")',
            "trio.lowlevel.spawn_system_task(self._announcer.run)",
        ),
    ),
    mutation(
        "snapshot-tried-again-from-nothing",
        "a snapshot that begins anew takes back nothing of what is known to match",
        "Figure 2: nextIndex, matchIndex",
        Edit(
            _REPLICATOR,
            "Replicator._on_snapshot_reply",
            "self._chunks.answered(message.next_sequence)",
            """
            self._chunks.answered(message.next_sequence)
            self.progress.next_index = 1 if message.next_sequence else 0
            """,
        ),
    ),
)
