"""Reads that wait for an entry to be applied: what is kept of those that were given up."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

from raft_actors.node.applied_reads import AppliedReads
from raft_actors.node.proposals import PendingRead
from raft_actors.raft.effects import AnswerReads
from tests.actors.machines import Machine
from tests.unit.builders import make_admission


class Readers:
    """Those who ask one node, and the queries of theirs that it still holds."""

    def __init__(self) -> None:
        self.reads = AppliedReads(Machine())
        self.held: weakref.WeakSet[Callable[[Any], Any]] = weakref.WeakSet()

    def ask(self, index: int, count: int = 1, *, as_of: float | None = None) -> list[PendingRead[Any]]:
        asked: list[PendingRead[Any]] = []
        for _ in range(count):
            # One function each, which lives as long as its read.
            query = eval("lambda machine: 'seen'")
            self.held.add(query)
            asked.append(PendingRead(make_admission(), query))
        self.reads.answer_when_applied(AnswerReads(index, tuple(asked), as_of))
        return asked


def give_up(reads: list[PendingRead[Any]]) -> None:
    for read in reads:
        read.abandon()


def test_reads_that_were_given_up_are_not_kept_until_their_entry_is_applied() -> None:
    """A follower whose disk is behind applies nothing, and its readers give up and ask again, all the time."""
    readers = Readers()
    patient = readers.ask(7, 100) + readers.ask(5, 100)
    for _ in range(300):
        give_up(readers.ask(9, 100))
    gc.collect()
    assert len(readers.held) <= 2_000
    readers.reads.moved(6, 1)
    assert [read.done for read in patient] == [False] * 100 + [True] * 100
    readers.reads.moved(9, 1)
    assert {read.result_nowait() for read in patient} == {"seen"}
    gc.collect()
    assert len(readers.held) == len(patient)


def test_what_is_let_go_leaves_the_others_as_they_were() -> None:
    readers = Readers()
    aged = readers.ask(7, 2, as_of=3.0)
    give_up(aged[:1])
    many = readers.ask(8, 5_000)
    give_up(many[::2])
    late = readers.ask(6)
    readers.reads.moved(6, 1)
    assert late[0].done
    seen_at = [readers.reads.as_of]
    readers.reads.moved(7, 1)
    assert aged[1].result_nowait() == "seen"
    assert [*seen_at, readers.reads.as_of] == [None, 3.0]
    readers.reads.moved(8, 1)
    assert all(read.done for read in many)
    assert not readers.reads._waiting
