"""A follower's progress: probe, replicate, snapshot (§5.3, §7). Decisions only; sending is the replicator's."""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_actors.errors import InternalError
from raft_actors.raft.messages import AppendEntriesRejected
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.raft.progress import Progress, ProgressState
from tests.unit.builders import append, make_follower, make_log, receive, sent


def probing(next_index: int, match_index: int = 0) -> Progress:
    return Progress(next_index=next_index, max_inflight=2, max_inflight_bytes=100, match_index=match_index)


def replicating(match_index: int, *sent_until: int) -> Progress:
    progress = probing(match_index + 1)
    progress.accepted(match_index)
    for last_index in sent_until:
        progress.append_sent(last_index, 10)
    return progress


def rejection(previous: int, conflict_term: int | None, conflict_index: int) -> AppendEntriesRejected:
    return AppendEntriesRejected(5, previous, conflict_term, conflict_index)


LOG = make_log([1, 1, 1, 4, 4, 5, 5, 6, 6, 6])
"""The leader's log of the Raft paper's Figure 7."""


# --- probe ----------------------------------------------------------------------------------------------------


def test_sends_no_entries_while_it_probes() -> None:
    assert not probing(1).may_append(10)


def test_the_answer_to_the_probe_ends_probing() -> None:
    progress = probing(5)
    progress.accepted(4)
    assert (progress.state, progress.match_index, progress.next_index) == (ProgressState.REPLICATE, 4, 5)


def test_an_older_answer_does_not_end_probing() -> None:
    progress = probing(5)
    progress.probe_sent = True
    progress.accepted(2)
    assert (progress.state, progress.match_index, progress.probe_sent) == (ProgressState.PROBE, 2, True)


def test_skips_to_the_end_of_a_shorter_log() -> None:
    progress = probing(11)
    progress.rejected(rejection(10, None, 5), LOG)
    assert (progress.state, progress.next_index) == (ProgressState.PROBE, 5)


def test_skips_a_whole_term_that_the_leader_does_not_have() -> None:
    progress = probing(11)
    progress.rejected(rejection(10, 3, 7), LOG)
    assert progress.next_index == 7


def test_goes_to_its_own_last_entry_of_a_term_that_both_have() -> None:
    progress = probing(11)
    progress.rejected(rejection(10, 4, 3), LOG)
    assert progress.next_index == 6


def test_goes_back_at_least_by_one_whatever_the_follower_says() -> None:
    progress = probing(8)
    progress.rejected(rejection(7, 6, 7), LOG)  # the leader has that term further on
    assert progress.next_index == 7
    progress.rejected(rejection(6, None, 99), LOG)
    assert progress.next_index == 6


def test_never_goes_back_behind_what_is_known_to_match() -> None:
    progress = probing(8, match_index=5)
    progress.rejected(rejection(7, None, 1), LOG)
    assert progress.next_index == 6


def test_ignores_a_rejection_of_another_probe() -> None:
    progress = probing(8)
    progress.probe_sent = True
    progress.rejected(rejection(9, None, 1), LOG)
    assert (progress.next_index, progress.probe_sent) == (8, True)


def test_does_not_ask_again_at_once_what_the_follower_had_acknowledged() -> None:
    """It would be answered in the same way, and asked again, as fast as the network allows."""
    progress = probing(6, match_index=5)
    progress.probe_sent = True
    for count in (1, 2, 3):
        progress.rejected(rejection(5, None, 1), LOG)
        assert (progress.state, progress.next_index, progress.probe_sent) == (ProgressState.PROBE, 6, True)
        assert progress.contradictions == count
    progress.accepted(5)
    assert (progress.state, progress.contradictions) == (ProgressState.REPLICATE, 0)


def test_a_heartbeat_lets_it_probe_again() -> None:
    progress = probing(8)
    progress.probe_sent = True
    progress.heartbeat_due()
    assert not progress.probe_sent


@st.composite
def two_logs(draw: st.DrawFn) -> tuple[list[int], list[int], int]:
    """Terms of a leader's and a follower's log that Raft can come to, and how many they share.

    Behind what they share, one of them may have more entries of the last shared term; all other terms differ.
    """
    shared = sorted(draw(st.lists(st.integers(1, 3), max_size=6)))
    base = shared[-1] if shared else 0
    leader = sorted(draw(st.lists(st.sampled_from([10, 12, 14]), max_size=8)))
    follower = sorted(draw(st.lists(st.sampled_from([11, 13, 15]), max_size=8)))
    more = [base] * draw(st.integers(0, 4)) if base else []
    if draw(st.booleans()):
        leader = more + leader
    else:
        follower = more + follower
    return shared + leader, shared + follower, len(shared)


@given(two_logs())
def test_finds_where_the_logs_agree_in_no_more_probes_than_there_are_terms(
    logs: tuple[list[int], list[int], int],
) -> None:
    leader_terms, follower_terms, shared = logs
    log, follower = make_log(leader_terms), make_follower(follower_terms, term=50)
    progress = probing(log.last_index + 1)
    probes = 0
    while progress.state is ProgressState.PROBE:
        previous = progress.next_index - 1
        [(_, reply)] = sent(receive(follower, "n2", append(previous, log.term_at(previous) or 0, term=50)))
        probes += 1
        if isinstance(reply, AppendEntriesRejected):
            progress.rejected(reply, log)
        else:
            progress.accepted(previous)
    assert progress.match_index == shared
    assert probes <= 2 + len({*leader_terms, *follower_terms})


# --- replicate ------------------------------------------------------------------------------------------------


