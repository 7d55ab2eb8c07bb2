"""Log lines name the node that speaks, and tell of its life."""

from __future__ import annotations

import logging

import pytest

from raft_actors import StateMachineError, open_node
from tests.embedding.support import arguments
from tests.embedding.test_endings import Broken


async def test_a_life_is_told_in_lines_that_name_the_node(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "raft_actors.node")
    async with open_node("n1", **arguments()) as node:
        await node.wait_leader()
    assert [record.getMessage() for record in caplog.records] == [
        "node n1: runs: term 0, last entry 0, committed 0, applied 0",
        "node n1: is follower in term 0",
        "node n1: is candidate in term 1",
        "node n1: is leader in term 1",
        "node n1: knows 'n1' as the leader of term 1",
        "node n1: has ended",
    ]
    assert {record.__dict__["node_id"] for record in caplog.records} == {"n1"}


async def test_a_crash_is_told_as_an_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "raft_actors.node")

    async def live() -> None:
        async with open_node("n1", **arguments(Broken)) as node:
            await node.wait_leader()
            await node.propose(b"x")
            await node.take_snapshot()

    with pytest.raises(StateMachineError):
        await live()
    assert [record.getMessage() for record in caplog.records] == [
        "node n1: ends: StateMachineError: the state machine can't take a snapshot at index 2"
    ]
