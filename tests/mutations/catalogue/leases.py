"""Mutations of leases: what a leader answers without asking anybody, and what the next one waits for."""

from __future__ import annotations

from tests.mutations.mutation import Edit, Mutation, mutation

_LEADER = "raft/roles/leader.py"
_LEASE = "raft/leading/lease.py"
_READING = "node/reading.py"
_PAPER = "LeaseGuard (arXiv 2512.15659)"
_TESTS = "tests/cluster/test_leases.py"

LEASES: tuple[Mutation, ...] = (
    mutation(
        "new-leader-waits-for-no-lease",
        "a new leader commits nothing while the old one's lease may run",
        _PAPER,
        Edit(
            _LEASE,
            "Lease.__init__",
            "self.waits: bool = self.settings is not None and not state.lease_over",
            "self.waits: bool = False",
        ),
        scenario=f"{_TESTS}::test_a_new_leader_commits_nothing_while_the_old_lease_may_run_and_reads_at_once",
    ),
    mutation(
        "lease-lasts-twice-as-long",
        "a lease ends when the others stop waiting for it",
        _PAPER,
        Edit(_LEASE, "Lease.left_s", "self.settings.duration_s - ", "2 * self.settings.duration_s - "),
        scenario=f"{_TESTS}::test_a_paused_leader_answers_nothing_by_a_lease_that_ran_out",
    ),
    mutation(
        "lease-by-the-clock-that-stood",
        "a lease goes by the clock that says that more has passed",
        "architecture, Leases",
        Edit(_LEASE, "Moment.most_since", "return max(", "return min("),
        scenario=f"{_TESTS}::test_a_paused_leader_answers_nothing_by_a_lease_that_ran_out",
    ),
    mutation(
        "new-leader-waits-by-the-faster-clock",
        "the wait for earlier leases goes by the clock that says that less has passed",
        "architecture, Leases",
        Edit(_LEASE, "Moment.least_since", "return min(", "return max("),
        scenario="tests/simulation/test_leaderships.py::test_blocks_never_overlap_whatever_happens",
    ),
    mutation(
        "lease-not-looked-at-after-the-query",
        "who was held up while it read has read nothing by a lease",
        "architecture, Leases",
        Edit(
            _READING,
            "Reading._by_lease",
            "if leader.lease.is_valid and self.leader() is leader:",
            "if self.leader() is leader:",
        ),
        scenario=f"{_TESTS}::test_a_lease_that_runs_out_while_it_is_read_gives_no_answer",
    ),
    mutation(
        "lease-not-said-to-be-over",
        "who takes leadership over need not wait for a lease that was given up",
        "architecture, Leases",
        Edit(
            _LEASE,
            "Lease.is_over",
            "return self.settings is not None and self.given_up and not self.waits",
            "return False",
        ),
        scenario=f"{_TESTS}::test_after_a_transfer_nobody_waits_and_the_old_leader_has_no_lease",
    ),
    mutation(
        "lease-goes-on-though-given-up",
        "a leader that has told another to lead answers nothing by its lease, for the other one does not wait",
        "dissertation §6.4.1; openraft #1747",
        Edit(_LEASE, "Lease.left_s", "self.confirmed is None or self.given_up", "self.confirmed is None"),
        scenario=f"{_TESTS}::test_who_has_told_another_to_lead_has_no_lease_though_it_hears_nothing_of_it",
    ),
    mutation(
        "block-goes-on-without-a-lease",
        "a block of `while_leading` ends before its leader's lease does",
        "guarantees, Leases",
        Edit(
            "node/scopes.py",
            "Scopes.watch",
            'self.end_all("the lease ran out: a majority has not answered in time")',
            "await alarm.wait(clock.now() + 1.0)",
        ),
        Edit(_LEADER, "Leader.on_deadline", "if self.lease.has_failed_those_who_hold_it", "if False"),
        scenario=f"{_TESTS}::test_a_leader_that_is_cut_off_ends_its_block_before_another_one_commits",
    ),
    mutation(
        "used-lease-not-renewed",
        "a lease that is used is renewed before it ends",
        "architecture, Leases",
        Edit(
            _LEASE,
            "Lease.is_to_be_renewed",
            "return wanted and self.settings is not None and not self.given_up",
            "return False",
        ),
        scenario=f"{_TESTS}::test_an_idle_lease_that_is_used_is_renewed_and_one_that_is_not_runs_out",
    ),
)
