"""No leaked task: a role's life is one nursery, and so is a node's (docs/architecture.md). What an old leadership left
running would go on to speak for it in a term that is over (Raft paper, §5.1)."""

from __future__ import annotations

from collections.abc import Iterator

import trio
from typing_extensions import override

from raft_actors.raft.roles import Leader
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import LIFE, Life

Task = trio.lowlevel.Task


class NoLeakedTask(Invariant):
    """After a role has ended none of its tasks exist; after a node has ended none of the node's do.

    Tasks are told by the life that they inherit from whoever started them, so it does not matter in which nursery a
    task was left. Trio's tree of tasks is walked when a role begins and when a node ends, not in between.
    """

    name = "no leaked task"
    source = "docs/architecture.md, Decide, then perform"

    def __init__(self) -> None:
        super().__init__()
        self._base: dict[Life, frozenset[Task]] = {}

    @override
    def became(self, life: Life) -> None:
        """A new role has its own tasks, and the node those that it had before, and no others are there."""
        main = trio.lowlevel.current_task()
        role_nursery = main.child_nurseries[-1]
        own = role_nursery.child_tasks
        others = frozenset(task for task in _tasks_of(life) if not _stands_in(task, role_nursery))
        base = self._base.setdefault(life, others)
        leaked = sorted(task.name for task in others - base if not _stands_under(task, base, main))
        if leaked:
            self.fail(
                f"{life} has become {life.role and life.role.name}, and of the role before there still run {leaked}"
            )
        expected = 0
        if isinstance(life.role, Leader):
            peers = len(life.state.peers)
            watches = life.role.lease.settings is not None
            expected = peers + bool(peers) + watches  # replicators, the announcer of commits, the watch over the lease
        if len(own) != expected:
            names = sorted(task.name for task in own)
            self.fail(
                f"{life} begins as {life.role and life.role.name} with the tasks {names}; there should be {expected}"
            )

    @override
    def ended(self, life: Life) -> None:
        """Only the task that tells of the end is left."""
        self._base.pop(life, None)
        main = trio.lowlevel.current_task()
        left = sorted(task.name for task in _tasks_of(life) if task is not main)
        if left:
            self.fail(f"{life} has ended, and there still run {left}")


def _tasks_of(life: Life) -> Iterator[Task]:
    """All tasks that were started in the course of a life and exist now."""
    root = trio.lowlevel.current_root_task()
    waiting = [root] if root is not None else []
    while waiting:
        task = waiting.pop()
        if task.context.get(LIFE) is life:
            yield task
        for nursery in task.child_nurseries:
            waiting += nursery.child_tasks


def _stands_under(task: Task, tasks: frozenset[Task], apart_from: Task) -> bool:
    """Whether one of these tasks (but that one) has started a task in a nursery of its own."""
    while task.parent_nursery is not None:
        task = task.parent_nursery.parent_task
        if task in tasks and task is not apart_from:
            return True
    return False


def _stands_in(task: Task, nursery: trio.Nursery) -> bool:
    """Whether a task runs within a nursery, or in one of its tasks' own."""
    parent = task.parent_nursery
    while parent is not None and parent is not nursery:
        parent = parent.parent_task.parent_nursery
    return parent is nursery
