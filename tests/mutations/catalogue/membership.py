"""Mutations of configurations, and of the changes that lead from one to another. Their seeds are of the profile
"members", but for those that take a scenario of their own."""

from __future__ import annotations

from functools import partial

from tests.mutations.mutation import Edit, Mutation, in_scenario, mutation

_CONFIGURATIONS = "raft/configurations.py"
_LEADER_MEMBERS = "raft/roles/leader_members.py"
_MEMBERS = "raft/leading/members.py"
_MEMBERSHIP = "raft/membership.py"
_ROLE = "raft/roles/role.py"
_STATE = "raft/state.py"
_RECOVERY = "node/recovery.py"

_of_members = partial(mutation, profile="members")


_READY = "if held.index > state.commit_index or not self.may_append:"

CONFIGURATIONS: tuple[Mutation, ...] = (
    _of_members(
        "restart-forgets-uncommitted-members",
        "a node goes by the last configuration in its log, committed or not, after a restart too",
        "§6; camunda #57389",
        Edit(
            _RECOVERY,
            "recover",
            "stored_configurations=recovered.configurations,",
            """
            stored_configurations=tuple(
                held for held in recovered.configurations if held.index <= recovered.commit_index
            ),
            """,
        ),
    ),
    _of_members(
        "truncation-forgets-surviving-members",
        "a truncation puts the configuration into force that survives it",
        "§6; scylla 5550f1766f",
        Edit(
            _CONFIGURATIONS,
            "Configurations.truncate",
            "del self._held[kept:]",
            "del self._held[1:]",
        ),
    ),
    _of_members(
        "truncated-members-stay-in-force",
        "a configuration whose entry is removed is in force no more",
        "§6",
        Edit(
            _STATE,
            "RaftState.truncate",
            "if self.configurations.latest.index >= from_index:",
            "if False:",
        ),
    ),
    in_scenario(
        "tests/cluster/test_members_rare.py::test_a_snapshot_takes_a_change_that_was_never_committed_along_with_the_log"
    )(
        "snapshot-keeps-newer-looking-members",
        "a snapshot's configuration replaces whatever its receiver took for it",
        "openraft #1808",
        Edit(
            _STATE,
            "RaftState.reset",
            "self.configurations.restart(configuration)",
            """
            if configuration is None or configuration.index >= self.configurations.latest.index:
                self.configurations.restart(configuration)
            """,
        ),
    ),
    _of_members(
        "snapshot-with-latest-members",
        "a snapshot ends with the configuration that is in force where it ends, not with a later one",
        "§7",
        Edit(
            _ROLE,
            "Role._on_snapshot_written",
            "configuration = self.state.configurations.at(snapshot.index).stored",
            "configuration = self.state.configurations.latest.stored",
        ),
    ),
    _of_members(
        "members-in-force-when-committed",
        "a configuration is in force from the moment that it is appended",
        "§6",
        Edit(
            _STATE,
            "RaftState._use_latest_configuration",
            "self.configuration = configuration = self.configurations.latest.configuration",
            """
            known = [held for held in self.configurations.since(0) if held.index <= self.commit_index]
            latest = known[-1] if known else self.configurations.at(0)
            self.configuration = configuration = latest.configuration
            """,
        ),
    ),
)
"""What is in force."""

