"""Blocks of `while_leading` on all nodes, under drawn faults: what holds in each while other nodes commit."""

from __future__ import annotations

from collections import Counter
from typing import Any

import trio
from typing_extensions import override

from raft_actors import Leases, Node, NodeConfig, RaftError
from raft_actors.node.leadership import Leadership
from raft_actors.raft.roles import Leader
from raft_actors.testing import STANDARD_INVARIANTS, Invariant, Plan, Simulation, simulate
from raft_actors.testing.life import Life
from raft_actors.transports.faults import Faults
from tests.cluster.support import CommandLog, seeds

Cluster = Simulation[bytes, int]

SECONDS = 60.0
#: Leaders do not step down by themselves where nobody answers them, so it is the lease alone that ends a block in time.
PLAN = Plan(
    config=NodeConfig(check_quorum=False),
    requests=Faults(delay_s=(0.0005, 0.01), drop=0.01, duplicate=0.02, replay=0.02, replay_delay_s=(0.5, 2.0)),
    clock_rates=(0.4, 2.5),
    leases=Leases(1.5, clock_error=0.05),
    actions={
        **dict.fromkeys(("halves", "one_way", "flap", "stall", "reset", "hang_disk"), 1.0),
        **dict.fromkeys(("hand_over", "kill_leader", "crash", "stop", "jump_clock", "change_clock"), 1.0),
        **dict.fromkeys(("isolate_leader", "pause"), 4.0),
    },
)
_LOOK_S = 0.05


class BlocksNeverOverlap(Invariant):
    """With leases, no other leader commits anything, and no other block begins, while a block of `while_leading` holds.

    Attributes:
        open: node → its life, and its block in it.
        begun: node → how many blocks have begun there.
    """

    name = "blocks of while_leading never overlap"
    source = "docs/guarantees.md, Leases"

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[str, tuple[Life, Leadership]] = {}
        self._lives: dict[str, Life] = {}
        self.begun: Counter[str] = Counter()

    def begin(self, node_id: str, leadership: Leadership) -> None:
        """A block begins."""
        life = self._lives[node_id]
        self._look(node_id, f"a block begins at {life}, in term {leadership.term}")
        self.open[node_id] = life, leadership
        self.begun[node_id] += 1

    @override
    def started(self, life: Life) -> None:
        """Know which life is a node's."""
        self._lives[life.node_id] = life

    @override
    def changed(self, life: Life) -> None:
        """Somebody may have committed something."""
        if isinstance(life.role, Leader) and life.state.commit_index > life.seen_commit:
            self._look(life.node_id, f"{life} commits entry {life.state.commit_index}, of term {life.role.term}")

    def _look(self, node_id: str, what: str) -> None:
        for other, (life, leadership) in self.open.items():
            if other != node_id and not life.over and leadership.holds:
                self.fail(f"{what}, while the block of {life}, of term {leadership.term}, holds")


@seeds(2)
async def test_blocks_never_overlap_whatever_happens(seed: int) -> None:
    """Leaders are cut off, paused, told to hand over and killed, by clocks of which one is as wrong as it may be."""
    blocks = BlocksNeverOverlap()
    invariants = (*STANDARD_INVARIANTS, lambda: blocks)
    async with (
        simulate(CommandLog, seed=seed, config=PLAN.config, leases=PLAN.leases, invariants=invariants) as cluster,
        trio.open_nursery() as nursery,
    ):
        for name in cluster.node_ids:
            nursery.start_soon(_lead_on_and_on, cluster, name, blocks)
        await cluster.inject_faults(SECONDS, PLAN)
        await cluster.check_liveness()
        nursery.cancel_scope.cancel()
    assert len(blocks.begun) == len(cluster.node_ids)
    assert blocks.begun.total() > 2 * len(cluster.node_ids)


async def _lead_on_and_on(cluster: Cluster, name: str, blocks: BlocksNeverOverlap) -> None:
    """Enter a block whenever that can be, in each of a node's lives."""
    while True:
        node = cluster.nodes.get(name)
        if node is not None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_lead, node, blocks)
                while cluster.nodes.get(name) is node:  # noqa: ASYNC110 - a power cut is no event
                    await trio.sleep(_LOOK_S)
                nursery.cancel_scope.cancel()
        await trio.sleep(_LOOK_S)


async def _lead(node: Node[Any], blocks: BlocksNeverOverlap) -> None:
    while True:
        try:
            async with node.while_leading() as leadership:
                blocks.begin(node.node_id, leadership)
                while True:
                    await leadership.propose(b"x")
                    await trio.sleep(_LOOK_S)
        except RaftError:
            await trio.sleep(_LOOK_S)
        finally:
            blocks.open.pop(node.node_id, None)
