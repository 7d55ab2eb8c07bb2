"""Mutations of whom a node hears: ids are proven, and who was removed is parted from."""

from __future__ import annotations

from functools import partial

from tests.mutations.mutation import Edit, Mutation, mutation

_OBSERVING = "node/observing.py"

_of_impostors = partial(mutation, profile="impostors")

HEARD: tuple[Mutation, ...] = (
    _of_impostors(
        "impostors-are-believed",
        "a node is who its certificate says, and not who it says itself",
        "docs/tls.md",
        Edit(
            "transports/memory.py",
            "MemoryTransport._greet",
            "if origin.node_id != sender:",
            "if origin.node_id == self.node_id != sender:",
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
)
"""By whom a node lets itself be told anything."""
