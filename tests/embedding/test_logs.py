"""Log lines name the node that speaks, and tell of its life."""

from __future__ import annotations

import logging
from contextlib import suppress

import pytest
import trio

from raft_actors import Event, GivenUp, LeadershipGivenUp, StateMachineError, open_node
from raft_actors.errors import TransportError
from raft_actors.node_log import NodeLog
from raft_actors.testing import simulate
from tests.actors.machines import Machine
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


async def test_a_leader_that_gives_leadership_up_says_why(
    autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    async with simulate(Machine, nodes=3, seed=1) as cluster:
        leader = await cluster.wait_for_one_leader()
        async with cluster.nodes[leader].events() as events:
            cluster.isolate(leader)
            await trio.sleep(3)
            told: list[Event] = []
            with suppress(trio.WouldBlock):
                while len(told) < 100:
                    told.append(events.receive_nowait())
    [given_up] = [event for event in told if isinstance(event, LeadershipGivenUp)]
    assert given_up.reason is GivenUp.NO_MAJORITY
    assert given_up.silent_s > 0.8
    [line] = [record.getMessage() for record in caplog.records if "gives leadership up" in record.getMessage()]
    assert line == f"node {leader}: gives leadership up: no majority has answered for {given_up.silent_s:.1f} s"


def test_what_others_have_said_makes_no_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """Nor does it reach the terminal of who reads the log as anything but text."""
    log = NodeLog(logging.getLogger("raft_actors.node"), "n1")
    said = "no\nnode n1: has ended\x1b[2J\u202e"
    log.warning("is refused by %r: %s (%s), %d times", "n2", said, TransportError(said), 3)
    log.warning("läuft: %s", "größer als 3 µs – 你好")
    text = r"no\nnode n1: has ended\x1b[2J\u202e"
    assert [record.getMessage() for record in caplog.records] == [
        f"node n1: is refused by 'n2': {text} ({text}), 3 times",
        "node n1: läuft: größer als 3 µs – 你好",
    ]
    assert {record.funcName for record in caplog.records} == {
        test_what_others_have_said_makes_no_line_of_its_own.__name__
    }
