"""What a peer must be able to do before it is sent certain messages: names that nodes greet each other with.

A name keeps its meaning for ever. What a node does where a peer lacks one stands where the name is used.
"""

from __future__ import annotations

READ_INDEX = "read-index"
"""It answers `ConfirmLeader` and, as a leader, `RequestReadIndex`."""

MEMBERSHIP = "membership"
"""It knows entries of kind CONFIGURATION, snapshots that say which one was in force, and `RequestLeave`."""

SESSIONS = "sessions"
"""It reads entries of kind SESSION, and snapshots with sessions in them."""

FORWARDING = "forwarding"
"""It answers `ForwardProposals`."""
