"""What a script can do: one class each, for clients and for every kind of fault."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import attrs
import trio
from typing_extensions import override

from raft_actors.errors import NodeStopped
from raft_actors.testing.cluster import RELIABLE
from raft_actors.testing.script import InstantStep, ScriptRun, Step

# --- clients and time ------------------------------------------------------------------------------------------------


@attrs.frozen
class Call(Step):
    """A client proposes a command and waits for the answer, for some seconds at most."""

    client: str
    command: Any

    @override
    async def take(self, run: ScriptRun) -> None:
        await run.call(self.client, self.command, wait=True)


@attrs.frozen
class BeginCall(Step):
    """A client proposes a command; the script goes on."""

    client: str
    command: Any

    @override
    async def take(self, run: ScriptRun) -> None:
        await run.call(self.client, self.command, wait=False)


@attrs.frozen
class Read(Step):
    """A client asks for something and waits for the answer, for some seconds at most."""

    client: str
    request: Any

    @override
    async def take(self, run: ScriptRun) -> None:
        await run.read(self.client, self.request, wait=True)


@attrs.frozen
class BeginRead(Step):
    """A client asks for something; the script goes on."""

    client: str
    request: Any

    @override
    async def take(self, run: ScriptRun) -> None:
        await run.read(self.client, self.request, wait=False)


@attrs.frozen
class Wait(Step):
    """Time passes."""

    seconds: float

    @override
    async def take(self, run: ScriptRun) -> None:
        await trio.sleep(self.seconds)


# --- processes -------------------------------------------------------------------------------------------------------


@attrs.frozen
class Crash(InstantStep):
    """A node's power is cut now."""

    node: str

    @override
    def act(self, run: ScriptRun) -> None:
        if self.node in run.cluster.nodes:
            run.cluster.crash(self.node)


@attrs.frozen
class CrashAll(InstantStep):
    """The power of all nodes is cut at once."""

    @override
    def act(self, run: ScriptRun) -> None:
        run.cluster.crash_all()


@attrs.frozen
class CrashAtStep(InstantStep):
    """A node's power is cut right after one of its next decisions."""

    node: str
    decision: int

    @override
    def act(self, run: ScriptRun) -> None:
        if self.node in run.cluster.nodes:
            run.cluster.crash_at_step(self.node, self.decision)


@attrs.frozen
class CrashAtWrite(InstantStep):
    """A node's power is cut in the middle of one of its next writes, which tears it."""

    node: str
    write: int

    @override
    def act(self, run: ScriptRun) -> None:
        run.cluster.disk(self.node).lose_power_at_write(self.write)


@attrs.frozen
class Stop(Step):
    """A node is shut down as its owner would; its power is cut where that takes too long."""

    node: str

    @override
    async def take(self, run: ScriptRun) -> None:
        cluster = run.cluster
        if self.node not in cluster.nodes:
            return
        done = await run.patiently(lambda: cluster.stop(self.node))
        if not done and self.node in cluster.nodes:
            cluster.crash(self.node)


@attrs.frozen
class Start(Step):
    """A node that is down is started on what its disk holds."""

    node: str

    @override
    async def take(self, run: ScriptRun) -> None:
        cluster = run.cluster
        if self.node not in cluster.nodes:
            cluster.resume(self.node)
            await run.patiently(lambda: cluster.try_start(self.node))


@attrs.frozen
class Pause(InstantStep):
    """A node stops in its tracks, as by SIGSTOP."""

    node: str

    @override
    def act(self, run: ScriptRun) -> None:
        if self.node in run.cluster.nodes:
            run.cluster.pause(self.node)


@attrs.frozen
class Resume(InstantStep):
    """A paused node goes on."""

    node: str

    @override
    def act(self, run: ScriptRun) -> None:
        run.cluster.resume(self.node)


@attrs.frozen
class Snapshot(Step):
    """A node takes a snapshot."""

    node: str

    @override
    async def take(self, run: ScriptRun) -> None:
        node = run.cluster.nodes.get(self.node)
        if node is not None:
            with suppress(NodeStopped):
                await run.patiently(node.take_snapshot)


@attrs.frozen
class Feed(Step):
    """A node that takes itself for the leader appends so many entries, which need not be committed."""

    node: str
    entries: int

    @override
    async def take(self, run: ScriptRun) -> None:
        await run.cluster.feed(self.node, self.entries)


