"""Which store is an older copy of what it was, by the starts of it that somebody remembers."""

from __future__ import annotations

import pytest

from raft_actors.raft import starts
from raft_actors.raft.starts import Met, Start, Starts, latest_met


def nonce(number: int) -> str:
    return f"{number:016x}"


def started(*nonces: int, after: Starts | None = None) -> Starts:
    """A store that was opened with these nonces."""
    known = after or Starts()
    for one in nonces:
        known = known.with_next(nonce(one))
    return known


def test_a_store_has_the_starts_that_it_had_and_no_others() -> None:
    whole = started(7, 8, 9)
    assert whole.latest == Start(3, nonce(9))
    assert [whole.lack(Start(number, nonce(6 + number))) for number in (1, 2, 3)] == [False] * 3
    assert whole.lack(Start(4, nonce(10)))  # it was put back before that one
    assert whole.lack(Start(2, nonce(10)))  # and this copy went its own way since
    assert Starts().latest is None
    assert Starts().lack(Start(1, nonce(7)))


def test_a_copy_is_found_out_however_often_it_is_started() -> None:
    copied = started(7, 8)
    met = started(9, after=copied).latest
    assert met is not None
    again = started(*range(20, 120), after=copied)
    assert again.last > met.number
    assert again.lack(met)
    assert not started(10, 11, after=started(9, after=copied)).lack(met)  # the store itself is not


def test_of_starts_that_are_not_kept_any_more_nobody_can_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "MOST_STARTS", 3)
    known = started(1, 2, 3, 4, 5)
    assert (known.last, len(known.nonces)) == (5, 3 * starts.NONCE_BYTES)
    assert not known.lack(Start(2, nonce(2)))
    assert not known.lack(Start(2, nonce(9)))
    assert known.lack(Start(3, nonce(9)))
    assert not known.lack(Start(3, nonce(3)))


def test_a_greeting_that_comes_late_takes_nothing_back() -> None:
    first, second = Met("2222", Start(1, nonce(1))), Met("2222", Start(2, nonce(2)))
    assert latest_met(None, first) == first
    assert latest_met(first, second) == second
    assert latest_met(second, first) == second
    other = Met("4444", Start(1, nonce(3)))
    assert latest_met(second, other) == other  # another store counts for itself
