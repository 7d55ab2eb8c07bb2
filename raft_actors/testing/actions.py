"""What a plan can do to a cluster, one function each: bring a fault about, let it last, and undo it.

Every action draws its details from the injector's generator when it begins. It may be cancelled while the fault lasts:
the end of the injection heals everything anyway.
"""

from __future__ import annotations

import contextlib

import trio

from raft_actors.errors import RaftError
from raft_actors.testing.cluster import RELIABLE
from raft_actors.testing.compound_faults import COMPOUND_FAULTS, Action
from raft_actors.testing.fault_context import FaultContext

# --- processes -------------------------------------------------------------------------------------------------------


async def crash(context: FaultContext) -> None:
    """Cut a node's power."""
    name = context.some_running()
    if name is not None:
        context.cluster.crash(name)


async def crash_leader(context: FaultContext) -> None:
    """Cut the leader's power."""
    name = context.cluster.leader()
    if name is not None:
        context.cluster.crash(name)


async def kill(context: FaultContext) -> None:
    """Kill a node's process, which its peers learn."""
    name = context.some_running()
    if name is not None:
        context.cluster.kill(name)


async def kill_leader(context: FaultContext) -> None:
    """Kill the leader's process, which its peers learn."""
    name = context.cluster.leader()
    if name is not None:
        context.cluster.kill(name)


async def crash_all(context: FaultContext) -> None:
    """Cut the power of all nodes at once."""
    context.cluster.crash_all()


async def crash_at_step(context: FaultContext) -> None:
    """Cut a node's power in the middle of a step."""
    name = context.some_running()
    if name is not None:
        context.cluster.crash_at_step(name, context.rng.randint(1, 100))


async def crash_at_write(context: FaultContext) -> None:
    """Cut a node's power in the middle of a write, which tears it."""
    context.cluster.disk(context.some_node()).lose_power_at_write(context.rng.randint(1, 20))


async def crash_at_snapshot(context: FaultContext) -> None:
    """Cut a node's power while a snapshot becomes current."""
    context.cluster.disk(context.some_node()).lose_power_at_snapshot()


async def stop(context: FaultContext) -> None:
    """Shut a node down as its owner would."""
    name = context.some_running()
    if name is not None:
        await context.cluster.stop(name)


async def hand_over(context: FaultContext) -> None:
    """Have the leader hand leadership to somebody, or to whom it likes; maybe to somebody who can't take it."""
    name = context.cluster.leader()
    if name is not None:
        to = context.rng.choice([None, *context.cluster.node_ids])
        with contextlib.suppress(RaftError):
            await context.cluster.node(name).transfer_leadership(to)


async def pause(context: FaultContext) -> None:
    """Stop a node in its tracks for a while."""
    name = context.some_running()
    if name is not None:
        context.cluster.pause(name, clock_stands=context.rng.random() < 0.3)
        await context.last(2.0)
        context.cluster.resume(name)


async def slow_apply(context: FaultContext) -> None:
    """Let a node's state machine be slow."""
    name = context.some_node()
    context.cluster.slow_apply(name, context.rng.choice((0.001, 0.02, 0.2)))
    await context.last(5.0)
    context.cluster.slow_apply(name, 0.0)


async def snapshot(context: FaultContext) -> None:
    """Have a node take a snapshot now."""
    name = context.some_running()
    if name is not None:
        await context.take_snapshot(name)


async def fall_behind(context: FaultContext) -> None:
    """Cut a node off until the others have compacted away what it lacks (unless they keep much)."""
    name = context.some_node()
    others = [other for other in context.cluster.node_ids if other != name]
    context.cluster.cut([name], others)
    context.cluster.cut(others, [name])
    await context.last(4.0)
    for other in others:
        if other in context.cluster.nodes:
            await context.take_snapshot(other)
    context.cluster.mend_cut([name], others)
    context.cluster.mend_cut(others, [name])


# --- network ---------------------------------------------------------------------------------------------------------


async def halves(context: FaultContext) -> None:
    """Part the nodes in two."""
    names = context.shuffled()
    middle = context.rng.randint(1, len(names) - 1)
    context.cluster.partition(names[:middle], names[middle:])
    await context.mend_partition()


async def isolate_leader(context: FaultContext) -> None:
    """Part the leader from all others."""
    context.cluster.isolate(context.cluster.leader() or context.some_node())
    await context.mend_partition()


async def one_way(context: FaultContext) -> None:
    """Let some nodes be heard by others, and hear nothing of them."""
    names = context.shuffled()
    middle = context.rng.randint(1, len(names) - 1)
    context.cluster.cut(names[:middle], names[middle:])
    await context.last(4.0)
    context.cluster.mend_cut(names[:middle], names[middle:])