@attrs.frozen
class SlowApply(InstantStep):
    """Each command that a node's state machine applies holds up the node for so long; 0: none does."""

    node: str
    seconds: float

    @override
    def act(self, run: ScriptRun) -> None:
        run.cluster.slow_apply(self.node, self.seconds)


# --- network ---------------------------------------------------------------------------------------------------------


@attrs.frozen
class Partition(InstantStep):
    """These nodes can't reach the others, nor be reached by them."""

    nodes: tuple[str, ...]

    @override
    def act(self, run: ScriptRun) -> None:
        run.cluster.partition(self.nodes, [name for name in run.cluster.node_ids if name not in self.nodes])


@attrs.frozen
class IsolateLeader(InstantStep):
    """Whoever leads can't reach the others, nor be reached by them."""

    @override
    def act(self, run: ScriptRun) -> None:
        leader = run.cluster.leader()
        if leader is not None:
            run.cluster.isolate(leader)


@attrs.frozen
class Mute(InstantStep):
    """A node hears the others, and is not heard by them."""

    node: str

    @override
    def act(self, run: ScriptRun) -> None:
        run.cluster.cut([self.node], [name for name in run.cluster.node_ids if name != self.node])


@attrs.frozen
class HoldBack(InstantStep):
    """What one node sends to another stays under way."""

    sender: str
    receiver: str

    @override
    def act(self, run: ScriptRun) -> None:
        run.cluster.hold_back([self.sender], [self.receiver])


@attrs.frozen
class LetThrough(InstantStep):
    """What was held back arrives, however late."""

    sender: str
    receiver: str

    @override
    def act(self, run: ScriptRun) -> None:
        run.cluster.let_through([self.sender], [self.receiver])


@attrs.frozen
class Messages(InstantStep):
    """From now on messages are lost, duplicated and held back (by up to half a second) with these probabilities."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0

    @override
    def act(self, run: ScriptRun) -> None:
        faults = attrs.evolve(
            RELIABLE, drop=self.drop, duplicate=self.duplicate, reorder=self.reorder, reorder_delay_s=(0.0, 0.5)
        )
        run.cluster.set_faults(faults)


@attrs.frozen
class Heal(InstantStep):
    """Every message arrives again."""

    @override
    def act(self, run: ScriptRun) -> None:
        run.cluster.heal()
        run.cluster.set_faults(RELIABLE)


# --- disks and clocks ------------------------------------------------------------------------------------------------


@attrs.frozen
class FailWrite(InstantStep):
    """A node's next write fails."""

    node: str

    @override
    def act(self, run: ScriptRun) -> None:
        run.cluster.disk(self.node).fail_next_write()


@attrs.frozen
class FillDisk(InstantStep):
    """A node's disk is full."""

    node: str

    @override
    def act(self, run: ScriptRun) -> None:
        run.cluster.disk(self.node).fill()


@attrs.frozen
class HangDisk(InstantStep):
    """Nothing that a node asks of its disk comes to an end."""

    node: str

    @override
    def act(self, run: ScriptRun) -> None:
        run.cluster.disk(self.node).hang()


@attrs.frozen
class SlowDisk(InstantStep):
    """A node's writes take so long, and entries that it reads come so late."""

    node: str
    seconds: float
    read_s: float = 0.0

    @override
    def act(self, run: ScriptRun) -> None:
        disk = run.cluster.disk(self.node)
        disk.write_delay_s, disk.read_delay_s = self.seconds, self.read_s


@attrs.frozen
class MendDisk(InstantStep):
    """A node's disk works again; damage stays."""

    node: str

    @override
    def act(self, run: ScriptRun) -> None:
        run.cluster.disk(self.node).mend()


@attrs.frozen
class DamageDisk(InstantStep):
    """A bit flips on a node's disk, unless no majority of whole disks would be left."""

    node: str

    @override
    def act(self, run: ScriptRun) -> None:
        if run.may_damage(self.node):
            run.cluster.disk(self.node).damage()


@attrs.frozen
class ClockRate(InstantStep):
    """A node's clock runs at this rate; 1 is right."""

    node: str
    rate: float

    @override
    def act(self, run: ScriptRun) -> None:
        run.cluster.clock(self.node).set_rate(self.rate)


@attrs.frozen
class ClockJump(InstantStep):
    """A node's clock jumps forward."""

    node: str
    seconds: float

    @override
    def act(self, run: ScriptRun) -> None:
        run.cluster.clock(self.node).jump(self.seconds)
