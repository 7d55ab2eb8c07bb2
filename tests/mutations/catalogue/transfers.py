"""Mutations of handing leadership over: who is told to stand, when, and what becomes of what waits."""

from __future__ import annotations

from tests.mutations.mutation import Edit, Mutation, mutation

_HANDING_OVER = "raft/roles/leader_handing_over.py"
_LEADER = "raft/roles/leader.py"

_TRANSFER = "dissertation §3.10"
_TEST = "tests/cluster/test_transfer.py"
_WHEN_DUE = "if not self.commit.match_index[transfer.target] == state.log.last_index == state.commit_index:"

TRANSFERS: tuple[Mutation, ...] = (
    mutation(
        "told-before-it-holds-the-log",
        "who is told to stand holds the whole log on its disk",
        _TRANSFER,
        Edit(
            _HANDING_OVER,
            "LeaderHandingOver._tell_when_due",
            _WHEN_DUE,
            "if not state.log.last_index == state.commit_index:",
        ),
    ),
    mutation(
        "told-before-all-is-committed",
        "a leader that hands over leaves no outcome open",
        _TRANSFER,
        Edit(
            _HANDING_OVER,
            "LeaderHandingOver._tell_when_due",
            _WHEN_DUE,
            "if not self.commit.match_index[transfer.target] == state.log.last_index:",
        ),
    ),
    mutation(
        "appends-while-handing-over",
        "what is proposed while leadership is handed over is held",
        _TRANSFER,
        Edit(_LEADER, "Leader.on_requests", "if self.transfer is not None:", "if False:"),
    ),
    mutation(
        "takes-in-while-handing-over",
        "what others hand on while leadership is handed over is refused, so that the log comes to rest",
        _TRANSFER,
        Edit(_LEADER, "Leader.on_forward_proposals", "elif self.transfer is not None:", "elif False:"),
        scenario=f"{_TEST}::test_what_others_hand_on_does_not_keep_a_leader_from_handing_over",
    ),
    mutation(
        "held-proposals-forgotten",
        "what is held while leadership is handed over goes to who leads then",
        _TRANSFER,
        Edit(_LEADER, "Leader.leave", "self.transfer.held if self.transfer is not None else []", "[]"),
        scenario=f"{_TEST}::test_what_waits_while_leadership_is_handed_over_is_done_by_who_leads_then",
    ),
    mutation(
        "held-proposals-not-taken-up",
        "what was held is taken in by a leader that leads on",
        _TRANSFER,
        Edit(
            _HANDING_OVER,
            "LeaderHandingOver._lead_on",
            "self.intake.requested += [request for request in transfer.held if not request.is_read]",
            "",
        ),
        scenario=f"{_TEST}::test_a_target_that_falls_silent_holds_nothing_up_for_long",
    ),
    mutation(
        "transfer-never-given-up",
        "a leader whose successor does not stand leads on after an election timeout",
        _TRANSFER,
        Edit(_HANDING_OVER, "LeaderHandingOver._go_on_with_transfer", "if now < transfer.ends_at:", "if True:"),
        scenario=f"{_TEST}::test_a_target_that_falls_silent_holds_nothing_up_for_long",
    ),
)
