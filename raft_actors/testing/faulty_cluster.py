"""A simulated cluster with every fault there is, of its processes, its network and all of it at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any, TypeVar

import attrs
import trio
from typing_extensions import override

from raft_actors.commands import RAW_BYTES
from raft_actors.config import NodeConfig
from raft_actors.errors import NodeStopped, ProposalError, StorageCorrupt, StorageError, StoreReplaced
from raft_actors.node.submission import Submission
from raft_actors.raft.configurations import Held
from raft_actors.raft.membership import Configuration
from raft_actors.raft.membership_codec import decode_configuration
from raft_actors.raft.roles import Leader
from raft_actors.raft.transitions import RoleName
from raft_actors.testing.cluster import RELIABLE, SimulatedCluster
from raft_actors.testing.event_queue import Gate
from raft_actors.testing.history import History
from raft_actors.testing.invariants import EqualResults, Invariant
from raft_actors.testing.life import Life
from raft_actors.testing.linearizability import Model, Report, Verdict, check_history
from raft_actors.transports.faults import Faults

C = TypeVar("C")
R = TypeVar("R")

#: From one entry of `feed` to the next, and how long each waits to be committed.
_FEED_S, _FED_S = 0.001, 5.0

#: Many snapshots would cost more than all else; few would be none at all in short runs.
_STATE_CHECK_ENTRIES = 50

HEALTHY_DISK_S = (0.0, 0.002)
"""How long a write takes on a disk that was healed."""


class FaultyCluster(SimulatedCluster[C, R]):
    """A simulated cluster, with methods that bring about faults; `Simulation` adds clients and random faults.

    Faults of one node's disk are methods of `disk(…)`, those of its clock of `clock(…)`. All others are here.

    Attributes:
        history: what clients called, and were told.
        without_store: members whose store was lost, until they are members with another one: they may find out so.
    """

    def __init__(self, *positional: Any, **keywords: Any) -> None:
        super().__init__(*positional, **keywords)
        self.config: NodeConfig = _comparing(self.config, self.watch.invariants)
        self.history: History = History()
        self.without_store: set[str] = set()
        self._steps_left: dict[Life, int] = {}
        self._paused: dict[str, float] = {}
        self._slow_apply: dict[str, float] = {}

    # --- clients ---------------------------------------------------------------------------------------------

    def gate(self, node_id: str) -> Gate:
        """What holds back everything that concerns a node while it is paused or busy."""
        return self._members[node_id].gate

    def check_linearizable(self, model: Model[Any], *, max_steps: int = 1_000_000) -> Report:
        """Compare the history with a sequential model of the state machine.

        Raises:
            CheckFailed: no order of the calls explains what the clients were told.
        """
        report = check_history(model, self.history.operations(), max_steps=max_steps)
        if report.verdict is Verdict.ILLEGAL:
            raise self.failed(f"linearizability: {report}")
        return report

    async def feed(self, node_id: str, entries: int) -> None:
        """Have a node that takes itself for the leader append so many entries, of reads that nobody needs.

        They are as good as any others to a log, and need no command of the application. It waits for none to be
        committed, and does nothing where the node does not lead (any more).
        """
        for _ in range(entries):
            node = self.nodes.get(node_id)
            if node is None or self.gate(node_id).shut or node.status().role is not RoleName.LEADER:
                return
            self._nursery.start_soon(_read_nothing, self._members[node_id].get().life)
            await trio.sleep(_FEED_S)  # else they would share an entry

    # --- processes -------------------------------------------------------------------------------------------

    def kill(self, node_id: str) -> None:
        """Kill a node's process: as `crash`, but its connections end, and the nodes that it could reach are told."""
        self._members[node_id].crash("kill", hang_up=True)

    @property
    def initial_voters(self) -> tuple[str, ...]:
        """Those that began the cluster, sorted."""
        return tuple(sorted(self._cluster_config.voters))

    def move(self, node_id: str, address: str) -> None:
        """Have a node of those that began the cluster be reached at another address from its next start on.

        Its own settings say so, and nobody else's: the others learn it from itself.
        """
        self._members[node_id].move(address)

    def crash_at_step(self, node_id: str, number: int) -> None:
        """Cut a node's power right after the `number`-th decision from now, in the middle of whatever it does then."""
        life = self._members[node_id].get().life
        self._steps_left[life] = number
        self.watch.stepped = self._step

    def _step(self, life: Life) -> None:
        left = self._steps_left.get(life)
        if left is None:
            return
        self._steps_left[life] = left - 1
        if left <= 1:
            del self._steps_left[life]
            self._members[life.node_id].crash()

    def crash_all(self) -> None:
        """Cut the power of all nodes at once, of those that are starting too."""
        for name, member in self._members.items():
            if member.running is not None:
                self.crash(name)

    def pause(self, node_id: str, *, clock_stands: bool = False) -> None:
        """Stop a node in its tracks, as SIGSTOP does: messages, its disk's answers and its timers wait until `resume`.

        Its clock goes on meanwhile, unless `clock_stands` (as when a virtual machine is suspended). What a test calls
        on the node's own object goes through all the same; what a client of the simulation does waits.
        """
        member = self._members[node_id]
        member.get()
        if node_id in self._paused:
            return
        self._paused[node_id] = member.clock.rate
        member.gate.shut += 1
        if clock_stands:
            member.clock.set_rate(0.0)
        self.trace.add("pause", node_id)

    def resume(self, *node_ids: str) -> None:
        """Let paused nodes (by default all) go on where they were."""
        for name in node_ids or self.node_ids:
            rate = self._paused.pop(name, None)
            if rate is not None:
                member = self._members[name]
                self.trace.add("resume", name)
                if member.clock.rate == 0:
                    member.clock.set_rate(rate)
                self.event_queue.open(member.gate)

    def slow_apply(self, node_id: str, seconds: float) -> None:
        """Let each command that a node's state machine applies hold up the whole node for so long; 0: none does."""
        kind = "fault" if seconds else "heal"
        self._tell(kind, f"{node_id} takes {seconds:.3f} s to apply a command", "slow apply", node_id)
        self._slow_apply[node_id] = seconds
        self.watch.after_apply = self._hold_up

    def _hold_up(self, life: Life) -> None:
        seconds = self._slow_apply.get(life.node_id)
        if seconds and not life.over:
            gate = self._members[life.node_id].gate
            gate.shut += 1
            self.event_queue.at(trio.current_time() + seconds, None, self.event_queue.open, gate)

    # --- members ---------------------------------------------------------------------------------------------

    def stored_configuration_of(self, node_id: str) -> Held | None:
        """The last configuration that a node has on its disk; None: none but the one that the cluster began with."""
        stored = self.disk(node_id).state.configurations
        return Held(stored[-1].index, decode_configuration(stored[-1].data)) if stored else None

    def configurations_of(self, node_id: str) -> tuple[Held, ...]:
        """The configuration that a node, up or down, goes by, and those that it might go back to; the last is in force.

        More than that where it is down: it may have forgotten what is committed.
        """
        first = Held(0, Configuration(self._cluster_config.voters))
        running = self._members[node_id].running
        if running is not None and running.life.role is not None:
            state = running.life.state
            return (state.configurations.at(state.commit_index), *state.configurations.since(state.commit_index))
        stored = self.disk(node_id).state.configurations
        return (first, *(Held(one.index, decode_configuration(one.data)) for one in stored))

    def has_waiting_change(self) -> bool:
        """Whether a leader has taken in a change of members that it can't begin yet."""
        roles = [member.running.life.role for member in self._members.values() if member.running is not None]
        return any(isinstance(role, Leader) and role.members.waiting is not None for role in roles)

    def finds_others(self, node_id: str) -> bool:
        """Whether another member is where this node's settings say. One that was removed can't tell it where the others
        are, nor who leads.
        """
        voters, members = self._members[node_id].cluster.voters, self.members()
        return any(
            self._members[other].cluster.voters.get(other) == voters.get(other)
            for other in (self.node_ids if members is None else sorted(members.members))
            if other != node_id
        )

    # --- network ---------------------------------------------------------------------------------------------

    def isolate(self, node_id: str) -> None:
        """Lose everything between a node and all others. Replaces an earlier partition."""
        self.partition({node_id}, set(self.node_ids) - {node_id})

    def bridge(self, node_id: str) -> None:
        """Halve the others, who then only reach each other through this node. Replaces an earlier partition."""
        others = [name for name in self.node_ids if name != node_id]
        self.partition(others[: len(others) // 2], others[len(others) // 2 :])

    def cut(self, senders: Collection[str], receivers: Collection[str]) -> None:
        """Lose everything from these to those, and nothing in the other direction."""
        text = f"nothing gets from {', '.join(sorted(senders))} to {', '.join(sorted(receivers))}"
        self.trace.add("fault", what="cut", text=text, nodes=sorted({*senders, *receivers}))
        for sender, receiver in self._ways(senders, receivers):
            self.network.cut(sender, receiver)

    def mend_cut(self, senders: Collection[str], receivers: Collection[str]) -> None:
        """Undo `cut`."""
        text = f"{', '.join(sorted(senders))} get through to {', '.join(sorted(receivers))}"
        self.trace.add("heal", what="cut", text=text, nodes=sorted({*senders, *receivers}))
        for sender, receiver in self._ways(senders, receivers):
            self.network.mend(sender, receiver)

    def stall(self, node_id: str) -> None:
        """Let a node accept what is sent to it, and neither read nor answer any of it."""
        self._tell("fault", f"{node_id} accepts, and reads nothing", "stall", node_id)
        for sender, receiver in self._ways(self.node_ids, {node_id}):
            self.network.stall(sender, receiver)

    def unstall(self, node_id: str) -> None:
        """Undo `stall`: the node reads what it has accepted."""
        self.trace.add("heal", what="stall", text=f"{node_id} reads again", nodes=[node_id])
        for sender, receiver in self._ways(self.node_ids, {node_id}):
            self.network.resume(sender, receiver)

    def reset_connection(self, one: str, other: str) -> None:
        """Break the connections between two nodes that run. They are told, and connect again at once."""
        self._tell("fault", f"the connections between {one} and {other} break", "reset", one, other)
        self._tell("heal", f"{one} and {other} are connected again", "reset", one, other)
        self.network.reset(one, other)

    def hold_back(self, senders: Collection[str], receivers: Collection[str]) -> None:
        """Keep all that these send to those under way, until `let_through`."""
        text = f"what {', '.join(sorted(senders))} send to {', '.join(sorted(receivers))} stays under way"
        self.trace.add("fault", what="stall", text=text, nodes=sorted({*senders, *receivers}))
        for sender, receiver in self._ways(senders, receivers):
            self.network.stall(sender, receiver)

    def let_through(self, senders: Collection[str], receivers: Collection[str]) -> None:
        """Undo `hold_back`: what was kept arrives now, however late, as long as its receiver has not restarted."""
        text = f"what {', '.join(sorted(senders))} have sent to {', '.join(sorted(receivers))} arrives"
        self.trace.add("heal", what="stall", text=text, nodes=sorted({*senders, *receivers}))
        for sender, receiver in self._ways(senders, receivers):
            self.network.resume(sender, receiver)

    def slow_link(self, one: str, other: str, bytes_per_s: float | None) -> None:
        """Let the link between two nodes carry only so much in each direction; None: any amount again."""
        amount = "any number of" if bytes_per_s is None else f"{bytes_per_s:,.0f}"
        kind = "heal" if bytes_per_s is None else "fault"
        self._tell(kind, f"{amount} bytes per second between {one} and {other}", "slow link", one, other)
        self.network.set_bandwidth(one, other, bytes_per_s)
        self.network.set_bandwidth(other, one, bytes_per_s)

    def set_faults(self, requests: Faults, replies: Faults | None = None) -> None:
        """Set what befalls all messages; replies meet the same as requests unless given."""
        kind = "heal" if requests == RELIABLE == (replies or requests) else "fault"
        self._tell(kind, f"requests {requests}, replies {replies or requests}", "messages")
        self.network.set_faults(requests, replies)

    @staticmethod
    def _ways(senders: Collection[str], receivers: Collection[str]) -> list[tuple[str, str]]:
        return [(one, other) for one in sorted(senders) for other in sorted(receivers) if one != other]

    # --- the end of it ---------------------------------------------------------------------------------------

    async def heal_all(self) -> None:
        """Undo every fault, and start every node that is down and can be started."""
        self.resume()
        self._steps_left.clear()
        self._slow_apply.clear()
        self.heal()
        self.set_faults(RELIABLE)
        self.network.outlive = False
        for name in self.node_ids:
            self.clock(name).set_rate(1.0)
            disk = self.disk(name)
            disk.mend()
            disk.delay_s = HEALTHY_DISK_S
        for name in self.node_ids:
            await self.try_start(name)

    async def try_start(self, node_id: str) -> bool:
        """Start a node if it is down and can be started; tell whether it runs. Injected errors only keep it down."""
        member = self._members[node_id]
        while node_id not in self.nodes and node_id not in self.lost:
            if not await member.wait_free():
                continue
            try:
                await self.start(node_id)
            except NodeStopped:
                continue  # crashed while it started
            except self.tolerated:
                return False
            except StoreReplaced:
                if node_id not in self.without_store:
                    raise
                return False
            except StorageError as error:
                if not self.disk(node_id).brought_about(error):
                    raise
                if isinstance(error, StorageCorrupt):
                    self.lost[node_id] = str(error)
                return False
        return node_id in self.nodes

    @override
    def _crashed(self, node_id: str, text: str, error: Exception) -> None:
        if not isinstance(error, StoreReplaced) or node_id not in self.without_store:
            super()._crashed(node_id, text, error)

    def _tell(self, kind: str, text: str, what: str, *node_ids: str) -> None:
        self.trace.add(kind, what=what, text=text, nodes=list(node_ids))


async def _read_nothing(life: Life) -> None:
    if life.supervisor is None:
        return
    submission: Submission[Any, Any] = Submission(life.supervisor, RAW_BYTES)
    with trio.move_on_after(_FED_S), suppress(ProposalError):
        await submission.read_by_log(lambda _state_machine: None)


def _comparing(config: NodeConfig, invariants: Iterable[Invariant]) -> NodeConfig:
    """Have nodes compare their states, as the invariant does, unless equal states may have different snapshots."""
    if not any(isinstance(one, EqualResults) and one.compare_snapshots for one in invariants):
        return config
    return attrs.evolve(config, state_check_entries=config.state_check_entries or _STATE_CHECK_ENTRIES)
