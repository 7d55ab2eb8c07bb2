"""Mutations of what is turned on for the whole cluster. Where they run seeds, those are of the profile "versions"."""

from __future__ import annotations

from functools import partial

from tests.mutations.mutation import Edit, Mutation, mutation

_GATES = "raft/leading/gates.py"
_MEMBERSHIP = "raft/membership.py"
_STATE = "raft/state.py"

_SOURCE = "docs/architecture.md, Gates"

_of_versions = partial(mutation, profile="versions")

GATES: tuple[Mutation, ...] = (
    _of_versions(
        "gate-opened-without-asking",
        "what not all members can do is not turned on",
        _SOURCE,
        Edit(_GATES, "Gates._why_not", "if feature not in self._state.features_of(peer):", "if False:"),
    ),
    mutation(
        "gate-opened-for-voters-alone",
        "learners apply the log too, so they are asked as well",
        _SOURCE,
        Edit(
            _GATES,
            "Gates.opened_for",
            "for peer in sorted(self._contact.last_contact.keys() | (changed.ids - {self._state.node_id})):",
            "for peer in self._state.voting_peers:",
        ),
        scenario="tests/cluster/test_gates.py::test_a_change_that_a_learner_can_not_read_is_refused_until_it_can",
    ),
    _of_versions(
        "change-needs-no-gate",
        "a change that needs a feature turns it on",
        _SOURCE,
        Edit(_GATES, "Gates.opened_for", "return turn_on(changed, needed) or changed", "return changed"),
    ),
    _of_versions(
        "change-of-voters-closes-gates",
        "what is turned on stays on, whatever becomes of the members",
        _SOURCE,
        Edit(
            _MEMBERSHIP,
            "next_configuration",
            "return attrs.evolve(current, learners=left, goal=None, members=_of(current.members, staying))",
            "return Configuration(current.voters, left, members=_of(current.members, staying))",
        ),
    ),
    _of_versions(
        "cancelled-change-closes-gates",
        "what is turned on stays on where a change is given up, too",
        _SOURCE,
        Edit(
            _MEMBERSHIP,
            "_settled",
            "members = _of(current.members, voters | learners)",
            """
            members = _of(current.members, voters | learners)
            current = attrs.evolve(current, features=frozenset())
            """,
        ),
    ),
    _of_versions(
        "gate-that-can-not-be-passed",
        "a node that can't do what is turned on ends",
        _SOURCE,
        Edit(
            _STATE,
            "RaftState._use_latest_configuration",
            "if not configuration.features <= self.features:",
            "if False:",
        ),
    ),
)
"""What is turned on, when, and for how long."""
