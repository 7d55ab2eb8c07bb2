"""The leader: appends, replicates, commits (§5.3, §5.4), and steps down when it has lost touch with the majority."""

from __future__ import annotations

from collections import deque

from raft_actors.errors import InternalError, LeadershipLost, Overloaded
from raft_actors.raft import inputs
from raft_actors.raft.effects import (
    AnnounceCommit,
    Apply,
    Beat,
    Become,
    Effect,
    Feed,
    Refuse,
    ReplicateTo,
    WakeReplicators,
)
from raft_actors.raft.entries import BATCH_OVERHEAD, ENTRY_OVERHEAD, EntryBatch, EntryKind
from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    AppendEntriesRejected,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
)
from raft_actors.raft.quorum import quorum_value
from raft_actors.raft.requests import Request
from raft_actors.raft.roles.role import Role
from raft_actors.raft.state import RaftState
from raft_actors.raft.transitions import RoleName

#: How long, at least, a disk may do nothing before its leader steps down: none needs so long unless something is wrong,
#: however short the election timeouts are.
_LEAST_DISK_PATIENCE_S = 0.8

_ANNOUNCE_COMMIT = AnnounceCommit()  # one for all: a busy leader needs thousands a second


class Leader(Role):
    """The leader of one term.

    Attributes:
        term: the term that it leads; the state's own may be higher already when it leaves.
        match_index: follower → last entry known to be durable there (Figure 2). Its own is `Log.durable_index`: the
            leader's disk is one vote like any other, written in parallel with sending (dissertation §10.2.1).
        last_contact: follower → when it last answered, on the node's clock.
        looked_at: when it last looked whether a majority still answers it, likewise.
        disk_seen_at: when it last saw that its own disk works or has nothing to do, likewise.
        awaiting: proposals and reads whose entry is not committed yet, in log order.
    """

    name = RoleName.LEADER

    def __init__(self, state: RaftState) -> None:
        super().__init__(state)
        self.term = state.term
        self.match_index: dict[str, int] = dict.fromkeys(state.peers, 0)
        self.last_contact: dict[str, float] = {}
        self.looked_at = 0.0
        self.disk_seen_at = 0.0
        self._synced_writes = 0
        self.awaiting: deque[Request] = deque()
        self._requested: list[Request] = []

    def start(self, now: float) -> list[Effect]:
        """Lead: an entry of this term is needed before anything older can be known to be committed (§5.4.2, §8)."""
        state = self.state
        state.follow(state.node_id)
        self.deadline = now + state.config.heartbeat_interval_s
        self.last_contact = dict.fromkeys(state.peers, now)
        self.looked_at = self.disk_seen_at = now
        self._synced_writes = state.synced_writes
        replicate = ReplicateTo(state.peers, next_index=state.log.last_index + 1)
        return [replicate, *self._append([self._noop()])]

    # --- time ------------------------------------------------------------------------------------------------

    def on_deadline(self, now: float) -> list[Effect]:
        """A heartbeat is due. A leader that a majority has not answered for long steps down (dissertation §6.2).

        One that was held up has not listened, and maybe not asked: it beats first, and looks when the next is due.
        """
        config = self.state.config
        held_up = now - self.deadline > config.heartbeat_interval_s
        self.deadline = now + config.heartbeat_interval_s
        if not held_up:
            self.looked_at = now
            contacts = {**self.last_contact, self.state.node_id: now}
            silence = now - quorum_value(contacts, self.state.voters)
            if config.check_quorum and silence > config.election_timeout_s[1]:
                self.state.leader = None
                return [Become(RoleName.FOLLOWER)]
        if self._disk_hangs(now, held_up=held_up):
            self.state.leader = None
            return [Become(RoleName.FOLLOWER)]
        return [Beat(self._silent_followers(now)), *self.state.note_commit()]

    def _disk_hangs(self, now: float, *, held_up: bool) -> bool:
        """Whether others lead better: writes wait, the disk has done none for long, and a majority is ahead of it.

        Its own vote is not needed to commit, so a leader whose disk hangs would go on until its memory is full, and
        then refuse everything. Where the others' disks hang too, nothing is gained by an election.
        """
        state = self.state
        if held_up or not state.unsynced_writes or state.synced_writes != self._synced_writes:
            self._synced_writes = state.synced_writes
            self.disk_seen_at = now
            return False
        patience_s = max(state.config.election_timeout_s[1], _LEAST_DISK_PATIENCE_S)
        return now - self.disk_seen_at >= patience_s and state.commit_index > state.log.durable_index

    def _silent_followers(self, now: float) -> frozenset[str]:
        half_s = self.state.config.election_timeout_s[1] / 2
        return frozenset([peer for peer, contact in self.last_contact.items() if now - contact >= half_s])

    # --- proposals and reads ---------------------------------------------------------------------------------

    def on_requests(self, requests: list[Request]) -> list[Effect]:
        """Collect them for the batch at the end of the step."""
        if self.state.disk_is_behind:
            return self._refuse_for_disk(requests)
        self._requested += requests
        return []

    def _refuse_for_disk(self, requests: list[Request]) -> list[Effect]:
        """A majority can commit without this disk; were more taken on all the same, memory would fill behind it."""
        state = self.state
        behind = f"{state.unsynced_bytes:,} bytes and {state.unsynced_writes:,} writes behind"
        limit = f"max_uncommitted_bytes {state.config.max_uncommitted_bytes:,}"
        error = f"this leader's disk is {behind} ({limit})"
        return [Refuse(request, Overloaded(error)) for request in requests]

    def end_of_step(self, now: float) -> list[Effect]:
        """Append what was proposed during the step as few batches, and place the reads behind it.

        A read is answered when an entry that was appended after the read arrived has been committed and applied here:
        had another leader committed anything meanwhile, that entry could not commit in this term (§8).
        """
        requested = self._requested
        if not requested:
            return []
        self._requested = []
        proposed = [request for request in requested if not request.is_read]
        batches = self._encode(proposed) if proposed else [self._noop()]
        self.awaiting += proposed
        if len(proposed) < len(requested):
            self._place_reads(requested, batches[-1].last_index)
        return self._append(batches)

    def _place_reads(self, requested: list[Request], index: int) -> None:
        for request in requested:
            if request.is_read:
                request.index = request.last_index = index
                self.awaiting.append(request)

    def _noop(self) -> EntryBatch:
        return EntryBatch.encode(self.state.log.last_index + 1, self.state.term, EntryKind.NOOP, [b""])

    def _encode(self, proposed: list[Request]) -> list[EntryBatch]:
        """Give each proposal its indexes, and encode all commands in batches of about `max_append_bytes`."""
        index = first_index = self.state.log.last_index + 1
        commands: list[bytes] = []
        for proposal in proposed:
            own = proposal.commands
            proposal.index = index
            index += len(own)
            proposal.last_index = index - 1
            commands += own
        size = BATCH_OVERHEAD + ENTRY_OVERHEAD * len(commands) + sum(map(len, commands))
        if size <= self.state.config.max_append_bytes:
            return [EntryBatch.encode(first_index, self.state.term, EntryKind.COMMAND, commands)]
        return self._encode_split(first_index, commands)

    def _encode_split(self, first_index: int, commands: list[bytes]) -> list[EntryBatch]:
        limit = self.state.config.max_append_bytes
        batches: list[EntryBatch] = []
        start, size = 0, BATCH_OVERHEAD
        for position, command in enumerate(commands):
            needed = len(command) + ENTRY_OVERHEAD
            if position > start and size + needed > limit:
                batches.append(self._command_batch(first_index + start, commands[start:position]))
                start, size = position, BATCH_OVERHEAD
            size += needed
        batches.append(self._command_batch(first_index + start, commands[start:]))
        return batches

    def _command_batch(self, first_index: int, commands: list[bytes]) -> EntryBatch:
        return EntryBatch.encode(first_index, self.state.term, EntryKind.COMMAND, commands)

    def _append(self, batches: list[EntryBatch]) -> list[Effect]:
        for batch in batches:
            self.state.log.append(batch)
        return [self.state.persist(entries=tuple(batches)), WakeReplicators()]

    # --- replies ---------------------------------------------------------------------------------------------

    def on_durable(self, item: inputs.Durable, now: float) -> list[Effect]:
        """Its own disk has caught up: count it."""
        return super().on_durable(item, now) + self._advance_commit()

    def on_append_entries_accepted(self, sender: str, message: AppendEntriesAccepted, now: float) -> list[Effect]:
        """Count it, and let the replicator send more."""
        self.last_contact[sender] = now
        if message.match_index > self.state.log.last_index:
            raise InternalError(
                f"{sender!r} claims to match up to {message.match_index}, this log ends at {self.state.log.last_index}"
            )
        effects: list[Effect] = [Feed(sender, message)]
        if message.match_index > self.match_index[sender]:
            self.match_index[sender] = message.match_index
            effects += self._advance_commit()
        return effects

    def on_append_entries_rejected(self, sender: str, message: AppendEntriesRejected, now: float) -> list[Effect]:
        """Let the replicator go back to where the logs agree."""
        return self._feed(sender, message, now)

    def on_install_snapshot_reply(self, sender: str, message: InstallSnapshotReply, now: float) -> list[Effect]:
        """Let the replicator send the next chunk. An installed snapshot counts as a match, however late it is told."""
        effects = self._feed(sender, message, now)
        if message.installed and message.snapshot.index > self.match_index[sender]:
            self.match_index[sender] = message.snapshot.index
            effects += self._advance_commit()
        return effects

    def _feed(self, sender: str, message: Message, now: float) -> list[Effect]:
        self.last_contact[sender] = now
        return [Feed(sender, message)]

    def _advance_commit(self) -> list[Effect]:
        """Commit what a majority holds, if the last of it is of this term (§5.3, §5.4.2, Figure 8)."""
        state = self.state
        matches = {**self.match_index, state.node_id: state.log.durable_index}
        index = int(quorum_value(matches, state.voters))
        if index <= state.commit_index or state.log.term_at(index) != state.term:
            return []
        state.commit(index)
        committed: list[Request] = []
        awaiting = self.awaiting
        while awaiting and awaiting[0].last_index <= index:
            committed.append(awaiting.popleft())
        # A proposal of several batches may be committed as far as its first ones.
        keep_from = awaiting[0].index if awaiting and (awaiting[0].index or 0) <= index else None
        return [Apply(index, tuple(committed), keep_from), _ANNOUNCE_COMMIT]

    # --- the end ---------------------------------------------------------------------------------------------

    def leave(self) -> list[Effect]:
        """Tell every proposer what is known: nothing was proposed, or the outcome is open."""
        effects: list[Effect] = [
            Refuse(outcome, LeadershipLost(self.term, None if outcome.is_read else outcome.index))
            for outcome in self.awaiting
        ]
        effects += [Refuse(request, self.not_leader()) for request in self._requested]
        self.awaiting.clear()
        self._requested.clear()
        return effects

    def on_append_entries(self, sender: str, message: AppendEntries, now: float) -> list[Effect]:
        """Impossible: a term has one leader (§5.2, Figure 3)."""
        raise InternalError(f"{sender!r} and this node {self.state.node_id!r} both lead term {message.term}")

    def on_install_snapshot(self, sender: str, message: InstallSnapshot, now: float) -> list[Effect]:
        """Impossible: a term has one leader (§5.2, Figure 3)."""
        raise InternalError(f"{sender!r} and this node {self.state.node_id!r} both lead term {message.term}")
