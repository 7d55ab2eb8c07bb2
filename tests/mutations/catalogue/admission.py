"""Mutations of what a node lets in, and of what it tells those whom it turns away."""

from __future__ import annotations

from tests.mutations.mutation import Edit, Mutation, mutation

_ADMISSION = "node/admission.py"
_SUBMISSION = "node/submission.py"
_LEADER = "raft/roles/leader.py"
_SOURCE = "architecture, Bounds"
_OVERLOAD = "tests/cluster/test_overload.py"
_FULL = "tests/cluster/test_proposers.py::test_overloaded_proposers_wait_and_all_finish"

ADMISSION: tuple[Mutation, ...] = (
    mutation(
        "number-under-way-without-bound",
        "no more are under way than max_pending_proposals",
        _SOURCE,
        Edit(_ADMISSION, "Admission._take_in", "len(admitted) >= self._most", "False"),
        scenario=_FULL,
    ),
    mutation(
        "bytes-under-way-never-given-back",
        "what is answered takes none of max_uncommitted_bytes any more",
        _SOURCE,
        Edit(_ADMISSION, "Admission.release", "self.bytes -= outcome.size", "pass"),
        scenario=_FULL,
    ),
    mutation(
        "freed-room-for-nobody",
        "room that is freed is given to those who wait",
        _SOURCE,
        Edit(
            _ADMISSION,
            "Admission.release",
            """
            if self._waiting:
                self._admit_waiting()
            """,
            "",
        ),
        scenario=_FULL,
    ),
    mutation(
        "cancelled-in-the-queue-and-proposed",
        "what was taken back while it waited for room is never proposed",
        "guarantees, Outcomes",
        Edit(
            _ADMISSION,
            "Admission.leave_queue",
            """
            del self._waiting[outcome]
            self._admit_waiting()
            """,
            "self._admit_waiting()",
        ),
        scenario=f"{_OVERLOAD}::test_what_waits_for_room_and_is_cancelled_is_not_proposed",
    ),
    mutation(
        "partition-told-as-load",
        "who is turned away hears that no majority answers",
        "guarantees, Outcomes",
        Edit(_LEADER, "Leader.stalled_by", "return OverloadCause.NO_MAJORITY", "return None"),
        scenario=f"{_OVERLOAD}::test_no_majority_answers",
    ),
    mutation(
        "turned-away-until-now",
        "who is turned away hears when to come back",
        "guarantees, Outcomes",
        Edit(
            _SUBMISSION,
            "Submission._refused",
            "supervisor.admission.refusal(cause, longest_s)",
            "supervisor.admission.refusal(cause)",
        ),
        scenario=f"{_OVERLOAD}::test_the_disks_of_a_majority_hang",
    ),
)
