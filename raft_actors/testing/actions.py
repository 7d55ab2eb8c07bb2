"""What a plan can do to a cluster, one function each: bring a fault about, let it last, and undo it.

Every action draws its details from the torment's generator when it begins. It may be cancelled while the fault lasts:
the end of a torment heals everything anyway.
"""

from __future__ import annotations

import contextlib

import trio

from raft_actors.errors import RaftError
from raft_actors.testing.campaigns import CAMPAIGNS, Action
from raft_actors.testing.cluster import RELIABLE
from raft_actors.testing.fault_context import FaultContext

# --- processes -------------------------------------------------------------------------------------------------------


async def crash(torment: FaultContext) -> None:
    """Cut a node's power."""
    name = torment.some_running()
    if name is not None:
        torment.cluster.crash(name)


async def crash_leader(torment: FaultContext) -> None:
    """Cut the leader's power."""
    name = torment.cluster.leader()
    if name is not None:
        torment.cluster.crash(name)


async def kill(torment: FaultContext) -> None:
    """Kill a node's process, which its peers learn."""
    name = torment.some_running()
    if name is not None:
        torment.cluster.kill(name)


async def kill_leader(torment: FaultContext) -> None:
    """Kill the leader's process, which its peers learn."""
    name = torment.cluster.leader()
    if name is not None:
        torment.cluster.kill(name)


async def crash_all(torment: FaultContext) -> None:
    """Cut the power of all nodes at once."""
    torment.cluster.crash_all()


async def crash_at_step(torment: FaultContext) -> None:
    """Cut a node's power in the middle of a step."""
    name = torment.some_running()
    if name is not None:
        torment.cluster.crash_at_step(name, torment.rng.randint(1, 100))


async def crash_at_write(torment: FaultContext) -> None:
    """Cut a node's power in the middle of a write, which tears it."""
    torment.cluster.disk(torment.some_node()).lose_power_at_write(torment.rng.randint(1, 20))


async def crash_at_snapshot(torment: FaultContext) -> None:
    """Cut a node's power while a snapshot becomes current."""
    torment.cluster.disk(torment.some_node()).lose_power_at_snapshot()


async def stop(torment: FaultContext) -> None:
    """Shut a node down as its owner would."""
    name = torment.some_running()
    if name is not None:
        await torment.cluster.stop(name)


async def hand_over(torment: FaultContext) -> None:
    """Have the leader hand leadership to somebody, or to whom it likes; maybe to somebody who can't take it."""
    name = torment.cluster.leader()
    if name is not None:
        to = torment.rng.choice([None, *torment.cluster.node_ids])
        with contextlib.suppress(RaftError):
            await torment.cluster.node(name).transfer_leadership(to)


async def pause(torment: FaultContext) -> None:
    """Stop a node in its tracks for a while."""
    name = torment.some_running()
    if name is not None:
        torment.cluster.pause(name, clock_stands=torment.rng.random() < 0.3)
        await torment.last(2.0)
        torment.cluster.resume(name)


async def slow_apply(torment: FaultContext) -> None:
    """Let a node's state machine be slow."""
    name = torment.some_node()
    torment.cluster.slow_apply(name, torment.rng.choice((0.001, 0.02, 0.2)))
    await torment.last(5.0)
    torment.cluster.slow_apply(name, 0.0)


async def snapshot(torment: FaultContext) -> None:
    """Have a node take a snapshot now."""
    name = torment.some_running()
    if name is not None:
        await torment.take_snapshot(name)


async def fall_behind(torment: FaultContext) -> None:
    """Cut a node off until the others have compacted away what it lacks (unless they keep much)."""
    name = torment.some_node()
    others = [other for other in torment.cluster.node_ids if other != name]
    torment.cluster.cut([name], others)
    torment.cluster.cut(others, [name])
    await torment.last(4.0)
    for other in others:
        if other in torment.cluster.nodes:
            await torment.take_snapshot(other)
    torment.cluster.mend_cut([name], others)
    torment.cluster.mend_cut(others, [name])


# --- network ---------------------------------------------------------------------------------------------------------


async def halves(torment: FaultContext) -> None:
    """Part the nodes in two."""
    names = torment.shuffled()
    middle = torment.rng.randint(1, len(names) - 1)
    torment.cluster.partition(names[:middle], names[middle:])
    await torment.mend_partition()


async def isolate_leader(torment: FaultContext) -> None:
    """Part the leader from all others."""
    torment.cluster.isolate(torment.cluster.leader() or torment.some_node())
    await torment.mend_partition()


async def one_way(torment: FaultContext) -> None:
    """Let some nodes be heard by others, and hear nothing of them."""
    names = torment.shuffled()
    middle = torment.rng.randint(1, len(names) - 1)
    torment.cluster.cut(names[:middle], names[middle:])
    await torment.last(4.0)
    torment.cluster.mend_cut(names[:middle], names[middle:])


async def bridge(torment: FaultContext) -> None:
    """Part the nodes in two, but for one that reaches all."""
    torment.cluster.bridge(torment.some_node())
    await torment.mend_partition()


async def flap(torment: FaultContext) -> None:
    """Part a node from the others, and join it again, time after time."""
    name = torment.some_node()
    for _ in range(torment.rng.randint(2, 10)):
        torment.cluster.isolate(name)
        await torment.last(0.6)
        torment.cluster.partition()
        await torment.last(0.6)