async def bridge(context: FaultContext) -> None:
    """Part the nodes in two, but for one that reaches all."""
    context.cluster.bridge(context.some_node())
    await context.mend_partition()


async def flap(context: FaultContext) -> None:
    """Part a node from the others, and join it again, time after time."""
    name = context.some_node()
    for _ in range(context.rng.randint(2, 10)):
        context.cluster.isolate(name)
        await context.last(0.6)
        context.cluster.partition()
        await context.last(0.6)


async def reset(context: FaultContext) -> None:
    """Break connections, of some node or of all, a few times."""
    for _ in range(context.rng.randint(1, 5)):
        one, *others = context.shuffled()
        for other in others[: context.rng.randint(1, len(others))]:
            context.cluster.reset_connection(one, other)
        await context.last(0.3)


async def stall(context: FaultContext) -> None:
    """Let a node accept everything and answer nothing."""
    name = context.some_node()
    context.cluster.stall(name)
    await context.last(3.0)
    context.cluster.unstall(name)


async def mute(context: FaultContext) -> None:
    """Let a node hear all and be heard by nobody."""
    name = context.some_node()
    others = [other for other in context.cluster.node_ids if other != name]
    context.cluster.cut([name], others)
    await context.last(3.0)
    context.cluster.mend_cut([name], others)


async def slow_link(context: FaultContext) -> None:
    """Let the link between two nodes carry little."""
    one, other, *_ = context.shuffled()
    context.cluster.slow_link(one, other, context.rng.choice((300.0, 3_000.0, 30_000.0)))
    await context.last(5.0)
    context.cluster.slow_link(one, other, None)


async def change_messages(context: FaultContext) -> None:
    """Let messages meet other faults for a while."""
    context.cluster.set_faults(context.draw_faults())
    await context.last(5.0)
    context.cluster.set_faults(context.plan.requests, context.plan.replies)


async def calm(context: FaultContext) -> None:
    """Let all messages arrive for a while."""
    context.cluster.set_faults(RELIABLE)
    await context.last(3.0)
    context.cluster.set_faults(context.plan.requests, context.plan.replies)


# --- disks -----------------------------------------------------------------------------------------------------------


async def fail_write(context: FaultContext) -> None:
    """Let a node's next write fail."""
    context.cluster.disk(context.some_node()).fail_next_write()


async def fill_disk(context: FaultContext) -> None:
    """Let a node's disk be full for a while."""
    disk = context.cluster.disk(context.some_node())
    disk.fill()
    await context.last(2.0)
    disk.mend()


async def hang_disk(context: FaultContext) -> None:
    """Let a node's disk hang for a while."""
    disk = context.cluster.disk(context.some_node())
    disk.hang()
    await context.last(3.0)
    disk.mend()


async def slow_disk(context: FaultContext) -> None:
    """Let a node's disk be slow for a while."""
    disk = context.cluster.disk(context.some_node())
    disk.slow_down(context.rng.choice((0.02, 0.1, 0.5)), read_s=context.rng.choice((0.0, 0.0, 0.1)))
    await context.last(5.0)
    disk.slow_down(0.0)


async def damage_disk(context: FaultContext) -> None:
    """Flip a bit on a node's disk, if a majority of whole disks is left."""
    name = context.some_victim()
    if name is not None:
        context.cluster.disk(name).damage()


async def put_older_copy(context: FaultContext) -> None:
    """Put a backup in the place of what a node has left, if a majority of whole disks is left."""
    name = context.some_victim()
    if name is not None:
        disk = context.cluster.disk(name)
        copy = disk.copy()
        await context.last(5.0)
        await context.take_down(name)
        disk.replace(copy)


async def wipe_disk(context: FaultContext) -> None:
    """Delete a node's folder, if a majority of whole disks is left. It stays down: nobody here makes it a member again,
    with the store that it would have then (`lost_stores` does)."""
    name = context.some_victim()
    if name is not None:
        context.cluster.lost[name] = "its folder was deleted"
        await context.take_down(name)
        context.cluster.disk(name).wipe()


# --- clocks ----------------------------------------------------------------------------------------------------------


async def jump_clock(context: FaultContext) -> None:
    """Let a node's clock jump forward."""
    context.cluster.clock(context.some_node()).jump(context.rng.expovariate(1.0))


async def change_clock(context: FaultContext) -> None:
    """Let a node's clock run at another rate for a while."""
    clock = context.cluster.clock(context.some_node())
    if clock.rate:
        clock.set_rate(context.rng.choice((0.3, 0.8, 1.25, 3.0)))
        await context.last(5.0)
        if clock.rate:
            clock.set_rate(1.0)


async def breathe(_context: FaultContext) -> None:
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
        *COMPOUND_FAULTS,
    )
}
"""Name → action."""
