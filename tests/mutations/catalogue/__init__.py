"""All mutations, by what they break."""

from __future__ import annotations

from tests.mutations.catalogue import (
    admission,
    application,
    clients,
    durability,
    elections,
    elections_pre_vote,
    gates,
    hearing,
    identity,
    leaderships,
    leases,
    membership,
    reads,
    replication,
    sessions,
    snapshots,
    transfers,
)
from tests.mutations.mutation import Mutation

CATALOGUE: dict[str, tuple[Mutation, ...]] = {
    "Votes": elections.VOTES,
    "Pre-votes": elections_pre_vote.PRE_VOTES,
    "Terms and leadership": elections.TERMS,
    "Word of a leader": leaderships.WORD_OF_A_LEADER,
    "Leaders that stay, and leaders that go": leaderships.CONTACT,
    "Leadership handed over": transfers.TRANSFERS,
    "The log of a follower": replication.FOLLOWERS_LOG,
    "The log of a leader, and what it sends": replication.LEADERS_LOG,
    "Commitment": replication.COMMITMENT,
    "Durable before sent": durability.DURABLE_BEFORE_SENT,
    "Writes and restarts": durability.WRITES_AND_RESTARTS,
    "Snapshots taken": snapshots.TAKEN,
    "Snapshots sent and installed": snapshots.INSTALLED,
    "Applying": application.APPLIED,
    "Answers and bounds": application.ANSWERS,
    "Reads without the log": reads.READ_INDEX,
    "Leases": leases.LEASES,
    "How much is let in": admission.ADMISSION,
    "Configurations": membership.CONFIGURATIONS,
    "Changes of members": membership.CHANGES,
    "Members that come and go": membership.WHO,
    "What members say of themselves": identity.SAID,
    "Stores that lack what their nodes have promised": identity.FORGOTTEN,
    "Who is heard": hearing.HEARD,
    "Features of the whole cluster": gates.GATES,
    "Outcomes": sessions.OUTCOMES,
    "Forwarding": sessions.FORWARDING,
    "Sessions": sessions.SESSIONS,
    "Clients": clients.CLIENTS,
}
"""Heading → its mutations."""

GAPS: dict[str, str] = {}
"""Mutations that have not been caught so far, and what it would take: name → reason. They are run only by name."""

EVERY: dict[str, Mutation] = {mutation.name: mutation for group in CATALOGUE.values() for mutation in group}
"""All by name, the gaps included."""

MUTATIONS: dict[str, Mutation] = {name: mutation for name, mutation in EVERY.items() if name not in GAPS}
"""All that must be caught, by name."""