async def reset(torment: FaultContext) -> None:
    """Break connections, of some node or of all, a few times."""
    for _ in range(torment.rng.randint(1, 5)):
        one, *others = torment.shuffled()
        for other in others[: torment.rng.randint(1, len(others))]:
            torment.cluster.reset_connection(one, other)
        await torment.last(0.3)


async def stall(torment: FaultContext) -> None:
    """Let a node accept everything and answer nothing."""
    name = torment.some_node()
    torment.cluster.stall(name)
    await torment.last(3.0)
    torment.cluster.unstall(name)


async def mute(torment: FaultContext) -> None:
    """Let a node hear all and be heard by nobody."""
    name = torment.some_node()
    others = [other for other in torment.cluster.node_ids if other != name]
    torment.cluster.cut([name], others)
    await torment.last(3.0)
    torment.cluster.mend_cut([name], others)


async def slow_link(torment: FaultContext) -> None:
    """Let the link between two nodes carry little."""
    one, other, *_ = torment.shuffled()
    torment.cluster.slow_link(one, other, torment.rng.choice((300.0, 3_000.0, 30_000.0)))
    await torment.last(5.0)
    torment.cluster.slow_link(one, other, None)


async def change_messages(torment: FaultContext) -> None:
    """Let messages meet other faults for a while."""
    torment.cluster.set_faults(torment.draw_faults())
    await torment.last(5.0)
    torment.cluster.set_faults(torment.plan.requests, torment.plan.replies)


async def calm(torment: FaultContext) -> None:
    """Let all messages arrive for a while."""
    torment.cluster.set_faults(RELIABLE)
    await torment.last(3.0)
    torment.cluster.set_faults(torment.plan.requests, torment.plan.replies)


# --- disks -----------------------------------------------------------------------------------------------------------


async def fail_write(torment: FaultContext) -> None:
    """Let a node's next write fail."""
    torment.cluster.disk(torment.some_node()).fail_next_write()


async def fill_disk(torment: FaultContext) -> None:
    """Let a node's disk be full for a while."""
    disk = torment.cluster.disk(torment.some_node())
    disk.fill()
    await torment.last(2.0)
    disk.mend()


async def hang_disk(torment: FaultContext) -> None:
    """Let a node's disk hang for a while."""
    disk = torment.cluster.disk(torment.some_node())
    disk.hang()
    await torment.last(3.0)
    disk.mend()


async def slow_disk(torment: FaultContext) -> None:
    """Let a node's disk be slow for a while."""
    disk = torment.cluster.disk(torment.some_node())
    disk.slow_down(torment.rng.choice((0.02, 0.1, 0.5)), read_s=torment.rng.choice((0.0, 0.0, 0.1)))
    await torment.last(5.0)
    disk.slow_down(0.0)


async def damage_disk(torment: FaultContext) -> None:
    """Flip a bit on a node's disk, if a majority of whole disks is left."""
    name = torment.some_victim()
    if name is not None:
        torment.cluster.disk(name).damage()


async def put_older_copy(torment: FaultContext) -> None:
    """Put a backup in the place of what a node has left, if a majority of whole disks is left."""
    name = torment.some_victim()
    if name is not None:
        disk = torment.cluster.disk(name)
        copy = disk.copy()
        await torment.last(5.0)
        await torment.take_down(name)
        disk.replace(copy)


async def wipe_disk(torment: FaultContext) -> None:
    """Delete a node's folder, if a majority of whole disks is left. It must never be started again: it has forgotten
    its vote and its log, and nothing can tell."""
    name = torment.some_victim()
    if name is not None:
        torment.cluster.lost[name] = "its folder was deleted"
        await torment.take_down(name)
        torment.cluster.disk(name).wipe()


# --- clocks ----------------------------------------------------------------------------------------------------------


async def jump_clock(torment: FaultContext) -> None:
    """Let a node's clock jump forward."""
    torment.cluster.clock(torment.some_node()).jump(torment.rng.expovariate(1.0))


async def change_clock(torment: FaultContext) -> None:
    """Let a node's clock run at another rate for a while."""
    clock = torment.cluster.clock(torment.some_node())
    if clock.rate:
        clock.set_rate(torment.rng.choice((0.3, 0.8, 1.25, 3.0)))
        await torment.last(5.0)
        if clock.rate:
            clock.set_rate(1.0)


async def breathe(_torment: FaultContext) -> None:
    """Nothing happens, for once."""
    await trio.lowlevel.checkpoint()


ACTIONS: dict[str, Action] = {
    function.__name__: function
    for function in (
        crash,
        crash_leader,
        kill,
        kill_leader,
        crash_all,
        crash_at_step,
        crash_at_write,
        crash_at_snapshot,
        stop,
        hand_over,
        pause,
        slow_apply,
        snapshot,
        fall_behind,
        halves,
        isolate_leader,
        one_way,
        bridge,
        flap,
        reset,
        stall,
        mute,
        slow_link,
        change_messages,
        calm,
        fail_write,
        fill_disk,
        hang_disk,
        slow_disk,
        damage_disk,
        put_older_copy,
        wipe_disk,
        jump_clock,
        change_clock,
        breathe,
        *CAMPAIGNS,
    )
}
"""Name → action."""