CHANGES: tuple[Mutation, ...] = (
    _of_members(
        "new-half-decides-alone",
        "while a configuration is joint, every decision needs a majority of the old voters, too",
        "§6; openraft #1802",
        Edit(
            _MEMBERSHIP,
            "Configuration.voter_sets",
            "return (self.voters, self.outgoing) if self.outgoing else (self.voters,)",
            "return (self.voters,)",
        ),
    ),
    _of_members(
        "old-half-decides-alone",
        "while a configuration is joint, every decision needs a majority of the new voters, too",
        "§6",
        Edit(
            _MEMBERSHIP,
            "Configuration.voter_sets",
            "return (self.voters, self.outgoing) if self.outgoing else (self.voters,)",
            "return (self.outgoing or self.voters,)",
        ),
    ),
    _of_members(
        "halves-thrown-together",
        "a majority of all voters together is none of each half",
        "§6",
        Edit(
            _MEMBERSHIP,
            "Configuration.voter_sets",
            "return (self.voters, self.outgoing) if self.outgoing else (self.voters,)",
            "return (self.voters | self.outgoing,)",
        ),
    ),
    _of_members(
        "learners-count",
        "a learner has no vote",
        "dissertation §4.2.1",
        Edit(
            _STATE,
            "RaftState._use_latest_configuration",
            "self.voter_sets = configuration.voter_sets",
            "self.voter_sets = tuple(half | configuration.learners for half in configuration.voter_sets)",
        ),
    ),
    _of_members(
        "no-joint-step",
        "the old voters and the new decide together before the new decide alone",
        "§6",
        Edit(
            _MEMBERSHIP,
            "next_configuration",
            "return attrs.evolve(current, voters=goal.voters, learners=learners, outgoing=current.voters)",
            "return attrs.evolve(current, voters=goal.voters, learners=current.ids - goal.voters)",
        ),
    ),
    _of_members(
        "next-step-before-commit",
        "a step of a change follows the commit of the one before",
        "§6",
        Edit(_MEMBERS, "Members.next", _READY, "if not self.may_append:"),
    ),
    _of_members(
        "joint-left-before-own-entry",
        "a leader leaves a joint configuration only after it has committed an entry of its own term under both halves",
        "dissertation §4.3; camunda #60086",
        Edit(_MEMBERS, "Members.next", _READY, "if held.index > state.commit_index:"),
    ),
    _of_members(
        "second-change-swallows-the-first",
        "one change of members is under way at a time",
        "§6; raft-rs",
        Edit(
            _MEMBERSHIP,
            "begin_change",
            "if current.is_joint or current.goal is not None:",
            "if current.is_joint:",
        ),
    ),
    in_scenario(
        "tests/cluster/test_members.py::test_a_newcomer_that_does_not_answer_stays_a_learner_and_the_call_says_so"
    )(
        "newcomers-vote-unseen",
        "newcomers vote only once they hold all that is committed",
        "dissertation §4.2.1; hashicorp/raft",
        Edit(
            _MEMBERSHIP,
            "next_configuration",
            "if not current.newcomers <= frozenset(caught_up):",
            "if False:",
        ),
    ),
    in_scenario("tests/cluster/test_members.py::test_without_promote_only_who_holds_all_becomes_a_voter")(
        "dead-learner-promoted",
        "newcomers vote only while they answer",
        "etcd",
        Edit(
            _MEMBERS,
            "Members.caught_up",
            "and contact.last_contact[peer] >= earliest",
            "",
        ),
    ),
    in_scenario("tests/cluster/test_members.py::test_a_newcomer_that_ends_just_when_it_counts_costs_no_quorum")(
        "joint-never-taken-back",
        "newcomers that fall silent as they become voters don't take the cluster along",
        "etcd",
        Edit(
            _MEMBERS,
            "Members.take_back",
            "if not current.is_joint or contact.holds(now):",
            "if True:",
        ),
    ),
    in_scenario(
        "tests/cluster/test_members_rare.py::test_a_new_leader_takes_no_joint_configuration_back_before_it_has_committed_anything"
    )(
        "joint-taken-back-before-own-entry",
        "a leader takes no joint configuration back before it has committed an entry of its own term under both halves",
        "dissertation §4.3",
        Edit(
            _MEMBERS,
            "Members.take_back",
            "if self.may_append and contact.holds_among",
            "if contact.holds_among",
        ),
    ),
    _of_members(
        "new-voters-stay-though-silent",
        "what is settled without newcomers leads back to those who voted before",
        "§6",
        Edit(
            _MEMBERSHIP,
            "settle_change",
            "voters = current.outgoing or current.voters",
            "voters = current.voters",
        ),
    ),
)
"""From one configuration to the next."""

WHO: tuple[Mutation, ...] = (
    _of_members(
        "strangers-are-not-answered",
        "messages are answered whatever one's own configuration says of their sender, for it may be old",
        "camunda #57386; RATIS-2274",
        Edit(
            _ROLE,
            "Role._on_received",
            "if message.term != self.state.term and self._is_pre_vote(message):",
            """
            if sender not in self.state.configuration.ids:
                return []
            if message.term != self.state.term and self._is_pre_vote(message):
            """,
        ),
    ),
    _of_members(
        "learners-stand",
        "a node without a vote never stands for election",
        "dissertation §4.2.1",
        Edit(
            _ROLE,
            "Role.stand",
            "if needed and state.config.pre_vote and state.voting_peers:",
            "if state.config.pre_vote and state.voting_peers:",
        ),
    ),
    _of_members(
        "who-removes-itself-never-stands",
        "a node that an uncommitted change leaves without a vote stands all the same: its log may be the longest",
        "dissertation §4.2.2",
        Edit(
            _STATE,
            "RaftState.may_be_needed",
            "if self.is_voter or self.configurations.latest.index <= self.commit_index:",
            "if True:",
        ),
    ),
    _of_members(
        "removed-leader-leads-on",
        "a leader that was removed hands over before it goes on",
        "dissertation §4.2.2; etcd #12136",
        Edit(_LEADER_MEMBERS, "LeaderOfMembers._go_on_with_members", "if members.must_hand_over:", "if False:"),
    ),
    in_scenario("tests/cluster/test_members.py::test_any_set_becomes_any_other_in_one_call")(
        "removed-node-is-not-told",
        "a node that is removed hears so",
        "PySyncObj",
        Edit(
            _MEMBERS,
            "Members.appended",
            "self.farewells[gone] = _Farewell(before.members[gone], index, ends_at)",
            "del gone",
        ),
    ),
    in_scenario(
        "tests/simulation/test_identity.py::"
        "test_a_wiped_voter_joins_again_by_itself_and_nothing_counts_that_its_old_store_held"
    )(
        "lost-store-still-counts",
        "what a member's lost store had acknowledged does not count for its new one",
        "guarantees",
        Edit("raft/leading/commit.py", "Commit.forget", "self.match_index.pop(follower, None)", "return"),
    ),
)
"""Who is asked, who may lead, and who has to hear of it."""
