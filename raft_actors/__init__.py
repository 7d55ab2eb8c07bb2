"""Raft for Trio programs: a replicated, durable, linearizable log, from actors that pass messages.

A node of a cluster:

    async with open_node("n1", cluster=…, state_machine=…, storage=…, transport=…) as node:
        await node.wait_leader()
        result = await node.propose(command)
"""

import logging
from typing import TYPE_CHECKING

from raft_actors.commands import RAW_BYTES, CommandCodec, attrs_commands, attrs_queries
from raft_actors.config import ClusterConfig, Leases, NodeConfig
from raft_actors.errors import (
    CertificateError,
    ChangeFailed,
    ChangeRefused,
    CommandFailed,
    CommandTooLarge,
    ConfigurationError,
    FeatureMissing,
    InternalError,
    LeadershipEnded,
    LeadershipLost,
    ListenError,
    NodeStopped,
    NotCommitted,
    NotLeader,
    NotMember,
    Overloaded,
    ProposalError,
    ProtocolError,
    RaftError,
    ReadNotReady,
    ResultLost,
    SessionExpired,
    StateDiverged,
    StateMachineError,
    StorageCorrupt,
    StorageError,
    StorageFailed,
    StorageFull,
    StorageLocked,
    StorageMismatch,
    StorageReadOnly,
    StorageVersionError,
    StoreReplaced,
    SubscriberTooSlow,
    TransferError,
    TransferFailed,
    TransferRefused,
    TransportError,
    Unreachable,
    UsageError,
)
from raft_actors.lazily import lazily
from raft_actors.node.applied_log import AppliedCommand, AppliedLog, AppliedSnapshot
from raft_actors.node.events import (
    CertificateExpiring,
    CommitAdvanced,
    Event,
    EventChannel,
    FollowerLeftBehind,
    LeaderChanged,
    LeadershipGivenUp,
    MembershipChanged,
    RoleChanged,
    SnapshotInstalled,
    SnapshotTaken,
    StatesDiffer,
)
from raft_actors.node.joining import Join
from raft_actors.node.kept_results import NOT_KEPT
from raft_actors.node.leadership import Leadership
from raft_actors.node.members import ChangePhase, MembersStatus, MemberStatus
from raft_actors.node.node import Node
from raft_actors.node.opening import open_node, run_node
from raft_actors.node.proposals import PendingProposal
from raft_actors.node.sessions import Session, SessionState
from raft_actors.node.status import NodeState, NodeStatistics, NodeStatus
from raft_actors.overload import OverloadCause
from raft_actors.raft.membership import Member
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.raft.transitions import GivenUp, RoleName
from raft_actors.read_levels import BoundedStale, Lease, Linearizable, Local, ReadLevel, ReadResult, ReadYourWrites
from raft_actors.state_machine import StateMachine

if TYPE_CHECKING:
    from raft_actors.client.client import ClientStatus, RaftClient
    from raft_actors.client.errors import NotPermitted, OutcomeUnknown, QueryFailed, Unavailable
    from raft_actors.client.opening import open_client
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "ClientStatus": "client.client",
            "NotPermitted": "client.errors",
            "OutcomeUnknown": "client.errors",
            "QueryFailed": "client.errors",
            "RaftClient": "client.client",
            "Unavailable": "client.errors",
            "open_client": "client.opening",
        },
    )

# What is logged (connections made and lost) is for the application to show, or not.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "NOT_KEPT",
    "RAW_BYTES",
    "AppliedCommand",
    "AppliedLog",
    "AppliedSnapshot",
    "BoundedStale",
    "CertificateError",
    "CertificateExpiring",
    "ChangeFailed",
    "ChangePhase",
    "ChangeRefused",
    "ClientStatus",
    "ClusterConfig",
    "CommandCodec",
    "CommandFailed",
    "CommandTooLarge",
    "CommitAdvanced",
    "ConfigurationError",
    "Event",
    "EventChannel",
    "FeatureMissing",
    "FollowerLeftBehind",
    "GivenUp",
    "InternalError",
    "Join",
    "LeaderChanged",
    "Leadership",
    "LeadershipEnded",
    "LeadershipGivenUp",
    "LeadershipLost",
    "Lease",
    "Leases",
    "Linearizable",
    "ListenError",
    "Local",
    "Member",
    "MemberStatus",
    "MembersStatus",
    "MembershipChanged",
    "Node",
    "NodeConfig",
    "NodeState",
    "NodeStatistics",
    "NodeStatus",
    "NodeStopped",
    "NotCommitted",
    "NotLeader",
    "NotMember",
    "NotPermitted",
    "OutcomeUnknown",
    "OverloadCause",
    "Overloaded",
    "PendingProposal",
    "ProposalError",
    "ProtocolError",
    "QueryFailed",
    "RaftClient",
    "RaftError",
    "ReadLevel",
    "ReadNotReady",
    "ReadResult",
    "ReadYourWrites",
    "ResultLost",
    "RoleChanged",
    "RoleName",
    "Session",
    "SessionExpired",
    "SessionState",
    "SnapshotInstalled",
    "SnapshotMetadata",
    "SnapshotTaken",
    "StateDiverged",
    "StateMachine",
    "StateMachineError",
    "StatesDiffer",
    "StorageCorrupt",
    "StorageError",
    "StorageFailed",
    "StorageFull",
    "StorageLocked",
    "StorageMismatch",
    "StorageReadOnly",
    "StorageVersionError",
    "StoreReplaced",
    "SubscriberTooSlow",
    "TransferError",
    "TransferFailed",
    "TransferRefused",
    "TransportError",
    "Unavailable",
    "Unreachable",
    "UsageError",
    "attrs_commands",
    "attrs_queries",
    "open_client",
    "open_node",
    "run_node",
]
