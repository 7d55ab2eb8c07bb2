"""Frozen processes (SIGSTOP): a leader that does not know it was deposed, and followers that fall behind."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.processes.harness import NOT_LEADING, Cluster, open_cluster


async def _depose(cluster: Cluster, *, clients: int = 8) -> tuple[str, str]:
    """Freeze the leader in the middle of its work until another one has acknowledged notes; both their ids."""
    await cluster.load(clients)
    await cluster.acknowledged(100)
    old = await cluster.wait_leader()
    cluster.workers[old].send_signal(signal.SIGSTOP)
    others = [node_id for node_id in cluster.voters if node_id != old]

    def successors() -> list[str]:
        return [node_id for node_id in others if _leads(cluster, node_id)]

    await cluster.until(successors)
    await cluster.acknowledged(50)
    return old, successors()[0]


def _leads(cluster: Cluster, node_id: str) -> bool:
    role = cluster.workers[node_id].last("role")
    return role is not None and role["role"] == "leader"


async def test_thawed_leader_answers_nothing_stale(tmp_path: Path) -> None:
    """Orders wait in its pipe while it is frozen, so it takes them up believing that it still leads."""
    async with open_cluster(tmp_path) as cluster:
        await cluster.start()
        await cluster.started()
        old, _ = await _depose(cluster)
        acknowledged = cluster.book.acknowledged
        reads = [await cluster.tell(old, "read") for _ in range(20)]
        notes = [await cluster.tell(old, "propose", client="late", number=number) for number in range(1, 21)]
        cluster.workers[old].send_signal(signal.SIGCONT)

        done = []
        for number, order in enumerate(notes, 1):
            _, error = await cluster.outcome(old, order)
            assert error in {None, *NOT_LEADING}
            if error is None:
                done.append(number)
        for order in reads:
            total, error = await cluster.outcome(old, order)
            assert error in NOT_LEADING or total >= acknowledged, "stale: it began after these were acknowledged"

        cluster.book.last_numbers["late"] = len(notes)
        cluster.book.acks["late"] = done
        await cluster.settle()


async def test_thawed_leader_steps_down(tmp_path: Path) -> None:
    """What it had under way gets its result, or an answer that says why not; its clients find the new leader."""
    async with open_cluster(tmp_path) as cluster:
        await cluster.start()
        await cluster.started()
        old, new = await _depose(cluster, clients=32)
        term = _term(cluster, new)
        cluster.workers[old].send_signal(signal.SIGCONT)
        await cluster.until(lambda: _term(cluster, old) >= term)
        await cluster.acknowledged(50)
        state = await cluster.settle()
        assert set(cluster.book.errors) <= NOT_LEADING
        assert state["total"] >= cluster.book.acknowledged


def _term(cluster: Cluster, node_id: str) -> int:
    leader = cluster.workers[node_id].last("leader")
    return leader["term"] if leader is not None else 0


async def test_thawed_follower_catches_up(tmp_path: Path) -> None:
    async with open_cluster(tmp_path) as cluster:
        await cluster.start()
        await cluster.started()
        await cluster.load(8)
        leader = await cluster.wait_leader()
        follower = next(node_id for node_id in cluster.voters if node_id != leader)
        for _ in range(3):
            await cluster.acknowledged(100)
            cluster.workers[follower].send_signal(signal.SIGSTOP)
            await cluster.acknowledged(500)
            cluster.workers[follower].send_signal(signal.SIGCONT)
        await cluster.settle()
