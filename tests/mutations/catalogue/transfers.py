"""Mutations of handing leadership over: who is told to stand, when, and what becomes of what waits."""

from __future__ import annotations

from tests.mutations.mutation import Edit, Mutation, mutation

_HANDING_OVER = "raft/roles/leader_handing_over.py"
_LEADER = "raft/roles/leader.py"

_TRANSFER = "dissertation §3.10"
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
)
