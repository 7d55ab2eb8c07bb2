"""Hypothesis strategies for every message."""

from __future__ import annotations

from hypothesis import strategies as st

from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    AppendEntriesRejected,
    ConfirmLeader,
    ConfirmLeaderReply,
    ForwardProposals,
    ForwardReply,
    InstallSnapshot,
    InstallSnapshotReply,
    ReadIndexReply,
    RequestPreVote,
    RequestPreVoteReply,
    RequestReadIndex,
    RequestVote,
    RequestVoteReply,
    StateDigest,
    TimeoutNow,
)
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.transports.wire.appends import MAX_INT
from tests.transports.support import BATCHES

INTS = st.integers(0, MAX_INT)


@st.composite
def appends(draw: st.DrawFn) -> AppendEntries:
    terms = sorted(draw(st.lists(st.integers(1, MAX_INT), min_size=2, max_size=6)))
    previous = index = draw(st.integers(0, 2**40))
    batches = []
    for term in terms[1:-1]:
        commands = draw(st.lists(st.binary(max_size=20), min_size=1, max_size=4))
        kind = draw(st.sampled_from([EntryKind.NOOP, EntryKind.COMMAND, EntryKind.SESSION]))
        batches.append(EntryBatch.encode(index + 1, term, kind, commands))
        index += len(commands)
    return AppendEntries(terms[-1], previous, terms[0], draw(INTS), tuple(batches), draw(st.booleans()))


SNAPSHOTS = st.builds(SnapshotMetadata, INTS, INTS)


@st.composite
def snapshot_chunks(draw: st.DrawFn) -> InstallSnapshot:
    snapshot = draw(SNAPSHOTS)
    term = draw(st.integers(snapshot.term, MAX_INT))
    return InstallSnapshot(term, snapshot, draw(INTS), draw(st.binary(max_size=200)), draw(st.booleans()))


MESSAGES = st.one_of(
    st.builds(RequestPreVote, INTS, INTS, INTS, INTS),
    st.builds(RequestPreVoteReply, INTS, INTS, st.booleans()),
    st.builds(TimeoutNow, INTS, st.booleans()),
    st.builds(ConfirmLeader, INTS, INTS),
    st.builds(ConfirmLeaderReply, INTS, INTS),
    st.builds(RequestReadIndex, INTS, INTS),
    st.builds(ReadIndexReply, INTS, INTS, st.none() | INTS),
    st.builds(ForwardProposals, INTS, INTS, INTS, INTS, st.sampled_from([(), BATCHES[:1], BATCHES])),
    st.builds(ForwardReply, INTS, INTS, INTS, INTS, INTS, st.binary(max_size=20), INTS),
    st.builds(StateDigest, INTS, INTS, st.binary(min_size=16, max_size=16)),
    st.builds(RequestVote, INTS, INTS, INTS, st.booleans()),
    st.builds(RequestVoteReply, INTS, st.booleans()),
    appends(),
    st.builds(AppendEntriesAccepted, INTS, INTS),
    st.builds(AppendEntriesRejected, INTS, INTS, st.none() | INTS, INTS),
    snapshot_chunks(),
    st.builds(InstallSnapshotReply, INTS, SNAPSHOTS, INTS, st.booleans()),
)
