"""Whether the replicas' state machines are in the same state: a comparison of digests taken at the same index.

Every member takes them at the same places of the log, and tells all others. Nobody collects them: each judges by
itself, by what a majority of the voters has. So it does not matter who leads, whether the leader is the one that is
wrong, or which term it is; and a digest that is lost on the way only makes that place say less. The next says more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from raft_actors.errors import StateDiverged
from raft_actors.raft.quorum import is_quorum
from raft_actors.records import frozen

#: Digests remembered of each member, its latest: some replicas apply later than others.
_REMEMBERED = 8


@frozen
class Difference:
    """Members that have come to different states by the same commands.

    Attributes:
        index: the last entry applied.
        digests: member → digest of its state there, of those that have told.
        error: what this node ends with; None: it goes on, since a majority has its state, or may have it still.
    """

    index: int
    digests: Mapping[str, bytes]
    error: StateDiverged | None = None


class StateChecks:
    """The digests that a node knows of: its own, and those that other members have told."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id
        self._digests: dict[str, dict[int, bytes]] = {}

    def note(self, node_id: str, index: int, digest: bytes) -> None:
        """Remember a member's digest, whatever it told of that index in a life before."""
        known = self._digests.setdefault(node_id, {})
        known.pop(index, None)
        known[index] = digest
        if len(known) > _REMEMBERED:
            del known[next(iter(known))]

    def forget_others(self, members: Collection[str]) -> None:
        """Remember nothing of those that are no members any more."""
        self._digests = {node: known for node, known in self._digests.items() if node in members}

    def compare(self, index: int, *voter_sets: Collection[str]) -> Difference | None:
        """Compare what is known of an index; None where nothing is wrong, or this node has no state of it.

        This node's state is wrong where a majority of each set of voters has another one; and so is everybody's where
        none can have a majority any more.
        """
        known = {node: digests[index] for node, digests in self._digests.items() if index in digests}
        own = known.get(self._node_id)
        if own is None or all(digest == own for digest in known.values()):
            return None
        known = dict(sorted(known.items()))
        unknown = {voter for voters in voter_sets for voter in voters} - known.keys()
        agreed, open_still = None, not any(voter_sets)
        for digest in set(known.values()):
            holders = {node for node, held in known.items() if held == digest}
            if any(voter_sets) and is_quorum(holders, *voter_sets):
                agreed = digest
            open_still = open_still or is_quorum(holders | unknown, *voter_sets)
        wrong = agreed != own if agreed is not None else not open_still
        error = (
            StateDiverged(self._node_id, index, {node: held.hex() for node, held in known.items()}) if wrong else None
        )
        return Difference(index, known, error)
