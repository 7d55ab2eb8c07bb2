"""What must hold in a cluster at every moment: one invariant a file, each with its source.

They are checked after every step of a simulated cluster, at a cost that does not grow with the log.
"""

from __future__ import annotations

from collections.abc import Callable

from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.invariants.bounded_queues import BoundedQueues
from raft_actors.testing.invariants.committed_stays_committed import CommittedStaysCommitted
from raft_actors.testing.invariants.configuration_follows_log import ConfigurationFollowsLog
from raft_actors.testing.invariants.durable_before_sent import DurableBeforeSent
from raft_actors.testing.invariants.election_has_reason import ElectionHasReason
from raft_actors.testing.invariants.election_safety import ElectionSafety
from raft_actors.testing.invariants.equal_results import EqualResults
from raft_actors.testing.invariants.gates_stay_open import GatesStayOpen
from raft_actors.testing.invariants.identity_never_reused import IdentityNeverReused
from raft_actors.testing.invariants.index_order import IndexOrder
from raft_actors.testing.invariants.leader_append_only import LeaderAppendOnly
from raft_actors.testing.invariants.leader_completeness import LeaderCompleteness
from raft_actors.testing.invariants.leader_in_touch import LeaderInTouch
from raft_actors.testing.invariants.leaders_commit import LeadersCommit
from raft_actors.testing.invariants.log_follows_snapshot import LogFollowsSnapshot
from raft_actors.testing.invariants.log_matching import LogMatching
from raft_actors.testing.invariants.match_index import MatchIndex
from raft_actors.testing.invariants.members_change_one_by_one import MembersChangeOneByOne
from raft_actors.testing.invariants.memory_and_disk import MemoryAndDisk
from raft_actors.testing.invariants.monotonic import Monotonic
from raft_actors.testing.invariants.no_leaked_task import NoLeakedTask
from raft_actors.testing.invariants.not_committed_is_final import NotCommittedIsFinal
from raft_actors.testing.invariants.only_members_heard import OnlyMembersHeard
from raft_actors.testing.invariants.only_voters_stand import OnlyVotersStand
from raft_actors.testing.invariants.pre_votes_bind_nobody import PreVotesBindNobody
from raft_actors.testing.invariants.promises_kept import PromisesKept
from raft_actors.testing.invariants.state_machine_safety import StateMachineSafety
from raft_actors.testing.invariants.term_begins_with_entry import TermBeginsWithEntry
from raft_actors.testing.invariants.transfer_loses_nothing import TransferLosesNothing

STANDARD_INVARIANTS: tuple[Callable[[], Invariant], ...] = (
    ElectionSafety,
    ElectionHasReason,
    PreVotesBindNobody,
    TransferLosesNothing,
    OnlyVotersStand,
    OnlyMembersHeard,
    MembersChangeOneByOne,
    IdentityNeverReused,
    GatesStayOpen,
    ConfigurationFollowsLog,
    LeaderAppendOnly,
    LogMatching,
    LogFollowsSnapshot,
    LeaderCompleteness,
    TermBeginsWithEntry,
    LeaderInTouch,
    MatchIndex,
    LeadersCommit,
    StateMachineSafety,
    CommittedStaysCommitted,
    PromisesKept,
    Monotonic,
    IndexOrder,
    DurableBeforeSent,
    MemoryAndDisk,
    EqualResults,
    NotCommittedIsFinal,
    BoundedQueues,
    NoLeakedTask,
)
"""What makes the invariants that every simulated cluster is checked for. To add one: `(*STANDARD_INVARIANTS, Mine)`."""

__all__ = [
    "STANDARD_INVARIANTS",
    "BoundedQueues",
    "CommittedStaysCommitted",
    "ConfigurationFollowsLog",
    "DurableBeforeSent",
    "ElectionHasReason",
    "ElectionSafety",
    "EqualResults",
    "GatesStayOpen",
    "IdentityNeverReused",
    "IndexOrder",
    "Invariant",
    "LeaderAppendOnly",
    "LeaderCompleteness",
    "LeaderInTouch",
    "LeadersCommit",
    "LogFollowsSnapshot",
    "LogMatching",
    "MatchIndex",
    "MembersChangeOneByOne",
    "MemoryAndDisk",
    "Monotonic",
    "NoLeakedTask",
    "NotCommittedIsFinal",
    "OnlyMembersHeard",
    "OnlyVotersStand",
    "PreVotesBindNobody",
    "PromisesKept",
    "StateMachineSafety",
    "TermBeginsWithEntry",
    "TransferLosesNothing",
]
