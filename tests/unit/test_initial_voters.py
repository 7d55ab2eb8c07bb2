"""The voters that a cluster began with, against those that a start names."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from raft_actors import ClusterConfig, StateMachine, open_node
from raft_actors.errors import StorageMismatch
from raft_actors.node.initial_voters import initial_voters
from raft_actors.persistence import HardState, MemoryDisk, MemoryStorage, Recovered
from raft_actors.transports import MemoryNetwork


class Last(StateMachine[bytes, bytes]):
    """Keeps the last command."""

    def __init__(self) -> None:
        self.last = b""

    def apply(self, command: bytes) -> bytes:
        self.last = command
        return command

    def snapshot(self) -> list[bytes]:
        return [self.last]

    async def restore(self, chunks: object) -> None:
        raise NotImplementedError


def cluster(*voters: str, port: int = 7000) -> ClusterConfig:
    return ClusterConfig("orders", {voter: f"{voter}:{port}" for voter in voters})


def recovered(*voters: str) -> Recovered:
    return Recovered(HardState(), None, 1, 0, (), (), initial_voters=voters)


def test_the_first_start_names_the_voters() -> None:
    assert initial_voters("n1", cluster("n2", "n1"), recovered()) == ("n1", "n2")
    assert initial_voters("n1", cluster("n2", "n1", port=1), recovered("n1", "n2")) == ("n1", "n2")


@pytest.mark.parametrize(
    ("named", "difference"),
    [
        (("n1",), r"names n1 \(n2, n3 are missing\)"),
        (("n1", "n2", "n3", "n4"), r"names n1, n2, n3, n4 \(n4 is new\)"),
        (("n1", "n2", "n4"), r"names n1, n2, n4 \(n3 is missing, n4 is new\)"),
    ],
)
def test_a_later_start_that_names_others_is_refused_with_the_difference(
    named: tuple[str, ...], difference: str
) -> None:
    with pytest.raises(StorageMismatch, match=f"began with the voters n1, n2, n3, and this start {difference}") as told:
        initial_voters("n1", cluster(*named), recovered("n1", "n2", "n3"))
    assert "name the same ones at every start" in str(told.value)


async def test_a_node_does_not_open_with_other_voters_and_harms_nothing(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = 0
    disk = MemoryDisk()

    async def run(voters: tuple[str, ...], port: int) -> bytes:
        network = MemoryNetwork(seed=1)
        async with open_node(
            "n1",
            cluster=cluster(*voters, port=port),
            state_machine=Last(),
            storage=MemoryStorage(disk),
            transport=network.transport("n1"),
        ) as node:
            await node.wait_leader()
            return await node.propose(b"x")

    with trio.fail_after(60):
        assert await run(("n1",), 1) == b"x"
        with pytest.raises(StorageMismatch, match="n2 is new"):
            await run(("n1", "n2"), 1)
        assert await run(("n1",), 2) == b"x"
