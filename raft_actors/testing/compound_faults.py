"""What takes several faults, one upon the other: situations that faults drawn one by one hardly ever come to.

Each is an action like those of `actions`: it does to the cluster what operators, networks and disks could, draws its
details from the injector's generator, and knows nothing of what the nodes make of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps

import trio

from raft_actors.testing.fault_context import FaultContext

Action = Callable[[FaultContext], Awaitable[None]]


async def elect(context: FaultContext) -> None:
    """Have a node stand for election, whether or not there is a leader."""
    await context.stand(context.some_node())


async def hold_up_leader(context: FaultContext) -> None:
    """Let the leader's disk be far behind for a while."""
    leader = context.cluster.leader()
    if leader is None:
        return
    disk = context.cluster.disk(leader)
    disk.slow_down(context.rng.choice((0.1, 0.5, 2.0)))
    await context.last(3.0)
    disk.slow_down(0.0)


async def strand(context: FaultContext) -> None:
    """Cut the leader off with a minority, and go on feeding it, so that its log gets a tail that nobody else has; the
    others go on under another leader. Joined again, with slow disks, they meet snapshots and elections, or the one that
    was stranded leads again, and only then hears what was said to it before."""
    cluster, rng = context.cluster, context.rng
    leader = cluster.leader()
    if leader is None:
        return
    others = [name for name in context.shuffled() if name != leader]
    most = len(cluster.node_ids) - cluster.majority - 1
    late = most > 0 and rng.random() < 0.5
    number = rng.randint(1 if late else 0, most)
    few, many = others[:number], others[number:]
    if late:
        cluster.hold_back(few, [leader])
    cluster.partition([leader, *few], many)
    partition = context.partitioned()
    await cluster.feed(leader, rng.choice((1, 3, 10, 30)))
    await context.wait_for(lambda: cluster.leader() in many, 3.0)
    if late:
        context.mend_partition_if(partition)
        await _lead_again(context, leader)
        cluster.let_through(few, [leader])
        return
    await cluster.feed(cluster.leader() or "", rng.choice((0, 0, 3, 10)))
    if rng.random() < 0.5:
        await context.take_snapshots(many)
    slow = rng.choice((0.0, 0.02, 0.1, 0.4))
    for name in (leader, *few):
        cluster.disk(name).slow_down(slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(context.take_snapshots, rng.choice(((), (leader, *few))))
        await context.last(slow or 0.02)
        context.mend_partition_if(partition)
        for _ in range(rng.randint(0, 4)):
            await context.last(slow or 0.1)
            await context.stand(context.some_node())
        await context.last(0.3)
    for name in (leader, *few):
        cluster.disk(name).slow_down(0.0)


async def _lead_again(context: FaultContext, name: str) -> None:
    """Have a node catch up, and then elected, if the others let it."""
    cluster = context.cluster

    def has_caught_up() -> bool:
        node, leader = cluster.nodes.get(name), cluster.nodes.get(cluster.leader() or "")
        return node is not None and leader is not None and node.status().last_index == leader.status().last_index

    for _ in range(3):
        if cluster.leader() == name:
            return
        await context.wait_for(has_caught_up, 2.0)
        await context.stand(name)
        await context.wait_for(lambda: cluster.leader() == name, 1.0)


async def leave_behind(context: FaultContext) -> None:
    """Cut a node off until others have compacted away what it lacks, and join it again, with a slow disk, while leaders
    change or take further snapshots."""
    cluster, rng = context.cluster, context.rng
    name = context.some_node()
    others = [other for other in cluster.node_ids if other != name]
    cluster.cut([name], others)
    cluster.cut(others, [name])
    await context.wait_for(lambda: cluster.leader() in others, 3.0)
    leader = cluster.leader() or others[0]
    await cluster.feed(leader, rng.choice((3, 10, 20)))
    await context.take_snapshots(rng.choice((others, [leader])))
    cluster.disk(name).slow_down(rng.choice((0.0, 0.02, 0.1, 0.4)), read_s=rng.choice((0.0, 0.2)))
    cluster.mend_cut([name], others)
    cluster.mend_cut(others, [name])
    for _ in range(rng.randint(0, 4)):
        await context.last(0.2)
        if rng.random() < 0.5:
            await context.stand(context.some_node())
        else:
            await cluster.feed(cluster.leader() or name, rng.randint(1, 10))
            await context.take_snapshots(others)
    await context.last(0.5)
    cluster.disk(name).slow_down(0.0)


async def drown(context: FaultContext) -> None:
    """Let a node's disk be slow, maybe from a restart on, while others append much, and compact it away before that
    disk has it, under one leader or several."""
    cluster, rng = context.cluster, context.rng
    name = context.some_node()
    others = [other for other in cluster.node_ids if other != name]
    if rng.random() < 0.5 and name not in cluster.lost:
        await context.take_down(name)
        await cluster.try_start(name)
    write_s, read_s = rng.choice(((0.02, 0.0), (0.05, 0.2), (0.2, 1.0), (0.2, 1.0)))
    cluster.disk(name).slow_down(write_s, read_s=read_s)
    for _ in range(rng.randint(8, 20)):
        leader = cluster.leader() or name
        await cluster.feed(leader, rng.randint(1, 6))
        await context.last(0.03)
        what = rng.random()
        if what < 0.3:
            await context.take_snapshots(rng.choice((others, [leader])))
        elif what < 0.4:
            await context.stand(rng.choice(others))
    await context.last(0.3)
    cluster.disk(name).slow_down(0.0)


async def sleep_through(context: FaultContext) -> None:
    """Stop a node in its tracks while the leader compacts away what it lacks, and others take over: it hears of all
    that at once when it goes on, with a slow disk."""
    cluster, rng = context.cluster, context.rng
    name = context.some_running()
    if name is None:
        return
    others = [other for other in cluster.node_ids if other != name]
    cluster.disk(name).slow_down(rng.choice((0.02, 0.1, 0.4)), read_s=rng.choice((0.0, 0.2)))
    cluster.pause(name, clock_stands=True)
    await context.wait_for(lambda: cluster.leader() in others, 3.0)
    for _ in range(rng.randint(1, 3)):
        leader = cluster.leader() or others[0]
        await cluster.feed(leader, rng.choice((3, 10)))
        await context.take_snapshots(rng.choice((others, [leader])))
        await context.last(0.2)
        await context.stand(rng.choice(others))
        await context.last(0.2)
    cluster.resume(name)
    await context.last(1.0)
    cluster.disk(name).slow_down(0.0)


async def answer_late(context: FaultContext) -> None:
    """Let a leader get its answers only when it has been deposed: they are held back, it may not be heard any more
    either, and once there is another leader it hears all at once."""
    cluster, rng = context.cluster, context.rng
    leader = cluster.leader()
    if leader is None:
        return
    others = [name for name in context.shuffled() if name != leader]
    for other in others:
        cluster.hold_back([other], [leader])
    await cluster.feed(leader, rng.randint(0, 3))
    unheard = rng.random() < 0.3
    if unheard:
        cluster.cut([leader], others)
    else:
        await context.stand(others[0])
    await context.wait_for(lambda: cluster.leader() in others, 2.0)
    await trio.sleep(rng.uniform(0.1, 0.8))
    rng.shuffle(others)
    if rng.random() < 0.5:
        others.sort(key=lambda other: other == cluster.leader())  # it may be the last of whom the old one hears
    for other in others:
        cluster.let_through([other], [leader])
        await trio.sleep(rng.choice((0.0, 0.0, 0.005)))
    if unheard:
        cluster.mend_cut([leader], others)


def _one_at_a_time(fault: Action) -> Action:
    """Two of these at once would undo each other: the second one does not begin."""

    @wraps(fault)
    async def take(context: FaultContext) -> None:
        if context.under_compound_fault:
            return
        context.under_compound_fault = True
        try:
            await fault(context)
        finally:
            context.under_compound_fault = False

    return take


COMPOUND_FAULTS = (
    elect,
    hold_up_leader,
    *map(_one_at_a_time, (strand, leave_behind, drown, sleep_through, answer_late)),
)
