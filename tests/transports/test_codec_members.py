"""Configurations on the wire: in entries, and with a snapshot."""

from __future__ import annotations

import pytest

from raft_actors.errors import ProtocolError
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.membership import Configuration
from raft_actors.raft.membership_codec import encode_configuration
from raft_actors.raft.messages import AppendEntries, InstallSnapshot
from raft_actors.raft.persistent_state import SnapshotMetadata, StoredConfiguration
from raft_actors.transports.wire.codec import decode, encode, size_bound

CONFIGURATION = encode_configuration(Configuration({"n1", "n2"}, {"n3"}))


def snapshot(configuration: bytes) -> InstallSnapshot:
    return InstallSnapshot(1, SnapshotMetadata(5, 1), 0, b"", True, configuration)


def test_a_snapshot_brings_its_configuration_along() -> None:
    stored = StoredConfiguration(5, CONFIGURATION)
    message = snapshot(stored.packed())
    assert decode(encode(message)) == message
    assert message.stored_configuration() == stored
    assert len(encode(message)) <= size_bound(message)
    assert snapshot(b"").stored_configuration() is None


@pytest.mark.parametrize(
    "configuration",
    [b"none", StoredConfiguration(5, b"none").packed(), StoredConfiguration(6, CONFIGURATION).packed(), b"\0" * 8],
    ids=["short", "unreadable", "beyond the snapshot", "nowhere"],
)
def test_a_snapshot_with_what_is_no_configuration_is_refused(configuration: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(encode(snapshot(configuration)))


def test_a_snapshot_of_a_later_term_than_its_leader_s_is_refused() -> None:
    with pytest.raises(ProtocolError, match="a snapshot of term 3 from a leader of term 2"):
        decode(encode(InstallSnapshot(2, SnapshotMetadata(5, 3), 0, b"", True)))


def test_an_entry_with_what_is_no_configuration_is_refused() -> None:
    for command, accepted in ((CONFIGURATION, True), (b"none", False)):
        message = AppendEntries(1, 0, 0, 0, (EntryBatch.encode(1, 1, EntryKind.CONFIGURATION, [command]),))
        if accepted:
            assert decode(encode(message)) == message
        else:
            with pytest.raises(ProtocolError, match="no configuration"):
                decode(encode(message))
