"""What the tests of members share."""

from __future__ import annotations

from collections.abc import Callable, Collection

import trio

from raft_actors import ChangePhase, MembersStatus, NotLeader
from tests.cluster.support import LogCluster


def newcomers(*names: str) -> dict[str, str]:
    return {name: f"{name}.test:1" for name in names}


async def change(cluster: LogCluster, voters: Collection[str], learners: Collection[str] = ()) -> MembersStatus:
    """Ask whoever leads, and the next leader where that one is gone."""
    while True:
        leader = await cluster.wait_for_one_leader()
        try:
            return await cluster.node(leader).change_members(newcomers(*voters), newcomers(*learners))
        except NotLeader:
            continue


async def until(cluster: LogCluster, condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Wait until a condition holds, looking very often."""
    with trio.fail_after(within_s):  # noqa: ASYNC912 - what holds already need not be waited for
        while not condition():  # noqa: ASYNC110 - what a test waits for is no event
            await trio.sleep(0.0002)


def joint_at(cluster: LogCluster, name: str) -> bool:
    return name in cluster.nodes and cluster.node(name).members().phase is ChangePhase.JOINT
