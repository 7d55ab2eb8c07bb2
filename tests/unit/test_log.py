"""The log against a naive list of entries, and its refusals one by one."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from raft_actors.errors import InternalError
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.log import Log
from raft_actors.raft.persistent_state import SnapshotMetadata
from tests.unit.builders import batch, batches, command, log_terms, make_log, recovered


class LogAgainstAList(RuleBasedStateMachine):
    """A dict of index → term stands for the log; commands follow from index and term."""

    def __init__(self) -> None:
        super().__init__()
        self.log = make_log(cache_bytes=45)
        self.terms: dict[int, int] = {}
        self.first = 1
        self.snapshot = SnapshotMetadata(0, 0)
        self.before = 0
        self.durable = 0

    @property
    def last(self) -> int:
        return self.first + len(self.terms) - 1

    @property
    def last_term(self) -> int:
        return self.terms[self.last] if self.terms else self.snapshot.term

    # --- changes ----------------------------------------------------------------------------------------------

    @rule(count=st.integers(1, 4), newer=st.integers(0, 2))
    def append(self, count: int, newer: int) -> None:
        term = max(1, self.last_term + newer)
        added = batch(self.last + 1, term, count)
        self.log.append(added)
        self.terms.update(dict.fromkeys(range(added.first_index, added.last_index + 1), term))

    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        lowest = max(self.first, self.snapshot.index + 1)
        if lowest <= self.last:
            index = data.draw(st.integers(lowest, self.last))
            epoch = self.log.epoch
            self.log.truncate(index)
            assert self.log.epoch > epoch
            self.terms = {kept: term for kept, term in self.terms.items() if kept < index}
            self.durable = min(self.durable, index - 1)

    @rule(data=st.data())
    def compact(self, data: st.DataObject) -> None:
        if self.snapshot.index < self.last:
            index = data.draw(st.integers(max(self.snapshot.index + 1, self.first), self.last))
            first = data.draw(st.integers(1, index + 1))
            self.snapshot = SnapshotMetadata(index, self.terms[index])
            self.log.compact(self.snapshot, first)
            if first > self.first:
                self.before = self.terms[first - 1]
            self.first = max(self.first, first)
            self.terms = {kept: term for kept, term in self.terms.items() if kept >= self.first}

    @rule(beyond=st.integers(1, 3))
    def reset(self, beyond: int) -> None:
        index = max(self.last, self.snapshot.index) + beyond
        self.snapshot = SnapshotMetadata(index, self.last_term + 1)
        self.log.reset(self.snapshot)
        self.first, self.terms, self.durable, self.before = index + 1, {}, 0, self.snapshot.term

    @rule()
    def become_durable(self) -> None:
        self.log.mark_durable(self.last, self.log.epoch)
        self.durable = self.last

    @precondition(lambda self: self.log.epoch > 0)
    @rule()
    def late_ack(self) -> None:
        self.log.mark_durable(self.last, self.log.epoch - 1)

    # --- questions --------------------------------------------------------------------------------------------

    @invariant()
    def has_the_same_bounds(self) -> None:
        log = self.log
        assert (log.first_index, log.last_index, log.last_term) == (self.first, self.last, self.last_term)
        assert (log.snapshot_index, log.durable_index) == (self.snapshot.index, self.durable)

    @invariant()
    def has_the_same_terms(self) -> None:
        for index in range(self.last + 3):
            expected = self.terms.get(index)
            if index == self.snapshot.index:
                expected = self.snapshot.term
            elif index == self.first - 1:
                expected = self.before
            elif index == 0:
                expected = 0
            assert self.log.term_at(index) == expected
        for index in self.terms:
            same = index
            while self.terms.get(same - 1) == self.terms[index]:
                same -= 1
            assert self.log.first_index_of_term(index) == same
        for term in range(self.last_term + 2):
            expected = max((index for index, other in self.terms.items() if other == term), default=None)
            assert self.log.last_index_of_term(term) == expected

    @rule(data=st.data(), max_bytes=st.integers(1, 200))
    def recent(self, data: st.DataObject, max_bytes: int) -> None:
        first = data.draw(st.integers(self.first, self.last + 1))
        last = data.draw(st.integers(first, self.last + 1)) if first <= self.last else first
        found = self.log.recent(first, last, max_bytes)
        if first > self.last:
            assert found is None
        elif found is not None:
            self._are_entries(found, first, min(last, self.last))
            assert len(found) == 1 or sum(batch.size for batch in found) <= max_bytes

    @invariant()
    def forgets_only_what_is_on_disk(self) -> None:
        for first in range(self.first, self.last + 1):
            found = self.log.recent(first, self.last, 10_000)
            if found is None:
                assert first <= self.durable
            else:
                self._are_entries(found, first, self.last)

    def _are_entries(self, found: list[EntryBatch], first: int, last: int) -> None:
        entries = [entry for batch in found for entry in batch.entries()]
        assert [entry.index for entry in entries] == list(range(first, entries[-1].index + 1))
        assert entries[-1].index <= last
        for entry in entries:
            assert (entry.term, entry.command) == (self.terms[entry.index], command(entry.index))

    @rule(first=st.integers(1, 30), count=st.integers(1, 6), term=st.integers(1, 6))
    def conflict_with(self, first: int, count: int, term: int) -> None:
        indexes = range(first, first + count)
        conflicts = [index for index in indexes if index in self.terms and self.terms[index] != term]
        assert self.log.conflict_with(batch(first, term, count)) == (conflicts[0] if conflicts else None)


LogAgainstAList.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestLogAgainstAList = LogAgainstAList.TestCase


# --- one by one -----------------------------------------------------------------------------------------------


def test_recovers_what_the_store_held() -> None:
    log = make_log([1, 2, 2], after=SnapshotMetadata(5, 1), first_index=4)
    assert (log.first_index, log.last_index, log.durable_index, log.snapshot_index) == (4, 6, 6, 5)
    assert log_terms(log) == [1, 2, 2]


def test_an_empty_log_behind_a_snapshot_ends_with_the_snapshots_term() -> None:
    assert make_log(after=SnapshotMetadata(5, 3)).last_term == 3


@pytest.mark.parametrize("wrong", [batch(2, 2), batch(4, 2), batch(3, 1)])
def test_append_refuses_a_gap_an_overlap_and_a_term_that_falls(wrong: EntryBatch) -> None:
    with pytest.raises(InternalError, match="can't append entry"):
        make_log([1, 2]).append(wrong)


@pytest.mark.parametrize("index", [0, 3, 4, 8])
def test_truncate_refuses_what_it_does_not_hold_and_what_the_snapshot_covers(index: int) -> None:
    log = make_log([1] * 4, after=SnapshotMetadata(4, 1), first_index=4)
    with pytest.raises(InternalError, match="can't truncate at"):
        log.truncate(index)


@pytest.mark.parametrize(("snapshot_index", "first_index"), [(2, 3), (1, 2), (5, 6), (3, 5)])
def test_compact_refuses_an_older_snapshot_one_beyond_the_log_and_a_gap(snapshot_index: int, first_index: int) -> None:
    log = make_log([1] * 4)
    log.compact(SnapshotMetadata(2, 1), 1)
    with pytest.raises(InternalError, match="can't replace a snapshot at 2 in a log to 4"):
        log.compact(SnapshotMetadata(snapshot_index, 1), first_index)


def test_an_ack_of_an_earlier_write_does_not_take_the_durable_index_back() -> None:
    log = make_log([1, 1, 1])
    log.mark_durable(2, 0)
    assert log.durable_index == 3


def test_no_term_is_left_of_entries_that_compaction_and_truncation_have_removed() -> None:
    log = make_log([2, 2, 2])
    log.compact(SnapshotMetadata(2, 2), 3)
    log.truncate(3)
    assert (log.last_index_of_term(2), log.last_term) == (None, 2)


def test_memory_forgets_the_oldest_entries_beyond_its_bound_but_none_that_is_not_durable() -> None:
    size = batch(1, 1).size
    log = make_log(cache_bytes=4 * size)
    for entry in batches(1, [1] * 10):
        log.append(entry)
    assert log.recent(1, 10, 10_000) is not None
    log.mark_durable(7, 0)
    log.append(batch(11, 1))
    assert log.recent(7, 11, 10_000) is None
    assert log.recent(8, 11, 10_000) is not None


def test_memory_forgets_what_had_to_wait_for_the_disk() -> None:
    size = batch(1, 1).size
    log = make_log(cache_bytes=4 * size)
    for entry in batches(1, [1] * 10):
        log.append(entry)
    log.mark_durable(10, 0)
    assert log.cached_bytes <= 4 * size
    assert log.recent(10, 10, 10_000) is not None


def test_memory_forgets_no_more_than_it_must() -> None:
    size = batch(1, 1).size
    log = make_log([1] * 4, cache_bytes=4 * size)
    log.append(batch(5, 1))
    assert log.recent(2, 5, 10_000) is None
    assert log.recent(3, 5, 10_000) is not None


@pytest.mark.parametrize("max_bytes", [1, 30, 60, 61, 90])
def test_recent_gives_whole_batches_up_to_the_bytes_asked_for_but_at_least_one(max_bytes: int) -> None:
    log = make_log([1, 1, 1, 1])
    size = batch(1, 1).size
    assert len(log.recent(1, 4, max_bytes) or []) == max(1, max_bytes // size)


@pytest.mark.parametrize(
    ("index", "term", "up_to_date"),
    [(2, 2, True), (3, 2, True), (1, 3, True), (1, 2, False), (9, 1, False), (0, 0, False)],
)
def test_is_up_to_date_compares_terms_before_lengths(index: int, term: int, up_to_date: bool) -> None:
    assert make_log([1, 2]).is_up_to_date(index, term) == up_to_date


def test_takes_over_the_tail_that_recovery_read() -> None:
    log = Log(recovered([1, 1]), cache_bytes=1)
    assert log.recent(1, 2, 10_000) == batches(1, [1, 1])


def test_knows_the_term_of_the_entry_before_its_first_though_newer_snapshots_end_elsewhere() -> None:
    """What follows a snapshot under way to a follower is kept, and is to be sent once that is installed."""
    log = make_log([1, 2, 2, 3, 3, 3])
    log.compact(SnapshotMetadata(3, 2), 4)
    log.compact(SnapshotMetadata(6, 3), 4)
    assert (log.term_at(2), log.term_at(3), log.term_at(4)) == (None, 2, 3)


def test_knows_the_term_of_the_entry_before_its_first_where_trailing_entries_are_kept() -> None:
    log = make_log([1, 2, 2, 3, 3, 3])
    log.compact(SnapshotMetadata(5, 3), 3)
    assert (log.term_at(1), log.term_at(2), log.term_at(3)) == (None, 2, 2)
    assert log.first_index_of_term(3) == 3
