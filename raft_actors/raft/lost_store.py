"""What a leader sends can show a node that its store is not the one that its promises are in.

Peers tell a node so when they know it by another store (`node.acquaintances`). Where none does, as the node was removed
and is back, there is the log: an entry that could be committed only with this node's word, and that this store never
had, though the leader says that it is committed. A node that learns the log from its beginning, and takes that for its
own, could be all that it takes to lead, by members that others have replaced.
"""

from __future__ import annotations

from collections.abc import Iterable

from raft_actors.errors import StoreReplaced
from raft_actors.raft.effects import DoubtStore
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.membership_codec import decode_configuration
from raft_actors.raft.persistent_state import StoredConfiguration
from raft_actors.raft.quorum import is_quorum
from raft_actors.raft.state import RaftState

REMEDY = (
    "Its vote and the entries that it acknowledged are not in this store, and the others count on them. Start it on "
    "the files that it had; where they are lost, remove it and add it again (raft-actors remove, raft-actors serve "
    "--join), or start it with rejoin_if_wiped"
)
"""What to do about a node without what it has promised."""


def doubts_of_entries(
    state: RaftState, sender: str, batches: Iterable[EntryBatch], leader_commit: int
) -> list[DoubtStore]:
    """Look at a leader's entries before they are appended; see `doubts_of`."""
    learned = [
        (StoredConfiguration(entry.index, entry.command), batch.term)
        for batch in batches
        if batch.kind is EntryKind.CONFIGURATION
        for entry in batch.entries()
        if state.commit_index < entry.index <= leader_commit
    ]
    return [doubt for one, term in learned for doubt in doubts_of(state, sender, one, term)]


def doubts_of(state: RaftState, sender: str, learned: StoredConfiguration, term: int = 0) -> list[DoubtStore]:
    """Look at a committed configuration before it is taken from another node; what to do where that shows a loss.

    A configuration is followed by another one only once it is committed, by a quorum of its own; but for a joint one,
    which may be taken back before. So where a quorum can't be had without this node, this node has acknowledged it.

    Raises:
        StoreReplaced: it knew before that another store was lost; this one, which was taken in since, is lost as well.
    """
    configuration = decode_configuration(learned.data)
    if configuration.is_joint or state.configurations.hold(learned) or not state.has_vote_in(configuration):
        return []
    if is_quorum(configuration.voters - {state.node_id}, configuration.voters):
        return []
    voters = ", ".join(sorted(configuration.voters))
    error = StoreReplaced(
        f"the members of index {learned.index} (voters {voters}) could not be committed without the word of "
        f"{state.node_id!r}, whose store never had them: its files were lost, or replaced. {REMEDY}"
    )
    if state.must_be_named:
        raise error
    state.doubt_itself()
    return [DoubtStore(sender, learned.index, error, term)]