def test_moves_on_with_each_append_without_waiting_for_the_answer() -> None:
    progress = replicating(3)
    progress.append_sent(5, 10)
    assert (progress.next_index, progress.may_append(6), progress.may_append(5)) == (6, True, False)


def test_stops_at_its_window_of_messages_until_an_answer_comes() -> None:
    progress = replicating(3, 5, 6)
    assert not progress.may_append(9)
    progress.accepted(5)
    assert progress.may_append(9)
    assert list(progress.inflight) == [(6, 10)]


def test_stops_at_its_window_of_bytes_until_an_answer_comes() -> None:
    progress = replicating(3)
    progress.append_sent(4, 100)
    assert not progress.may_append(9)
    progress.accepted(4)
    assert (progress.inflight_bytes, progress.may_append(9)) == (0, True)


def test_one_answer_counts_for_all_appends_before_it() -> None:
    progress = replicating(3, 5, 6)
    progress.accepted(6)
    assert (progress.match_index, list(progress.inflight), progress.inflight_bytes) == (6, [], 0)


def test_answers_that_pass_each_other_do_not_take_the_match_back() -> None:
    progress = replicating(3, 5, 6)
    progress.accepted(6)
    progress.accepted(5)
    assert (progress.match_index, progress.next_index) == (6, 7)


def test_a_rejection_means_loss_and_leads_back_to_probing() -> None:
    progress = replicating(3, 5, 6)
    progress.rejected(rejection(5, None, 4), LOG)
    assert (progress.state, progress.next_index, list(progress.inflight)) == (ProgressState.PROBE, 4, [])
    assert progress.inflight_bytes == 0


def test_a_rejection_of_what_matches_by_now_is_late() -> None:
    progress = replicating(5, 6)
    progress.rejected(rejection(5, None, 2), LOG)
    assert (progress.state, progress.next_index) == (ProgressState.REPLICATE, 7)


# --- snapshot -------------------------------------------------------------------------------------------------


def test_sends_no_entries_while_a_snapshot_is_needed() -> None:
    progress = replicating(3, 5)
    progress.snapshot_needed()
    assert (progress.state, progress.may_append(9), progress.probe_sent) == (ProgressState.SNAPSHOT, False, False)


def test_answers_to_appends_do_not_end_it() -> None:
    progress = replicating(3, 5)
    progress.snapshot_needed()
    progress.accepted(5)
    progress.rejected(rejection(9, None, 1), LOG)
    assert (progress.state, progress.match_index) == (ProgressState.SNAPSHOT, 5)


def test_probes_from_the_snapshots_end_once_it_is_installed() -> None:
    progress = replicating(3)
    progress.snapshot_needed()
    progress.probe_sent = True
    progress.snapshot_installed(8)
    assert (progress.state, progress.match_index, progress.next_index) == (ProgressState.PROBE, 8, 9)
    assert not progress.probe_sent


def test_an_installed_snapshot_does_not_take_the_match_back() -> None:
    progress = replicating(9)
    progress.snapshot_needed()
    progress.snapshot_installed(8)
    assert (progress.match_index, progress.next_index) == (9, 10)


# --- invariants -----------------------------------------------------------------------------------------------


def test_a_late_acknowledgement_during_a_snapshot_moves_what_is_sent_next_along() -> None:
    progress = probing(3)
    progress.snapshot_needed()
    progress.accepted(10)
    assert (progress.state, progress.match_index, progress.next_index) == (ProgressState.SNAPSHOT, 10, 11)
    progress.check()


def test_a_snapshot_is_needless_once_the_log_continues_what_the_follower_has() -> None:
    log = make_log([1, 1, 1, 4, 4])
    log.compact(SnapshotMetadata(3, 1), 4)
    progress = probing(2)
    progress.snapshot_needed()
    assert not progress.is_snapshot_needless(log)
    progress.accepted(2)
    assert not progress.is_snapshot_needless(log)
    progress.accepted(3)
    assert progress.is_snapshot_needless(log)
    progress.snapshot_given_up()
    assert (progress.state, progress.next_index) == (ProgressState.REPLICATE, 4)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"next_index": 4, "match_index": 4}, "next index 4 ≤ match index 4"),
        ({"inflight": deque([(3, 10)]), "inflight_bytes": 10}, "1 appends count as under way in state probe"),
        ({"state": ProgressState.REPLICATE, "inflight_bytes": 7}, "7 bytes under way in 0 appends"),
    ],
)
def test_what_does_not_hold_is_our_bug(change: dict[str, Any], says: str) -> None:
    progress = attrs.evolve(probing(9), **change)
    with pytest.raises(InternalError, match=says):
        progress.check()


_rejections = st.builds(rejection, st.integers(0, 10), st.none() | st.integers(1, 6), st.integers(1, 11))


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("accepted"), st.integers(0, 10)),
            st.tuples(st.just("rejected"), _rejections),
            st.tuples(st.just("installed"), st.integers(1, 10)),
            st.tuples(st.sampled_from(["needed", "beat", "send"]), st.none()),
        ),
        max_size=30,
    )
)
def test_the_invariants_hold_after_any_answers(events: list[tuple[str, Any]]) -> None:
    progress = probing(11)
    for name, value in events:
        match name:
            case "accepted":
                progress.accepted(value)
            case "rejected":
                progress.rejected(value, LOG)
            case "installed":
                progress.snapshot_installed(value)
            case "needed":
                progress.snapshot_needed()
            case "beat":
                progress.heartbeat_due()
            case _:
                if progress.may_append(10):
                    progress.append_sent(10, 5)
        progress.check()
        assert sum(size for _, size in progress.inflight) == progress.inflight_bytes
