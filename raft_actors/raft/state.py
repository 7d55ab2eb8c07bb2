"""What a node carries from role to role: term, vote, log, commit index."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING

import attrs

from raft_actors.config import ClusterConfig, NodeConfig
from raft_actors.errors import InternalError
from raft_actors.raft.configurations import Configurations
from raft_actors.raft.effects import Apply, Consequence, Persist, Refuse, Send
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.features import FEATURES, TURNED_ON, missing
from raft_actors.raft.forwarding import Outbox
from raft_actors.raft.log import Log
from raft_actors.raft.membership import Configuration, Member, Proven
from raft_actors.raft.messages import Message
from raft_actors.raft.persistent_state import (
    CommitSnapshot,
    HardState,
    LogWrite,
    SnapshotMetadata,
    StoredConfiguration,
)
from raft_actors.raft.requests import Handover, Request
from raft_actors.raft.solitude import Solitude
from raft_actors.raft.state_checks import StateChecks
from raft_actors.raft.unresolved import UnresolvedProposals
from raft_actors.records import define

if TYPE_CHECKING:
    from raft_actors.raft.leading.forwarded import ForwardedBatches

#: Far below what persistence can queue, for a few writes (votes, terms) are made however far behind the disk is.
_MOST_UNSYNCED_WRITES = 16_384


def _no_clock() -> float:
    raise InternalError("nobody has handed in a clock")


def _nothing(_peer: str) -> frozenset[str]:
    return frozenset()


def _unproven(_member: str) -> Proven:
    return Proven()


@define(eq=False)
class RaftState:
    """State of the Raft paper's Figure 2 that outlives roles; what only a leader has lives in `Leader`.

    Attributes:
        term, voted_for: as decided; written with the next `persist`.
        written: the term and vote last handed to persistence; never of a higher term than `term`.
        durable: the term and vote on disk; never of a higher term than `written`.
        commit_index: the last entry known to be committed (Figure 2): from the snapshot's to the log's last, and maybe
            beyond `log.durable_index`, for a majority does not need this node's disk.
        boottime: a clock that goes on in suspend, handed in for leases, and for how old a read is.
        monotonic: the clock that timers go by, which may stand still in suspend; for leases, which count on neither.
        lease_over: whether the leader that told this node to stand holds no lease; the candidate takes it.
        features: what this node can do (`raft.features`).
        features_of: what a peer and this node both can do, as the transport knows it now.
        proven: what a member has proven of itself, this node included, as far as is known now.
        turned_on: gates that this node opens as a leader without being asked.
        read_requests: the number of the last `RequestReadIndex`. It begins elsewhere in each life of the node.
        leader: the leader of `term` as far as known; None at a leader, too, that has decided to step down.
        leadership_transfer: whether the leader has told this node to stand; the candidate takes it.
        handover: what this node left behind as a leader that told another to lead, until it hears who does.
        pre_vote_rounds: the number of the last round of pre-votes. It begins at random: no grant is of an earlier life.
        unsynced_bytes: bytes of entries that were handed to persistence and are not yet durable.
        unsynced_writes: how often something was handed to persistence that is not yet done. Each `Persist` that is made
            adds one, so it must be performed, once: else nothing would be noted any more, and this node never stand.
        synced_writes: how often it was done: while this does not grow though something waits, the disk is silent.
        has_just_started: whether no role has begun yet, after a start of the node.
        outbox: proposals on their way to another member, which leads.
        intake_sorts: whether there may be proposals of other kinds than COMMAND.
        forwarded: what others had handed on to this node in the last leadership that it had.
        checks: digests of the replicas' states.
        unresolved: proposals that wait for what becomes of them, though whoever gave them their places leads no more.
        solitude: how long nobody has led this node, which is no member.
        noted_commit_index: the commit index last handed to persistence (see `LogWrite.commit_index`).
        incarnation: of this node's store: a configuration that names another one means another node of this id.
        must_be_named: whether a configuration that names no store does not mean this one either: another one was lost.
        was_named: whether a committed configuration has named it since; then later ones mean it, too.
        stored_configurations: what the store had of them (see `Recovered.configurations`).
        configurations: those in the log. Change the log by the methods here, which keep them in step with it.
        configuration: the one in force, committed or not (§6). All that follows repeats it.
        voter_sets: what the functions of `quorum` take: the voters, and while it is joint, those before.
        voters: everybody with a vote, sorted or not, in either half.
        is_voter: whether this node has one.
        peers: all others that get the log, sorted: voters and learners.
        voting_peers: those of them that vote.
        parting: nodes that are members no more, and that a leader still tells so: id → what was known of it.
    """

    node_id: str
    cluster: ClusterConfig
    config: NodeConfig
    rng: Random
    log: Log
    term: int
    voted_for: str | None
    commit_index: int
    boottime: Callable[[], float] = _no_clock
    features: frozenset[str] = FEATURES
    features_of: Callable[[str], frozenset[str]] = _nothing
    proven: Callable[[str], Proven] = _unproven
    turned_on: frozenset[str] = TURNED_ON
    read_requests: int = 0
    monotonic: Callable[[], float] = _no_clock
    lease_over: bool = False
    leader: str | None = None
    leadership_transfer: bool = False
    handover: Handover | None = None
    pre_vote_rounds: int = 0
    unsynced_bytes: int = 0
    unsynced_writes: int = 0
    synced_writes: int = 0
    incarnation: str = ""
    must_be_named: bool = False
    was_named: bool = False
    stored_configurations: tuple[StoredConfiguration, ...] = ()
    has_just_started: bool = False
    parting: Mapping[str, Member] = attrs.field(factory=dict[str, Member])
    outbox: Outbox = attrs.field(init=False)
    intake_sorts: bool = attrs.field(default=False, init=False)
    forwarded: ForwardedBatches | None = attrs.field(default=None, init=False)
    checks: StateChecks = attrs.field(init=False)
    unresolved: UnresolvedProposals = attrs.field(factory=UnresolvedProposals, init=False)
    solitude: Solitude = attrs.field(factory=Solitude, init=False)
    written: HardState = attrs.field(init=False)
    durable: HardState = attrs.field(init=False)
    noted_commit_index: int = attrs.field(init=False)
    configurations: Configurations = attrs.field(init=False)
    configuration: Configuration = attrs.field(init=False)
    voter_sets: tuple[frozenset[str], ...] = attrs.field(init=False)
    voters: frozenset[str] = attrs.field(init=False)
    is_voter: bool = attrs.field(init=False)
    peers: tuple[str, ...] = attrs.field(init=False)
    voting_peers: tuple[str, ...] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.written = self.durable = HardState(self.term, self.voted_for)
        self.noted_commit_index = self.commit_index
        self.outbox = Outbox(self.config, self.rng)
        self.checks = StateChecks(self.node_id)
        first, snapshot_index = Configuration(self.cluster.voters), self.log.snapshot_index
        self.configurations = Configurations(first, self.stored_configurations, snapshot_index=snapshot_index)
        if self.must_be_named:
            self.was_named |= self.configurations.admit(self.node_id, self.incarnation, self.commit_index)
        self._use_latest_configuration()

    @property
    def is_member(self) -> bool:
        """Whether this node is one by the configuration in force: not before it has joined, nor once it was removed."""
        return self.node_id in self.configuration.ids

    @property
    def has_lost_promises(self) -> bool:
        """Whether its files were lost, and its old votes may count: the store that it has now was not taken in."""
        if self.configurations.another_until(self.node_id, self.incarnation) == self.configurations.latest.index:
            return True
        return self.must_be_named and not (self.was_named or self._is_named_in(self.configuration))

    def _is_named_in(self, configuration: Configuration) -> bool:
        member = configuration.members.get(self.node_id, Member())
        return member.incarnation == self.incarnation and self.configurations.admit(self.node_id, self.incarnation)

    @property
    def was_removed(self) -> bool:
        """Whether this node was a member, with this store, and is none any more; and knows that to be committed."""
        held = self.configurations.latest
        return held.index <= self.commit_index and self.configurations.was_removed(self.node_id, self.incarnation)

    def address_of(self, node_id: str) -> str | None:
        """Where a member is reached; None where that is not known.

        The voters that the cluster began with are where this start names them, unless a later configuration does.
        """
        member = self.configuration.members.get(node_id) or self.parting.get(node_id)
        return (member.address if member else "") or self.cluster.voters.get(node_id)

    # --- the log, and the configurations in it -------------------------------------------------------------------

    def _use_latest_configuration(self) -> None:
        """Have it in force. Nothing that depends on it was written yet, where this raises FeatureMissing."""
        self.configuration = configuration = self.configurations.latest.configuration
        if not configuration.features <= self.features:
            raise missing(configuration.features - self.features)
        self.voter_sets = configuration.voter_sets
        self.voters = configuration.all_voters
        self.is_voter = self.has_vote_in(configuration)
        self.peers = tuple(sorted(configuration.ids - {self.node_id}))
        self.voting_peers = tuple(sorted(self.voters - {self.node_id}))

    def doubt_itself(self) -> None:
        """Have no vote, and give none, before a configuration names the store that this node has now."""
        self.must_be_named = True
        self.is_voter = self.has_vote_in(self.configuration)

    def has_vote_in(self, configuration: Configuration) -> bool:
        """Whether this node has a vote by this configuration: it, not one of the same id whose store was lost."""
        return self.node_id in configuration.all_voters and self._is_meant(configuration.members[self.node_id])

    @property
    def may_be_needed(self) -> bool:
        """Whether the cluster may need this node to lead: it has a vote, or had one before a change under way.

        A leader that removes itself may be alone with the entry that says so. The others then need its vote, and don't
        get it, for its log is longer; so it must stand, and leads without a vote of its own until that entry is
        committed (dissertation §4.2.2).
        """
        if self.is_voter or self.configurations.latest.index <= self.commit_index:
            return self.is_voter
        held = (self.configurations.at(self.commit_index), *self.configurations.since(self.commit_index))
        another_until = self.configurations.another_until(self.node_id, self.incarnation)
        return any(self.has_vote_in(one.configuration) for one in held if one.index > another_until)

    def _is_meant(self, member: Member) -> bool:
        """Whether it is this node that has the vote, not one of the same id whose store was lost, with its promises."""
        if self.was_named or not self.must_be_named:
            return member.incarnation in ("", self.incarnation)
        return member.incarnation == self.incarnation and self.configurations.admit(self.node_id, self.incarnation)

    def append(self, batch: EntryBatch) -> None:
        """Add a batch at the end of the log; a configuration in it takes effect at once."""
        self.log.append(batch)
        if batch.kind is EntryKind.CONFIGURATION:
            self.configurations.append(batch)
            self._use_latest_configuration()

    def truncate(self, from_index: int) -> None:
        """Remove the entries from `from_index` on, and with them the effect of configurations among them."""
        self.log.truncate(from_index)
        if self.configurations.latest.index >= from_index:
            self.configurations.truncate(from_index)
            self._use_latest_configuration()

    def compact(self, snapshot: SnapshotMetadata, first_index: int) -> None:
        """Record a newer snapshot of what is in the log, and forget the entries below `first_index`.

        What was in force where the snapshot before ends is remembered still: that one may be on its way to a follower.
        """
        self.configurations.forget_before(self.log.snapshot_index)
        self.log.compact(snapshot, first_index)

    def reset(self, snapshot: SnapshotMetadata, configuration: StoredConfiguration | None) -> None:
        """Go on after a leader's snapshot, which ends with this configuration, whatever was there before."""
        self.log.reset(snapshot)
        self.configurations.restart(configuration)
        self._use_latest_configuration()

    def election_deadline(self, now: float) -> float:
        """When to stop waiting for a leader: after a time drawn anew from the configured range (§5.2)."""
        return now + self.rng.uniform(*self.config.election_timeout_s)

    def first_deadline(self, now: float) -> float:
        """The same for a node that has just started: after half the time, for it asks the others before it stands.

        Where they hear a leader, they refuse, and nothing has changed anywhere (dissertation §9.6); and half the time
        is still a heartbeat interval or more, after which a leader with a connection has been heard. Who stands
        without asking would depose it, and waits as long as ever. The only voter has nobody to wait for.
        """
        if not self.voting_peers:
            return now
        deadline = self.election_deadline(now)
        return (now + deadline) / 2 if self.config.pre_vote else deadline

    def adopt_term(self, term: int) -> None:
        """Enter a higher term, in which this node has not voted yet."""
        if term <= self.term:
            raise InternalError(f"terms only grow: {self.term} can't become {term}")
        self.term = term
        self.voted_for = None
        self.leader = None

    def vote_for(self, candidate: str) -> None:
        """Give this term's only vote."""
        if self.voted_for not in (None, candidate):
            raise InternalError(f"the vote of term {self.term} went to {self.voted_for!r}, not to {candidate!r}")
        self.voted_for = candidate

    def follow(self, leader: str) -> None:
        """Note who leads this term."""
        if self.leader not in (None, leader):
            raise InternalError(f"two leaders in term {self.term}: {self.leader!r} and {leader!r}")
        if self.leader is None:
            self.solitude.ends()
        self.leader = leader

    def commit(self, index: int) -> None:
        """Advance the commit index."""
        if not self.commit_index <= index <= self.log.last_index:
            raise InternalError(
                f"the commit index can't go from {self.commit_index} to {index} (last index {self.log.last_index})"
            )
        self.commit_index = index
        if self.must_be_named and self._is_named_in(self.configurations.at(index).configuration):
            self.was_named = True  # what follows is about the store that it has now
            self._use_latest_configuration()

    def apply(self, index: int, own: tuple[Request, ...] = (), keep_from: int | None = None) -> list[Apply | Refuse]:
        """What is to be done now that all up to `index` is committed: apply it, and answer what it decides.

        Args:
            own: a leader's proposals and reads that are committed by now.
            keep_from: the first index of one of its proposals that is committed in part.
        """
        if not self.unresolved:
            return [Apply(index, own, keep_from)]
        decided = self.unresolved.decide(self.log, index)
        kept = [index for index in (keep_from, decided.keep_from) if index is not None]
        # A leader's own come after those of terms before.
        return [*decided.refused, Apply(index, (*decided.committed, *own), min(kept, default=None))]

    @property
    def disk_is_behind(self) -> bool:
        """Whether so much waits for this node's disk that it should take on no more: by size, or by number."""
        return self.unsynced_bytes > self.config.max_uncommitted_bytes or self.unsynced_writes > _MOST_UNSYNCED_WRITES

    @property
    def may_stand(self) -> bool:
        """Whether this node may stand: not while its disk is behind, or hangs, where its own vote would wait, too."""
        return not self.unsynced_writes and self.log.durable_index == self.log.last_index

    @property
    def hard_state_changed(self) -> bool:
        """Whether term or vote differ from what persistence was last given."""
        return self.written.term != self.term or self.written.voted_for != self.voted_for

    def persist(
        self, *then: Consequence, truncate_from: int | None = None, entries: tuple[EntryBatch, ...] = ()
    ) -> Persist:
        """The effect that writes a change of the log (made in memory already), and term and vote if they changed; with
        what is known to be committed by now, all of which this write, or one before, makes durable.
        """
        changed = self.hard_state_changed
        if changed:
            self.written = HardState(self.term, self.voted_for)
        write = None
        if changed or entries or truncate_from is not None or self.commit_index > self.noted_commit_index:
            write = LogWrite(self.written if changed else None, truncate_from, entries, self.commit_index)
            self.noted_commit_index = self.commit_index
        size = sum(batch.size for batch in entries)
        self.unsynced_bytes += size
        self.unsynced_writes += 1
        return Persist(write, then, self.written, self.log.epoch, self.log.last_index, size)

    def note_commit(self) -> list[Persist]:
        """The effect that tells the storage of a commit that no write has told it of: none while one is under way."""
        if self.commit_index <= self.noted_commit_index or self.unsynced_writes:
            return []
        return [self.persist()]

    def persist_snapshot(self, commit: CommitSnapshot, *then: Consequence) -> Persist:
        """The effect that makes a written snapshot current (in memory the log was compacted or reset already)."""
        self.unsynced_writes += 1
        return Persist(commit, then, self.written, self.log.epoch, self.log.last_index)

    def reply(self, to: str, message: Message) -> Send | Persist:
        """The effect that sends a message which promises this term and vote: at once if they are on disk, else then."""
        if self.durable.term == self.term and self.durable.voted_for == self.voted_for:
            return Send(to, message)
        return self.persist(Send(to, message))

    def mark_durable(self, persisted: Persist) -> None:
        """Note that a `Persist`, and all before it, are on disk."""
        self.durable = persisted.hard_state
        self.unsynced_bytes -= persisted.size
        self.unsynced_writes -= 1
        self.synced_writes += 1
        self.log.mark_durable(persisted.last_index, persisted.epoch)

    def check(self) -> None:
        """Cheap invariants, looked at after each step.

        Raises:
            InternalError: one does not hold.
        """
        log = self.log
        if not log.snapshot_index <= self.commit_index <= log.last_index:
            order = f"snapshot {log.snapshot_index} ≤ commit {self.commit_index} ≤ last {log.last_index}"
            raise InternalError(f"{order} does not hold")
        if log.durable_index > log.last_index or log.first_index > log.snapshot_index + 1:
            raise InternalError(
                f"durable {log.durable_index} ≤ last {log.last_index}, first {log.first_index} ≤ snapshot "
                f"{log.snapshot_index} + 1 do not hold"
            )
        if self.configurations.latest.index > log.last_index:
            in_force = self.configurations.latest.index
            raise InternalError(f"the configuration at {in_force} is in force, and the log ends at {log.last_index}")
        if not self.durable.term <= self.written.term <= self.term:
            raise InternalError(
                f"durable term {self.durable.term} ≤ written term {self.written.term} ≤ term {self.term} does not hold"
            )
