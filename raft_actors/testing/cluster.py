"""A cluster of real nodes in one Trio run, on a simulated network, simulated disks and simulated clocks.

The nodes are the same that run in production. A node that crashes by itself, or a check that fails (see `invariants`),
ends the block of `simulate` at once with an error that names the seed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from functools import partial
from random import Random
from typing import Any, Generic, TypeVar

import attrs
import trio

from raft_actors.config import ClusterConfig, Leases, NodeConfig
from raft_actors.errors import NodeStopped, NotLeader, Overloaded, StorageCorrupt
from raft_actors.node.members import MembersStatus
from raft_actors.node.node import Node
from raft_actors.observe.trace import Trace
from raft_actors.raft.transitions import RoleName
from raft_actors.state_machine import StateMachine
from raft_actors.testing.clocks import SimulatedClock
from raft_actors.testing.disk import SimulatedDisk, seeded_incarnations
from raft_actors.testing.event_queue import EventQueue, Gate
from raft_actors.testing.facts import Facts
from raft_actors.testing.failure import CheckFailed, check_failed
from raft_actors.testing.invariants import Invariant
from raft_actors.testing.members import Member, Started
from raft_actors.testing.network import LINK_FAULTS, SimulatedNetwork
from raft_actors.testing.recorder import TraceRecorder
from raft_actors.testing.recording import RecordingStateMachine
from raft_actors.testing.watch import Watch
from raft_actors.transports.faults import Faults

C = TypeVar("C")
R = TypeVar("R")

RELIABLE = Faults(delay_s=(0.0002, 0.001))
"""A local network: messages take up to a millisecond, may overtake each other, and all arrive."""
UNRELIABLE = Faults(drop=0.1, delay_s=(0.0, 0.026))
"""A tenth of all messages is lost, the others take up to 26 ms."""

_POLLS = 10
_POLL_S = (0.45, 0.55)
_AGREEMENT_S = 10.0
_COMMIT_S = 2.0
_LOOK_S = 0.02
_GLANCE_S = 0.0005


class SimulatedCluster(Generic[C, R]):
    """Real nodes to be crashed, cut off and watched. Made by `simulate`, with the faults of `Simulation`.

    Attributes:
        node_ids: all nodes, "n1" first; those that began the cluster, then those that may join it.
        event_queue: what is going to happen.
        trace: what has happened.
        network: the network between them. Prefer the cluster's methods for cuts, which keep `connected` right.
        config: what nodes are started with, but for their seed. May be replaced for later starts.
        watch: sees what all nodes do, and checks the invariants.
        rng: for the test's own choices; seeded.
        lost: node id → why it must not be started any more: its disk is damaged, or not its own.
        tolerated: errors that may end a node without failing the test.
    """

    def __init__(  # noqa: PLR0913 - all keywords of `simulate`
        self,
        state_machine: Callable[[], StateMachine[C, R]],
        nursery: trio.Nursery,
        *,
        nodes: int,
        joiners: int,
        seed: int,
        config: NodeConfig,
        leases: Leases | None,
        faults: Faults,
        disk_delay_s: float,
        trace: bool,
        invariants: Iterable[Callable[[], Invariant]],
    ) -> None:
        self.seed = seed
        self.config = config
        self.event_queue: EventQueue = EventQueue()
        self.trace: Trace = Trace(complete=trace)
        self.rng: Random = Random(f"{seed} test")
        self.failure: CheckFailed | None = None
        self.tolerated: tuple[type[Exception], ...] = ()
        self.lost: dict[str, str] = {}
        self._make_state_machine = state_machine
        self._nursery = nursery
        names = [f"n{number}" for number in range(1, nodes + joiners + 1)]
        self._cluster_config = ClusterConfig(
            "simulated", {name: f"{name}.test:1" for name in names[:nodes]}, leases=leases
        )
        gates = {name: Gate() for name in names}
        disks = {name: self._make_disk(name, gates[name], disk_delay_s) for name in names}
        recorder = TraceRecorder(self.trace, disks)
        self.watch: Watch = Watch(disks, [make() for make in invariants], self._report, others=[recorder])
        self._members: dict[str, Member[C, R]] = {
            name: Member(
                name,
                disks[name],
                gates[name],
                SimulatedClock(self.event_queue, gates[name], partial(self.trace.told, name, "clock")),
                self.trace,
                self.watch,
                self._crashed,
                self._cluster_config,
            )
            for name in names
        }
        self.network: SimulatedNetwork = SimulatedNetwork(
            seed=seed, requests=faults, replies=faults, event_queue=self.event_queue, trace=self.trace, gates=gates
        )
        self._disconnected: set[str] = set()
        self.node_ids: tuple[str, ...] = tuple(names)

    def _make_disk(self, name: str, gate: Gate, disk_delay_s: float) -> SimulatedDisk:
        return SimulatedDisk(
            write_delay_s=disk_delay_s,
            draw_incarnation=seeded_incarnations(f"{self.seed} stores of {name}"),
            event_queue=self.event_queue,
            gate=gate,
            rng=Random(f"{self.seed} disk {name}"),
            told=partial(self.trace.told, name, "disk"),
            power_lost=lambda: self._members[name].crash("power"),
            replaced=lambda: self.watch.disk_replaced(name, self._members[name].disk),
        )

    # --- looking ---------------------------------------------------------------------------------------------

    @property
    def facts(self) -> Facts:
        """What was seen of all nodes: leaders, what was committed, the history of applied commands."""
        return self.watch.facts

    @property
    def nodes(self) -> dict[str, Node[RecordingStateMachine[C, R]]]:
        """The nodes that run now and have recovered, by id."""
        return {
            name: member.running.node
            for name, member in self._members.items()
            if member.running is not None and member.running.recovered
        }

    @property
    def connected(self) -> list[str]:
        """The ids of the nodes that run and were not disconnected."""
        return [name for name in self.nodes if name not in self._disconnected]

    @property
    def majority(self) -> int:
        """How many nodes are more than half of those that began the cluster."""
        return len(self._cluster_config.voters) // 2 + 1

    def members(self) -> MembersStatus | None:
        """The members, by the running node that knows most to be committed; None where no node runs."""
        known = [(node.status().commit_index, node.members()) for node in self.nodes.values()]
        return max(known, key=lambda one: (one[0], one[1].config))[1] if known else None

    def node(self, node_id: str) -> Node[RecordingStateMachine[C, R]]:
        """A node that runs now."""
        return self._members[node_id].get().node

    def disk(self, node_id: str) -> SimulatedDisk:
        """A node's disk, whether it runs or not."""
        return self._members[node_id].disk

    def clock(self, node_id: str) -> SimulatedClock:
        """A node's clock, whether it runs or not."""
        return self._members[node_id].clock

    def state_machine(self, node_id: str) -> Any:
        """The application's state machine in a node that runs now."""
        return self._members[node_id].get().state_machine

    def applied_index(self, node_id: str) -> int:
        """The last entry that the node has applied; 0 if it is down."""
        running = self._members[node_id].running
        return 0 if running is None else running.node.status().applied_index

    def n_committed(self, index: int) -> tuple[int, bytes | None]:
        """How many running nodes have applied the entry at `index`, and its command (None where it is none)."""
        count = sum(self.applied_index(name) >= index for name in self.node_ids)
        return count, self.facts.command_at(index) if count else None

    def leader(self) -> str | None:
        """The connected node that leads the highest term now, or None."""
        leaders = self._connected_leaders()
        return leaders[max(leaders)][0] if leaders else None

    def agreed_term(self) -> int:
        """The term that all connected nodes are in; it fails if they do not agree."""
        terms = {name: self.node(name).status().term for name in self.connected}
        if len(set(terms.values())) != 1:
            raise self.failed(f"the connected nodes are in different terms: {terms}")
        return next(iter(terms.values()))

    def _connected_leaders(self) -> dict[int, list[str]]:
        leaders: defaultdict[int, list[str]] = defaultdict(list)
        for name in self.connected:
            status = self.node(name).status()
            if status.role is RoleName.LEADER:
                leaders[status.term].append(name)
        for term, names in leaders.items():
            if len(names) > 1:
                raise self.failed(f"term {term} has more than one leader: {names}")
        return leaders

    # --- waiting ---------------------------------------------------------------------------------------------

    async def wait_for_one_leader(self) -> str:
        """Poll until a connected node leads, ten times, half a second apart; return the leader of the highest term."""
        for _ in range(_POLLS):
            await trio.sleep(self.rng.uniform(*_POLL_S))
            leader = self.leader()
            if leader is not None:
                return leader
        raise self.failed("no leader was elected")

    def expect_no_leader(self) -> None:
        """Fail if a connected node leads."""
        leader = self.leader()
        if leader is not None:
            raise self.failed(f"{leader!r} leads, and none should")

    async def wait_applied(self, index: int, expected: int, *, timeout_s: float = _AGREEMENT_S) -> None:
        """Wait until `expected` nodes have applied the entry at `index`."""
        give_up = trio.current_time() + timeout_s
        while trio.current_time() < give_up:
            if self.n_committed(index)[0] >= expected:
                return
            await trio.sleep(_LOOK_S)
        raise self.failed(f"entry {index} was applied by {self.n_committed(index)[0]} nodes, not {expected}, in time")

    async def start_command(self, node_id: str, command: C) -> Started | None:
        """Propose a command at this node and return where its log put it; None if it is not the leader."""
        running = self._members[node_id].running
        if running is None:
            return None
        try:
            proposal = running.node.propose_nowait(command)
        except (NotLeader, NodeStopped, Overloaded):
            return None
        while proposal.index is None and not proposal.done:  # noqa: ASYNC110 - a log index is no event
            await trio.sleep(_GLANCE_S)  # so that time passes: a leader that hands over holds what is proposed
        if proposal.index is None or running.killed:
            return None
        return Started(node_id, proposal.index, running.node.status().term, proposal)

    async def one(self, command: C, expected: int, *, retry: bool = True) -> int:
        """Have a command committed by whoever leads, and applied by at least `expected` nodes; return its index.

        Without `retry`, the first log that takes it must bring it to that within two seconds. With it, it may be
        proposed again (and so be applied twice), for ten seconds in all.
        """
        data, give_up = self._encoded(command), trio.current_time() + _AGREEMENT_S
        while trio.current_time() < give_up:
            started = await self._start_somewhere(command)
            if started is None:
                await trio.sleep(_LOOK_S)
                continue
            patience = trio.current_time() + _COMMIT_S
            while trio.current_time() < patience:
                count, applied = self.n_committed(started.index)
                if count >= expected and applied == data:
                    return started.index
                await trio.sleep(_LOOK_S)
            if not retry:
                break
        raise self.failed(f"{command!r} was not applied by {expected} nodes")

    async def _start_somewhere(self, command: C) -> Started | None:
        names = self.connected
        first = self.rng.randrange(len(names)) if names else 0
        for name in names[first:] + names[:first]:
            started = await self.start_command(name, command)
            if started is not None:
                return started
        return None

    def _encoded(self, command: C) -> bytes:
        data: bytes = self._make_state_machine().commands.encode(command)
        return data

    # --- nodes -----------------------------------------------------------------------------------------------

    async def start(self, node_id: str) -> Node[RecordingStateMachine[C, R]]:
        """Start a node that is down, on the disk that it left behind; return it once it has recovered.

        Raises:
            RaftError: what kept it from starting.
        """
        member = self._members[node_id]
        seed = Random(f"{self.seed} {node_id} {member.starts + 1}").getrandbits(32)
        return await member.start(
            self._nursery,
            self._make_state_machine,
            transport=self.network.transport(node_id),
            config=attrs.evolve(self.config, seed=seed),
        )

    def crash(self, node_id: str) -> None:
        """Cut a node's power: it ends here and now, and what was not on its disk is lost. Nobody is told."""
        self._members[node_id].crash()

    async def stop(self, node_id: str) -> None:
        """Shut a node down as its owner would."""
        await self._members[node_id].stop()

    async def wait_down(self, node_id: str) -> None:
        """Wait until all that is left of a node that was crashed has ended."""
        await self._members[node_id].wait_ended()

    async def restart(self, *node_ids: str) -> None:
        """Crash those of these nodes that run (all at once), then start each (by default all nodes)."""
        names = node_ids or self.node_ids
        for name in names:
            if self._members[name].running is not None:
                self.crash(name)
        for name in names:
            await self.start(name)

    # --- network ---------------------------------------------------------------------------------------------

    def disconnect(self, *node_ids: str) -> None:
        """Lose everything to and from these nodes."""
        self.trace.add("fault", what="disconnect", text=f"{', '.join(node_ids)} cut off", nodes=list(node_ids))
        for name in node_ids:
            self._disconnected.add(name)
            self.network.disconnect(name)

    def connect(self, *node_ids: str) -> None:
        """Undo `disconnect` (by default of all nodes)."""
        names = node_ids or self.node_ids
        self.trace.add("heal", what="disconnect", text=f"{', '.join(names)} connected", nodes=list(names))
        for name in names:
            self._disconnected.discard(name)
            self.network.connect(name)

    def partition(self, *groups: Collection[str]) -> None:
        """Lose everything between the groups. They count as connected."""
        parts = [sorted(group) for group in groups]
        text = " | ".join(", ".join(part) for part in parts)
        if any(parts):
            self.trace.add("fault", what="partition", text=text, groups=parts)
        else:
            self.trace.add("heal", what="partition", text="the partition is over")
        self.network.partition(*groups)

    def heal(self) -> None:
        """Undo all disconnections, partitions and cuts."""
        self.trace.add("heal", what=list(LINK_FAULTS), text="all links mended")
        self._disconnected.clear()
        self.network.heal()

    def unreliable(self, *, late_replies: bool = False) -> None:
        """Have the network lose a tenth of the messages and delay the rest; with `late_replies`, two thirds of the
        replies are 0.2 to 2.2 seconds late."""
        replies = attrs.evolve(UNRELIABLE, reorder=2 / 3, reorder_delay_s=(0.2, 2.2)) if late_replies else UNRELIABLE
        self.network.set_faults(UNRELIABLE, replies)

    def reliable(self) -> None:
        """Undo `unreliable`."""
        self.network.set_faults(RELIABLE)

    # --- checking --------------------------------------------------------------------------------------------

    def _crashed(self, node_id: str, text: str, error: Exception) -> None:
        injected = self._members[node_id].disk.brought_about(error)
        if injected and isinstance(error, StorageCorrupt):
            self.lost[node_id] = str(error)
        if not injected and not isinstance(error, self.tolerated):
            self._report(text, error)

    def _report(self, text: str, cause: BaseException | None = None) -> None:
        """Note the first failure and end the block. Never raises: it is called from inside the nodes."""
        if self.failure is None:
            self.failure = self.failed(text)
            self.failure.__cause__ = cause
            self.trace.add("broken", invariant=self.failure.broken, text=text)
            self._nursery.cancel_scope.cancel()

    def failed(self, text: str) -> CheckFailed:
        """An error to raise for what is wrong."""
        return check_failed(self.seed, trio.current_time(), text)

    def final_checks(self) -> None:
        """What is checked at the end of the block, of whatever state the cluster is in then."""
        for member in self._members.values():
            if member.running is not None:
                member.running.recorder.tell_digest()
        self.watch.finish()
        if self.failure is not None:
            raise self.failure
