"""Mutations of whom a node hears: ids are proven, and who was removed is parted from."""

from __future__ import annotations

from functools import partial

from tests.mutations.mutation import Edit, Mutation, mutation

_OBSERVING = "node/observing.py"

_PERMISSION = "node/permission.py"
_FORMER = "tests/cluster/test_former_members.py::"

_of_impostors = partial(mutation, profile="impostors")

HEARD: tuple[Mutation, ...] = (
    _of_impostors(
        "impostors-are-believed",
        "a node is who its certificate says, and not who it says itself",
        "docs/tls.md",
        Edit(
            "transports/memory_greeting.py",
            "greet",
            "if origin.node_id != sender:",
            "if origin.node_id == endpoint.node_id != sender:",
        ),
    ),
    _of_impostors(
        "strangers-heard-beside-a-leader",
        "a node that has a leader hears nobody else who is no member: one that was removed is to disturb nobody",
        "§6",
        Edit(
            _OBSERVING,
            "Observing.welcome",
            "if state is None or state.leader is not None or len(self._guests) >= _MOST_GUESTS:",
            "if state is None or len(self._guests) >= _MOST_GUESTS:",
        ),
    ),
    _of_impostors(
        "removed-stay-peers",
        "who is removed is parted from, and its connections end",
        "docs/tls.md; §6",
        Edit(
            _OBSERVING,
            "Observing._set_peers",
            "self._transport.set_peers({**self._guests, **peer_addresses(state)})",
            """
            self._guests.update(peer_addresses(state))
            self._transport.set_peers(self._guests)
            """,
        ),
    ),
    mutation(
        "removed-are-trusted",
        "a node's certificate gives rights only while the node is a member",
        "docs/tls.md",
        Edit(
            _PERMISSION,
            "is_trusted",
            "return speaks_for is None or speaks_for(node_id) or any(map(speaks_for, members))",
            "return speaks_for is None or bool(members)",
        ),
        scenario=f"{_FORMER}test_a_certificate_is_worth_what_its_node_is",
    ),
    mutation(
        "newcomers-ask-for-others",
        "one that is no member asks to join in its own name alone",
        "docs/tls.md",
        Edit(_PERMISSION, "refusal_of", "and speaks_for(node_id)", "and bool(node_id)"),
        scenario=f"{_FORMER}test_a_certificate_is_worth_what_its_node_is",
    ),
    mutation(
        "removed-ask-to-join-all-the-same",
        "where operators alone add members, one that was removed is let in by nobody else",
        "docs/tls.md",
        Edit(_PERMISSION, "refusal_of", "(joins and join_requests)", "joins"),
        scenario=f"{_FORMER}test_where_an_operator_has_to_add_it_none_comes_back_that_was_removed",
    ),
)
"""By whom a node lets itself be told anything."""
