"""Settings: what every node of a cluster must agree on, and what one node chooses for itself."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import attrs

from raft_actors.errors import ConfigurationError
from raft_actors.records import frozen

KIB = 1024
MIB = 1024 * KIB

MAX_SIZE_BYTES = 512 * MIB
"""No command, append or snapshot chunk may be configured to be larger: all that any node may have to take as one
message, and to write as one piece."""

MAX_MESSAGE_BYTES = 2 * MAX_SIZE_BYTES
"""The largest message that a node takes: room for all that goes with the largest thing in it. Not a matter of its own
settings: a follower has to take whatever the leader has committed, of whatever size it was accepted."""

_MOST_CLOCK_ERROR = 0.2

#: Nodes say them to each other when they greet, in a message of a bounded size.
_MOST_SKIPPED = 64

_SIZES = ("max_command_bytes", "max_append_bytes", "snapshot_chunk_bytes")


def _frozen_addresses(voters: Mapping[str, str]) -> Mapping[str, str]:
    return dict(sorted(voters.items()))


def _sorted_digests(digests: Mapping[int, str]) -> Mapping[int, str]:
    for index, digest in digests.items():
        if type(index) is not int or index < 1 or re.fullmatch("[0-9a-f]{16}", str(digest)) is None:
            raise ConfigurationError(
                "skipped_commands maps log indexes to digests, as the error that ended a node names them, not "
                f"{index!r} to {digest!r}"
            )
    if len(digests) > _MOST_SKIPPED:
        raise ConfigurationError(f"skipped_commands may name {_MOST_SKIPPED} commands, not {len(digests)}")
    return dict(sorted(digests.items()))


def _check_name(what: str, name: object) -> None:
    """Names are stored, sent as UTF-8, and stand in log lines and in replies that end with their line."""
    if not isinstance(name, str) or not 1 <= len(name) <= 255 or not name.isprintable():
        raise ConfigurationError(f"{what} must be a string of 1 to 255 printable characters, not {name!r}")


@frozen
class Leases:
    """Leases of leaders, for `Lease` reads and `Node.while_leading`. Every node must have the same.

    Attributes:
        duration_s: how long a leader may answer reads by itself after a majority has confirmed it. After a failover the
            new leader waits as long before it commits (not after a transfer of leadership); reads go on. At least twice
            the heartbeat interval.
        clock_error: the largest error of any node's clock rate, as a fraction. Real clocks are off by some 0.0001; the
            margin costs little: it lengthens the wait after a failover.
    """

    duration_s: float = 1.0
    clock_error: float = 0.01

    def __attrs_post_init__(self) -> None:
        if not 0 < self.duration_s < math.inf:
            raise ConfigurationError(f"a lease's duration_s must be positive, not {self.duration_s}")
        if not 0 <= self.clock_error <= _MOST_CLOCK_ERROR:
            raise ConfigurationError(
                f"clock_error is a share from 0 to {_MOST_CLOCK_ERROR}, not {self.clock_error}: with worse clocks than "
                "that no lease is worth its wait"
            )

    def __str__(self) -> str:
        """As nodes say it to each other: equal texts are equal settings."""
        return f"leases of {self.duration_s!r} s, clocks off by {self.clock_error!r}"

    @property
    def wait_s(self) -> float:
        """How long, on a clock that may be too fast, until a lease has ended on one that may be too slow."""
        return self.duration_s * (1 + self.clock_error) / (1 - self.clock_error)


@frozen
class ClusterConfig:
    """What all nodes of one cluster share.

    Attributes:
        cluster_id: the cluster's name. Nodes of other clusters are refused, and so are their stores.
        voters: node id → address, for every voting member. The id is the identity; an address may change between
            runs. The set of ids may not: it is kept in the store, and compared at every start and between nodes. What
            an address looks like is the transport's affair (`host:port` for TCP; unused in memory).
        leases: whether leaders hold leases, and which; None: they don't. Nodes refuse each other where it differs. To
            change it, stop all nodes, and start them with the other setting: one that knows nothing of another's lease
            does not wait for its end.
        skipped_commands: log index → digest of commands that all nodes skip, because applying them would crash each
            one. The error that ended a node gives both. Set it on every node before any is started, and only if none
            has applied the command: one that has would diverge. A node whose log has another command at that index
            ends, and nodes with different lists refuse each other.
    """

    cluster_id: str
    voters: Mapping[str, str] = attrs.field(factory=dict[str, str], converter=_frozen_addresses)
    leases: Leases | None = attrs.field(default=None, kw_only=True)
    skipped_commands: Mapping[int, str] = attrs.field(factory=dict[int, str], converter=_sorted_digests, kw_only=True)

    def __attrs_post_init__(self) -> None:
        _check_name("cluster_id", self.cluster_id)
        for node_id in self.voters:
            _check_name("a node's id", node_id)

    @property
    def skipped_text(self) -> str:
        """`skipped_commands` as nodes say them to each other: equal texts are equal lists; empty for none."""
        return ", ".join(f"{index}: {digest}" for index, digest in self.skipped_commands.items())


@frozen(kw_only=True)
class NodeConfig:
    """What one node chooses for itself. The defaults suit a local network; sizes are bytes, times seconds.

    Attributes:
        election_timeout_s: a follower that hears no leader for a time drawn from this range starts an election
            (§5.2, §9.3); after a start of the node, half of that time, unless `pre_vote` is off. Shorter: faster
            failover, more needless elections on a slow or busy machine.
        heartbeat_interval_s: how often an idle leader speaks. At most half of the shortest election timeout, of this
            node and of every other: nodes of which one would depose the other for that refuse each other. Shorter: more
            CPU while idle, and sooner known what was lost on the way.
        check_quorum: a leader that has not heard from a majority for the longest election timeout steps down, so
            that readers and new proposers get an answer instead of waiting for a partition to heal (dissertation §6.2).
        pre_vote: before a node raises its term it asks whether it would be elected, so that one that was cut off, or
            hears nothing, deposes no leader that a majority hears (dissertation §9.6); and one whose connection to the
            leader breaks asks at once. Should be the same on every node.
        max_command_bytes: the largest encoded command that this node takes from its callers. Every node takes whatever
            a leader has accepted, so it may differ between nodes, and be lowered. At most 512 MiB, as are the next one
            and `snapshot_chunk_bytes`.
        max_append_bytes: entries in one AppendEntries message; a single larger command still goes, alone.
        max_inflight_appends: AppendEntries sent to one follower and not yet answered.
        max_inflight_bytes: the same in bytes; more is not sent until answers come.
        max_uncommitted_bytes: commands accepted by a leader and not yet applied; beyond it `propose` waits and
            `propose_nowait` is refused.
        max_pending_proposals: the same as a number of proposals and reads.
        congestion_delay_s: admit fewer proposals at a time where one takes longer than this, and over ten times as long
            as a lone one (both measured): more would raise latency, and hardly throughput. None: no such limit.
        max_room_wait_s: `propose` raises `Overloaded` where it would have to wait for room for longer than about this.
            None: it waits, so bound the wait (`trio.fail_after`), or the number of those who wait.
        inbox_capacity: messages from peers that may wait for the node, beside proposals; more are dropped and counted.
        log_cache_bytes: recent entries kept in memory; older ones are read from storage when a follower needs them.
        snapshot_entries: take a snapshot when this many entries were applied since the last one; None: never.
        snapshot_bytes: the same in bytes of commands; None: never.
        trailing_entries: entries kept behind a snapshot, so that a follower slightly behind needs no snapshot.
        max_catch_up_bytes: about how much of the log beyond `trailing_entries` a leader keeps on disk for a follower
            that is catching up, from a snapshot or from the log. A follower that needs more is left behind (a
            `FollowerLeftBehind` event and a warning in the log say so) and gets a newer snapshot. 0: nothing is kept.
            Larger values let slower followers and larger snapshots finish under full load.
        state_check_entries: compare the replicas' states (`StateMachine.state_digest`) at each index that is a multiple
            of this; a replica that a majority of the voters contradicts ends with `StateDiverged`. None: never. Give
            all nodes the same value: only indexes that several nodes check are compared. By default a digest costs what
            a snapshot costs without its writes, so the value of `snapshot_entries` is a good choice.
        snapshot_chunk_bytes: the pieces in which a snapshot is written, synced and sent; a few are in memory at a
            time, on either side. Smaller for slow links: one should cross well within the shortest election timeout.
        apply_slice_s: how long the state machine may be fed before other tasks, heartbeats among them, get a turn.
        shutdown_timeout_s: how long `aclose` lets accepted proposals finish.
        rejoin_if_wiped: what a node does that finds its store empty although the cluster knows it by another one, or
            finds it to be an older copy of the one that the cluster has met. True: it joins again, as a learner that
            becomes a voter once it has caught up, for which a majority must still have their files; at each start it
            asks the others first, for up to a second. False: it ends, and says why. (A disk that was not mounted looks
            just like a lost one.)
        join_requests: whether a node that is no member may ask to become one, where it has a certificate in its own
            name. False: who may operate adds it first (`raft-actors add`), so a node that was removed stays out
            whoever has its key. A member that was wiped may ask all the same. Give all nodes the same; without TLS,
            whoever reaches the port may operate.
        seed: of the node's random numbers (election timeouts). None draws one from the operating system.
    """

    election_timeout_s: tuple[float, float] = (0.4, 0.8)
    heartbeat_interval_s: float = 0.2
    check_quorum: bool = True
    pre_vote: bool = True
    max_command_bytes: int = 8 * MIB
    max_append_bytes: int = 1 * MIB
    max_inflight_appends: int = 64
    max_inflight_bytes: int = 16 * MIB
    max_uncommitted_bytes: int = 64 * MIB
    max_pending_proposals: int = 16_384
    congestion_delay_s: float | None = 0.015
    max_room_wait_s: float | None = None
    inbox_capacity: int = 8_192
    log_cache_bytes: int = 32 * MIB
    snapshot_entries: int | None = 200_000
    snapshot_bytes: int | None = 128 * MIB
    trailing_entries: int = 10_000
    max_catch_up_bytes: int = 1024 * MIB
    state_check_entries: int | None = None
    snapshot_chunk_bytes: int = 1 * MIB
    apply_slice_s: float = 0.005
    shutdown_timeout_s: float = 5.0
    rejoin_if_wiped: bool = False
    join_requests: bool = True
    seed: int | None = None

    def __attrs_post_init__(self) -> None:
        shortest, longest = self.election_timeout_s
        if not 0 < shortest < longest:
            raise ConfigurationError(
                "election_timeout_s must be a range (shortest, longest) with 0 < shortest < longest, not "
                f"{self.election_timeout_s}"
            )
        if not 0 < self.heartbeat_interval_s <= shortest / 2:
            raise ConfigurationError(
                f"heartbeat_interval_s ({self.heartbeat_interval_s}) must be positive and at most half of the shortest "
                f"election timeout ({shortest}): raise election_timeout_s or beat more often"
            )
        self._check_positive()
        if self.max_command_bytes > self.max_uncommitted_bytes:
            raise ConfigurationError("max_uncommitted_bytes must have room for one command of max_command_bytes")

    @property
    def vote_resend_interval_s(self) -> float:
        """How often votes and pre-votes that were not answered are asked for again while an election lasts."""
        return self.heartbeat_interval_s / 4

    def _check_positive(self) -> None:
        may_be_zero = {"trailing_entries", "max_catch_up_bytes", "apply_slice_s", "shutdown_timeout_s"}
        may_be_none = {
            *("snapshot_entries", "snapshot_bytes", "state_check_entries"),
            *("congestion_delay_s", "max_room_wait_s"),
        }
        for field in attrs.fields(NodeConfig):
            value = getattr(self, field.name)
            if field.name in ("election_timeout_s", "seed") or type(value) is bool:
                continue
            if value is None and field.name in may_be_none:
                continue
            if field.name in _SIZES and value is not None and value > MAX_SIZE_BYTES:
                raise ConfigurationError(f"{field.name} must be at most {MAX_SIZE_BYTES:,} bytes, not {value:,}")
            if value is None or value < 0 or (value == 0 and field.name not in may_be_zero):
                raise ConfigurationError(f"{field.name} must be positive, not {value}")


def check_together(cluster: ClusterConfig, config: NodeConfig) -> None:
    """Look at settings of a cluster and of one of its nodes that have to fit.

    Raises:
        ConfigurationError: they don't.
    """
    leases = cluster.leases
    if leases is not None and leases.duration_s < 2 * config.heartbeat_interval_s:
        raise ConfigurationError(
            f"a lease of {leases.duration_s} s would run out between two heartbeats: duration_s must be at least twice "
            f"heartbeat_interval_s ({config.heartbeat_interval_s})"
        )
