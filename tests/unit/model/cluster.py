"""A cluster of model nodes and the scheduler that injects faults: every choice comes from one seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from raft_actors.config import ClusterConfig, NodeConfig
from raft_actors.node.admission import Admission
from raft_actors.node.proposals import LocalProposals
from raft_actors.raft.inputs import PeerDisconnected, Received, Requested
from raft_actors.raft.messages import Message
from raft_actors.raft.roles import Leader
from tests.unit.model.checks import Checks
from tests.unit.model.disk import Disk
from tests.unit.model.node import Node

#: Messages under way; the oldest are lost beyond it.
_NETWORK_CAPACITY = 60


class ModelCluster:
    """Nodes, a network between them, and random events."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.nodes: dict[str, Node] = {}
        self.network: list[tuple[str, str, Message]] = []
        self.cut: set[tuple[str, str]] = set()
        self.proposed = 0
        self._lossless = False
        self._unrest = self.rng.choice([0.1, 0.3, 1.0])
        self._loss = self.rng.choice([0.0, 0.05, 0.3])
        ids = [f"n{number}" for number in range(1, self.rng.choice([3, 3, 4, 5]) + 1)]
        disks = {node_id: Disk() for node_id in ids}
        self.checks = Checks(disks)
        cluster = ClusterConfig("model", dict.fromkeys(ids, "nowhere"))
        for node_id in ids:
            self.nodes[node_id] = Node(
                node_id,
                cluster=cluster,
                config=self._config(),
                rng=Random(self.rng.random()),
                disk=disks[node_id],
                checks=self.checks,
                send=self._send,
            )

    def _config(self) -> NodeConfig:
        choose = self.rng.choice
        return NodeConfig(
            max_append_bytes=choose([60, 200]),
            max_inflight_appends=choose([1, 4]),
            max_inflight_bytes=choose([100, 1000]),
            log_cache_bytes=choose([60, 600]),
            trailing_entries=choose([0, 3]),
            check_quorum=choose([True, True, False]),
            pre_vote=choose([True, True, False]),
        )

    # --- the network ------------------------------------------------------------------------------------------

    def _send(self, sender: str, to: str, message: Message) -> bool:
        self.checks.sent(sender, to, message)
        if not self._lossless and self.rng.random() < 0.02:
            return False
        if len(self.network) >= _NETWORK_CAPACITY and not self._lossless:
            self.network.pop(0)
        self.network.append((sender, to, message))
        return True

    def _deliver_one(self) -> None:
        network, rng = self.network, self.rng
        if not network:
            self._disturb(rng.choice(list(self.nodes.values())), 0.0)
            return
        position = 0 if rng.random() < 0.6 else rng.randrange(len(network))
        sender, to, message = network[position]
        if rng.random() >= 0.05:  # else a copy stays under way
            del network[position]
        if (sender, to) not in self.cut and rng.random() >= self._loss:
            self.nodes[to].inbox.append(Received(sender, message))

    def _cut_some(self) -> None:
        ids = list(self.nodes)
        pairs = [(a, b) for a in ids for b in ids if a != b]
        self.cut = set(self.rng.sample(pairs, self.rng.choice([0, 0, 1, 2, len(pairs) // 2])))

    # --- faults -----------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Let one random thing happen."""
        rng, nodes = self.rng, list(self.nodes.values())
        dice = rng.random() * 100
        if dice < 40:
            self._deliver_one()
        elif dice < 62:
            self._one_of([node for node in nodes if node.inbox], lambda node: node.take_inbox(rng.choice([1, 1, 3, 9])))
        elif dice < 74:
            self._one_of([node for node in nodes if node.to_write], lambda node: node.write(rng.choice([1, 2, 9])))
        elif dice < 86:
            self._run_a_replicator()
        elif dice < 90:
            leaders = [node for node in nodes if isinstance(node.role, Leader)]
            self._one_of(leaders if rng.random() < 0.9 else nodes, self._propose)
        elif dice < 93:
            self._one_of(nodes, Node.apply)
        else:
            self._disturb(rng.choice(nodes), (dice - 93) / 7)

    def _one_of(self, nodes: list[Node], action: Callable[[Node], None]) -> None:
        if nodes:
            action(self.rng.choice(nodes))

    def _disturb(self, node: Node, dice: float) -> None:
        leads = isinstance(node.role, Leader)
        if dice < 0.7:
            if leads or self.rng.random() < 0.15 * self._unrest:
                node.fire_timer()
        elif dice < 0.85:
            node.apply()
            node.take_snapshot()
        elif self.rng.random() < 0.3 * self._unrest:
            if dice < 0.92:
                self.crash(node)
            else:
                self._cut_some()

    def _run_a_replicator(self) -> None:
        waiting = [
            (node, peer) for node in self.nodes.values() for peer, (_, messages) in node.replicators.items() if messages
        ]
        if waiting:
            node, peer = self.rng.choice(waiting)
            node.run_replicator(peer)

    def _propose(self, node: Node) -> None:
        count = self.rng.choice([1, 1, 2, 5])
        commands = [b"%d" % (self.proposed + offset) for offset in range(count)]
        self.proposed += count
        admission = Admission(node.node_id, max_bytes=10**6, max_count=10**6)
        node.inbox.append(Requested([LocalProposals(admission, commands, sum(map(len, commands)))]))

    def crash(self, node: Node) -> None:
        """Cut the power of a node, after some of its writes were carried out, and start it again."""
        for _ in range(self.rng.randrange(len(node.to_write) + 1)):
            node.disk.carry_out(node.to_write.popleft().write)
        node.start()
        for other in self.nodes.values():
            if other is not node and self.rng.random() < 0.5:
                other.inbox.append(PeerDisconnected(node.node_id))

    # --- recovery ---------------------------------------------------------------------------------------------

    def heal(self, seconds: float = 30.0) -> None:
        """Let everything go well until all nodes have applied a last command; AssertionError if that never happens."""
        self.cut, self._loss, self._lossless = set(), 0.0, True
        asked = 0
        for _ in range(int(seconds / 0.02)):
            self._settle(0.02)
            leader = self._newest_leader()
            if leader is not None and leader.state.term != asked:
                asked = leader.state.term
                self._propose(leader)
            elif leader is not None and not leader.inbox:
                last = leader.state.log.last_index
                if all(node.applied_index == last for node in self.nodes.values()):
                    return
        raise AssertionError("the cluster does not recover")

    def _newest_leader(self) -> Node | None:
        leaders = [node for node in self.nodes.values() if isinstance(node.role, Leader)]
        return max(leaders, key=lambda node: node.state.term, default=None)

    def _settle(self, seconds: float) -> None:
        """Time passes, and everybody does what can be done."""
        for node in self.nodes.values():
            node.clock += seconds
            if node.role.deadline <= node.clock:
                node.fire_timer()
            while node.inbox or node.to_write:
                node.write(100)
                node.take_inbox(100)
            for peer in list(node.replicators):
                node.run_replicator(peer)
            node.apply()
        under_way, self.network = self.network, []
        for sender, to, message in under_way:
            self.nodes[to].inbox.append(Received(sender, message))

    def describe(self) -> str:
        """The nodes, one a line."""
        lines = []
        for node in self.nodes.values():
            state, log = node.state, node.state.log
            progress = {peer: replicator.progress for peer, (replicator, _) in node.replicators.items()}
            lines.append(
                f"{node.node_id} {node.role.name} term {state.term} log {log.first_index}-{log.last_index} "
                f"durable {log.durable_index} commit {state.commit_index} applied {node.applied_index} "
                f"snapshot {log.snapshot} {progress or ''}"
            )
        return "\n".join(lines)
