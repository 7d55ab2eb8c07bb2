"""What the question `joining` counts, and the worker's part in it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import trio

from benchmarks.cluster import free_ports
from benchmarks.questions.joining import sample_of
from benchmarks.workers.raft_actors_worker import Worker


def test_what_takes_the_time() -> None:
    second = 10**9
    changes = [(4, "learning"), (7, "deciding"), (8, "learning"), (12, "deciding"), (13, "deciding")]
    seen = [(0, "deciding"), *((at * second, phase) for at, phase in changes)]
    assert sample_of(seen, [1 * second, 3 * second, 14 * second]).values == {
        "grown_s": 11,
        "asking_s": 1,
        "learning_s": 7,
        "deciding_s": 3,
        "starting_s": 2,
    }


async def test_a_worker_tells_when_its_members_changed(tmp_path: Path) -> None:
    one, two = [f"127.0.0.1:{port}" for port in free_ports(2)]
    common = {"storage": "memory", "options": {}, "folder": str(tmp_path)}
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery, AsyncExitStack() as first, AsyncExitStack() as second:
            member, newcomer = Worker(first, nursery), Worker(second, nursery)
            await member.handle({"command": "start", "node": "n1", "addresses": {"n1": one}, **common})
            await member.node.wait_leader()
            await member.handle({"command": "watch"})
            addresses = {"n1": one, "n2": two}
            await newcomer.handle({"command": "join", "node": "n2", "addresses": addresses, "through": "n1", **common})
            seen = (await member.handle({"command": "watched"}))["changes"]
            nursery.cancel_scope.cancel()
    phases = [phase for _, phase in seen]
    assert phases[phases.index("learning") :][-1] == "deciding"
    assert [at for at, _ in seen] == sorted(at for at, _ in seen)
