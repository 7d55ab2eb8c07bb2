"""The safety properties of the Raft paper's Figure 3, looked at while a model cluster runs, by one who sees all."""

from __future__ import annotations

from collections.abc import Sequence

from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.log import Log
from raft_actors.raft.messages import (
    AppendEntriesAccepted,
    InstallSnapshotReply,
    Message,
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
)
from raft_actors.raft.persistent_state import HardState
from raft_actors.raft.quorum import is_quorum
from raft_actors.raft.state import RaftState
from tests.unit.model.disk import Disk


class Checks:
    """Remembers what every node has said, stored and applied, and raises AssertionError where two of them disagree."""

    def __init__(self, disks: dict[str, Disk]) -> None:
        self.disks = disks
        self.leaders: dict[int, str] = {}
        self.votes: dict[tuple[str, int], str] = {}
        self.entries: dict[tuple[int, int], bytes] = {}
        self.previous: dict[tuple[int, int], int] = {}
        self.committed: dict[int, int] = {}
        self.committed_in: dict[int, int] = {}
        self.applied: dict[int, int] = {}
        self.not_proposed: set[bytes] = set()

    # --- said -------------------------------------------------------------------------------------------------

    def sent(self, sender: str, to: str, message: Message) -> None:
        """Durable before sent: whatever a message promises is on its sender's disk."""
        if isinstance(message, RequestPreVote) or (isinstance(message, RequestPreVoteReply) and message.granted):
            return  # of a term that nobody is in yet: it promises nothing
        disk = self.disks[sender]
        assert disk.hard_state.term >= message.term, f"{sender} speaks of a term that it may forget: {message}"
        match message:
            case RequestVoteReply(term, granted=True):
                assert disk.hard_state == HardState(term, to), f"{sender} may forget its vote: {message}"
                assert self.votes.setdefault((sender, term), to) == to, f"{sender} votes twice in term {term}"
            case RequestVote(term):
                assert disk.hard_state == HardState(term, sender), f"{sender} may forget its candidacy: {message}"
                assert self.votes.setdefault((sender, term), sender) == sender, f"{sender} votes twice in term {term}"
            case AppendEntriesAccepted(_, match_index):
                assert disk.last_index >= match_index, f"{sender} may forget what it accepted: {message}"
            case InstallSnapshotReply(_, snapshot, _, installed=True):
                assert disk.last_index >= snapshot.index, f"{sender} may forget what it installed: {message}"
            case _:
                pass

    # --- election safety, leader completeness -----------------------------------------------------------------

    def leads(self, state: RaftState) -> None:
        """At most one leader a term (Election Safety), whose log holds all that was committed in earlier terms."""
        term = state.term
        assert self.leaders.setdefault(term, state.node_id) == state.node_id, f"two leaders in term {term}"
        for index, entry_term in self.committed.items():
            if self.committed_in[index] < term and index >= state.log.first_index:
                assert state.log.term_at(index) == entry_term, f"the leader of {term} lacks committed entry {index}"

    # --- log matching -----------------------------------------------------------------------------------------

    def wrote(self, log: Log, batches: Sequence[EntryBatch]) -> None:
        """Entries of one index and term are the same, and so are all before them (Log Matching)."""
        for batch in batches:
            previous = log.term_at(batch.first_index - 1)
            for entry in batch.entries():
                key = (entry.index, entry.term)
                assert self.entries.setdefault(key, entry.command) == entry.command, f"two entries {key}"
                if previous is not None:
                    assert self.previous.setdefault(key, previous) == previous, f"two entries before {key}"
                previous = entry.term

    # --- commitment -------------------------------------------------------------------------------------------

    def commits(self, state: RaftState, before: int, *, leads: bool) -> None:
        """What is committed never changes; what a leader commits is on the disks of a majority."""
        for index in range(before + 1, state.commit_index + 1):
            term = state.log.term_at(index)
            if term is None:
                continue
            assert self.committed.setdefault(index, term) == term, f"entry {index} is committed twice, differently"
            self.committed_in.setdefault(index, state.term)
            if leads:
                holders = {node_id for node_id, disk in self.disks.items() if disk.covers(index, term)}
                assert is_quorum(holders, *state.voter_sets), f"entry {index} is committed and on the disks {holders}"

    def applies(self, index: int, digest: int) -> None:
        """All state machines go through the same states (State Machine Safety)."""
        assert self.applied.setdefault(index, digest) == digest, f"state machines differ at {index}"

    def outcome(self, index: int, commands: Sequence[bytes]) -> None:
        """A proposal that is about to be answered is what was committed at its index."""
        for offset, command in enumerate(commands):
            term = self.committed[index + offset]
            assert self.entries[index + offset, term] == command, f"entry {index + offset} is not what was proposed"

    def finally_applied(self, commands: set[bytes]) -> None:
        """What was refused as not proposed has not taken effect."""
        assert not self.not_proposed & commands, "a command that was refused was applied"
