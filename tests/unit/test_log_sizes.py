"""About how many bytes of entries a log holds from an index on."""

from __future__ import annotations

import pytest

from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.log import Log
from raft_actors.raft.persistent_state import SnapshotMetadata
from tests.unit.builders import make_log

MIB = 1024 * 1024


def filled(count: int = 20) -> Log:
    """A log of entries of half a mebibyte each."""
    log = make_log([])
    for index in range(1, count + 1):
        log.append(EntryBatch.encode(index, 1, EntryKind.COMMAND, [bytes(MIB // 2)]))
    return log


@pytest.mark.parametrize(("mebibytes", "index"), [(100, 1), (10.1, 1), (5, 11), (1, 19), (0, 21)])
def test_knows_from_which_entry_on_there_are_so_many_bytes(mebibytes: float, index: int) -> None:
    assert abs(filled().first_index_within(int(mebibytes * MIB)) - index) <= 2


def test_what_was_removed_counts_no_more() -> None:
    log = filled()
    log.truncate(11)
    assert log.first_index_within(7 * MIB) == 1
    assert log.first_index_within(2 * MIB) >= 6
    log.mark_durable(10, log.epoch)
    log.compact(SnapshotMetadata(8, 1), 9)
    assert log.first_index_within(100 * MIB) == 9
    log.reset(SnapshotMetadata(50, 1))
    assert log.first_index_within(1) == 51


def test_a_log_that_was_there_before_counts_as_large_as_what_was_read_of_it() -> None:
    log = make_log([1] * 10)
    assert log.first_index_within(MIB) == 1
