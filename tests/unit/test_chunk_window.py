"""Which chunks of a snapshot may be sent next (§7)."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from raft_actors.raft.chunk_window import MOST_BYTES, MOST_CHUNKS, ChunkWindow


def send_all(window: ChunkWindow, size: int = 1) -> list[int]:
    """Send what may be sent."""
    sent: list[int] = []
    while window.may_send:
        sent.append(window.next_chunk)
        window.sent(size)
    return sent


def test_so_many_chunks_are_under_way_at_most() -> None:
    window = ChunkWindow(100)
    assert send_all(window) == list(range(MOST_CHUNKS))
    window.answered(3)
    assert send_all(window) == [MOST_CHUNKS, MOST_CHUNKS + 1, MOST_CHUNKS + 2]


def test_so_many_bytes_are_under_way_at_most_but_at_least_one_chunk() -> None:
    assert send_all(ChunkWindow(100), MOST_BYTES // 2) == [0, 1]
    assert send_all(ChunkWindow(100), 10 * MOST_BYTES) == [0]


def test_there_is_room_for_as_much_as_may_be_sent() -> None:
    window = ChunkWindow(MOST_CHUNKS + 3)
    assert window.room == (MOST_CHUNKS, MOST_BYTES)
    window.sent(10)
    assert window.room == (MOST_CHUNKS - 1, MOST_BYTES - 10)
    send_all(window)
    window.answered(MOST_CHUNKS)
    assert window.room == (3, MOST_BYTES)
    window.sent(MOST_BYTES + 1)
    assert not window.may_send
    window.answered(MOST_CHUNKS + 1)
    assert window.room == (2, MOST_BYTES)


def test_an_answer_acknowledges_all_before_what_it_wants() -> None:
    window = ChunkWindow(5)
    send_all(window)
    assert window.answered(4)
    assert (window.acknowledged, window.may_send) == (4, False)
    assert not window.answered(2)  # late
    assert (window.acknowledged, window.may_send) == (4, False)


def test_what_the_follower_has_from_before_is_not_sent() -> None:
    window = ChunkWindow(5)
    window.sent(1)
    assert window.answered(3)
    assert send_all(window) == [3, 4]


def test_answers_that_make_no_sense_change_nothing() -> None:
    window = ChunkWindow(2)
    send_all(window)
    assert not window.answered(3)
    assert not window.answered(-1)
    assert (window.acknowledged, window.may_send) == (0, False)


def test_chunks_that_were_sent_twice_for_once_are_not_sent_twice_from_then_on() -> None:
    """The follower was only slow: it answers to each copy, and nothing is missing."""
    window, link, stored, sent = ChunkWindow(10 * MOST_CHUNKS), deque[int](), 0, 0
    while stored < window.chunk_count:
        link += send_all(window)
        if not sent:
            window.rewind()  # the replicator's patience had an end
            link += send_all(window)
        sent += 1
        stored = max(stored, link.popleft() + 1)
        window.answered(stored)
    assert len(link) + sent <= window.chunk_count + MOST_CHUNKS


@given(st.data())
def test_whatever_is_lost_all_chunks_come_in_the_end(data: st.DataObject) -> None:
    """A follower that answers as the installer does, on a link in order that loses any chunk, and any answer."""
    window, stored, told_missing, rounds = ChunkWindow(6), 0, False, 0
    while stored < 6:
        rounds += 1
        lossy = rounds < 20
        answers: list[int] = []
        for sequence in send_all(window):
            if lossy and data.draw(st.booleans()):
                continue
            if sequence > stored:
                if not told_missing:
                    answers.append(stored)
                told_missing = True
                continue
            if sequence == stored:
                stored += 1
                told_missing = False
            answers.append(stored)
        for wanted in answers:
            if not lossy or data.draw(st.booleans()):
                window.answered(wanted)
        if not window.may_send:
            window.rewind()  # the replicator's patience has an end
    assert rounds < 40


def test_a_follower_that_lost_all_and_got_a_late_copy_of_the_first_is_gone_back_to() -> None:
    """It wants the second chunk then, and never the first. Late answers say the same: so not until nothing follows."""
    window = ChunkWindow(MOST_CHUNKS)
    send_all(window)
    window.answered(8)
    assert not window.answered(1)
    assert not window.may_send
    window.rewind()
    assert send_all(window) == list(range(1, MOST_CHUNKS))


def test_a_late_answer_is_forgotten_once_a_better_one_comes() -> None:
    window = ChunkWindow(MOST_CHUNKS)
    send_all(window)
    window.answered(8)
    window.answered(3)
    window.answered(9)
    window.rewind()
    assert window.next_chunk == 9
    window.answered(3)
    window.answered(0)
    assert window.next_chunk == 0, "it says that it has nothing"


@given(st.data())
def test_whatever_comes_late_or_twice_all_chunks_come_in_the_end(data: st.DataObject) -> None:
    """A link in no order, which loses and doubles, and a follower that loses what it has: all of that for a while."""
    window, stored, missed_at, late, rounds = ChunkWindow(6), 0, None, list[int](), 0
    wild_rounds = data.draw(st.integers(1, 12))
    late_answers = list[int]()
    while stored < 6:
        rounds += 1
        assert rounds < 30, "it never ends"
        wild = rounds <= wild_rounds
        arriving = [*late, *send_all(window)]
        late.clear()
        if wild:
            arriving = data.draw(st.permutations(arriving))
            late = [sequence for sequence in arriving if data.draw(st.booleans())]
            arriving = [sequence for sequence in arriving if not data.draw(st.booleans())]
            if data.draw(st.booleans()):
                # All is lost, but copies of the first come late, and before anything could be answered.
                stored, missed_at = data.draw(st.integers(0, 5)), None
        answers = list[int]()
        for sequence in arriving:
            if sequence == stored < 6:
                stored, missed_at = stored + 1, None
            elif sequence > stored:
                if missed_at is not None and sequence > missed_at:
                    continue
                missed_at = sequence
            answers.append(stored)
        for wanted in [*late_answers, *answers]:
            window.answered(wanted)
        late_answers = data.draw(st.permutations(answers)) if wild else []
        if not window.may_send:
            window.rewind()
