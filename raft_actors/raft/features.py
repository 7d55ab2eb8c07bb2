"""What nodes can do beyond the version of the protocol: names that they greet each other with.

A name keeps its meaning for ever. There are two kinds of them:

- what a single peer must be able to do before it is sent certain messages. What a node does where a peer lacks one
  stands where the name is used;
- what all members must be able to do, for it is about the log, which all of them apply: a *gate*. It is used from the
  configuration on that names it (`membership.Configuration.features`), an entry like any other change of members, which
  a leader appends only while every member is there and has greeted it with the name. From then on it is on, whoever
  leads, for good: who lacks it is refused, and ends with `FeatureMissing` where its own log says so. So it does not
  matter who was upgraded first, and no entry comes before the word that all can apply it.

What was in `FEATURES` before there were gates needs none: every version that is promised to work with this one has it.
"""

from __future__ import annotations

from collections.abc import Iterable

from raft_actors.errors import FeatureMissing

IDENTITY = "identity"
"""It says the incarnation of its store."""

READ_INDEX = "read-index"
"""It answers `ConfirmLeader` and, as a leader, `RequestReadIndex`."""

MEMBERSHIP = "membership"
"""It knows entries of kind CONFIGURATION, snapshots that say which one was in force, and `RequestLeave`."""

SESSIONS = "sessions"
"""It reads entries of kind SESSION, and snapshots with sessions in them."""

FORWARDING = "forwarding"
"""It answers `ForwardProposals`."""

CLIENTS = "clients"
"""It serves clients that are no members."""

PRIORITY = "priority"
"""A gate: it keeps the priorities of members (`Member.priority`), and as a leader gives way to higher ones."""

STATE_DIGESTS = "state-digests"
"""It compares `StateDigest` with its own state's."""

FEATURES: frozenset[str] = frozenset(
    {IDENTITY, MEMBERSHIP, READ_INDEX, FORWARDING, SESSIONS, CLIENTS, PRIORITY, STATE_DIGESTS}
)
"""All that this version can do."""

TURNED_ON: frozenset[str] = frozenset()
"""Gates that a leader opens by itself as soon as every member can pass them. All others wait until something that needs
them is asked for, and until then leave the way back to an older version open."""


def missing(features: Iterable[str]) -> FeatureMissing:
    """What a node ends with that can't do these."""
    names = ", ".join(sorted(features))
    return FeatureMissing(
        f"the cluster uses what this version of raft_actors can't do: {names}. That was turned on when "
        "every member could, and stays on: upgrade raft_actors on this node"
    )
