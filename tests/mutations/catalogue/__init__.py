"""All mutations, by what they break."""

from __future__ import annotations

from tests.mutations.catalogue import application, durability, elections, replication, snapshots
from tests.mutations.mutation import Mutation

CATALOGUE: dict[str, tuple[Mutation, ...]] = {
    "Votes": elections.VOTES,
    "Terms and leadership": elections.TERMS,
    "The log of a follower": replication.FOLLOWERS_LOG,
    "The log of a leader, and what it sends": replication.LEADERS_LOG,
    "Commitment": replication.COMMITMENT,
    "Durable before sent": durability.DURABLE_BEFORE_SENT,
    "Writes and restarts": durability.WRITES_AND_RESTARTS,
    "Snapshots taken": snapshots.TAKEN,
    "Snapshots sent and installed": snapshots.INSTALLED,
    "Applying": application.APPLIED,
    "Answers and bounds": application.ANSWERS,
}
"""Heading → its mutations."""

GAPS: dict[str, str] = {
    "stale-reply-accepted": (
        "a node must lead twice, lose entries in between that others had acknowledged, and hear of that late"
    ),
    "terms-of-removed-entries-stay": (
        "a log must be cut just where a term begins, and be looked at again before it is overwritten"
    ),
    "stale-durable-ack-counts": (
        "entries must be overwritten while they are on their way to the disk, and be looked at before "
        "the second write is done"
    ),
    "stale-durable-ack-counts-after-snapshot": "a snapshot must replace a log that is still on its way to the disk",
    "terms-of-removed-entries-stay-on-disk": (
        "a log must be cut just where a term begins, and its node be restarted before it is overwritten"
    ),
    "conflicting-log-stays-on-disk": (
        "a snapshot must come to a node whose own entries reach as far as the snapshot does, and contradict it"
    ),
    "old-snapshot-installed": "what a snapshot covers must be committed here while the snapshot is being received",
    "conflicting-log-kept": (
        "a snapshot must come to a node whose own entries reach as far as the snapshot does, and contradict it"
    ),
    "chunks-in-any-order": "a chunk must come twice, in the middle of a snapshot",
    "next-chunk-never-sent": "a snapshot of several chunks must be needed when all is healed",
    "applies-what-a-snapshot-has-replaced": (
        "a snapshot must replace a log while its entries are being applied from the disk"
    ),
    "read-placed-before-the-entry": (
        "an acknowledgement must be on its way while another leader is elected and commits"
    ),
    "refused-but-proposed": (
        "the leader's disk must fall far behind, and a change that is made again each time be proposed then"
    ),
    "disk-backlog-leaked": "clients must propose many huge commands, with small bounds",
    "disk-backlog-without-bound": "clients must propose many huge commands while a leader waits for its disk",
}
"""Mutations that have not been caught so far, and what it would take: name → reason. They are run only by name."""

EVERY: dict[str, Mutation] = {mutation.name: mutation for group in CATALOGUE.values() for mutation in group}
"""All by name, the gaps included."""

MUTATIONS: dict[str, Mutation] = {name: mutation for name, mutation in EVERY.items() if name not in GAPS}
"""All that must be caught, by name."""
