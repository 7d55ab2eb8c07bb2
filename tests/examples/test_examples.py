"""Each example prints what its README shows, run as the README says; and replicas of its state machine agree."""

from __future__ import annotations

import asyncio  # noqa: TID251 - the host of a guest node
import logging
import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from examples.config_store.store import ConfigStore, Delete, Set
from examples.counter.counter import Add as AddToCounter
from examples.counter.counter import Counter
from examples.fenced_lock.lock import Acquire, Locks, Release
from examples.guest_mode.guest import open_guest_node
from examples.job_queue.queue import Done, GiveBack, JobQueue, Submit, Take
from examples.leader_cron.cron import Claim, Claims, Job, run_jobs
from examples.remote_client.stock import Add, Sell, Stock
from examples.three_nodes import leader_of, three_nodes
from raft_actors import ClusterConfig, Node, NodeConfig, NodeStopped, StateMachine, open_node
from raft_actors.persistence import MemoryStorage
from raft_actors.testing import check_state_machine
from raft_actors.transports import MemoryNetwork

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/README.md"))
#: Those that go on until they are stopped have tests of their own.
SERVERS = {"counter", "http_service"}


def shown(example: Path) -> list[tuple[list[str], str]]:
    """The commands of a README with what they print; "…" is whatever it is this time."""
    text = (example / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)[1:]
    return [(command.split(), output) for command, output in zip(parts[::2], parts[1::2], strict=True)]


@pytest.mark.parametrize("example", [path for path in EXAMPLES if path.name not in SERVERS], ids=lambda path: path.name)
def test_it_prints_what_its_readme_shows(example: Path) -> None:
    for command, output in shown(example):
        assert command[0] in ("python", "pytest")
        module = [] if command[0] == "python" else ["-m"]
        words = command[1:] if command[0] == "python" else command
        done = subprocess.run(
            [sys.executable, "-W", "error", *module, *words], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert done.returncode == 0, done.stdout + done.stderr
        pattern = ".*".join(map(re.escape, output.split("…")))
        if output:
            assert re.fullmatch(pattern, done.stdout), done.stdout


def test_each_example_has_a_readme_and_a_test() -> None:
    packages = {path.parent for path in (ROOT / "examples").glob("*/__init__.py")}
    assert packages == set(EXAMPLES)
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in SERVERS if f"examples.{name}." not in tests] == []


@pytest.mark.parametrize(
    ("make", "commands"),
    [
        (ConfigStore, [Set("a", "1"), Set("a", "2", 1), Set("a", "3", 1), Set("b", "1", 0), Delete("a"), Delete("c")]),
        (
            JobQueue,
            [
                *(Submit("x", "1"), Submit("y", "2"), Take("anna"), Take("bert"), Done("anna", "x"), GiveBack("bert")),
                *(Done("bert", "y"), Take("anna"), Submit("y", "2")),
            ],
        ),
        (
            Claims,
            [Claim("a", 1, "n1"), Claim("a", 1, "n2"), Claim("a", 1, "n1"), Claim("a", 3, "n2"), Claim("b", 2, "n1")],
        ),
        (Locks, [Acquire("l", "anna"), Acquire("l", "bert"), Release("l", 1), Acquire("l", "bert"), Release("l", 1)]),
        (Stock, [Add("tea", 2), Sell("tea", 1), Sell("tea", 2), Sell("rice", 1), Add("rice", 1), Sell("tea", 1)]),
    ],
    ids=["config_store", "job_queue", "leader_cron", "fenced_lock", "remote_client"],
)
def test_replicas_agree(make: type[StateMachine[Any, Any]], commands: list[Any]) -> None:
    check_state_machine(make, commands, processes=False)


def test_a_token_is_never_given_twice() -> None:
    locks = Locks()
    first = locks.apply(Acquire("l", "anna"))
    assert locks.apply(Acquire("l", "anna")) == first
    locks.apply(Release("l", first))
    assert locks.apply(Acquire("l", "bert")) == locks.apply(Acquire("l", "bert")) > first


async def test_jobs_end_with_leadership_and_with_their_node(autojump_clock: object) -> None:
    at_work: list[str] = []

    async def work(node: Node[Claims]) -> None:
        at_work.append(node.node_id)
        try:
            await trio.sleep_forever()
        finally:
            at_work.remove(node.node_id)

    async with trio.open_nursery() as nursery, three_nodes(Claims) as nodes:
        for node in nodes.values():
            nursery.start_soon(run_jobs, node, {"job": Job(1.0, partial(work, node))}, trio.current_time)
        await trio.sleep(3)
        first = leader_of(nodes)
        assert at_work == [first.node_id]
        second = await first.transfer_leadership()
        await trio.sleep(3)
        assert at_work == [second]
        # Nobody cancels them: they end because their nodes did.
    assert at_work == []


async def test_no_run_is_made_twice(autojump_clock: object) -> None:
    """Also where a period begins, so that it may be rounded to the one before, and by a leader that comes back."""
    runs: set[int] = set()

    async def work(node: Node[Claims]) -> None:
        slot, _node = await node.read(lambda claims: claims.latest["job"])
        assert slot not in runs
        runs.add(slot)

    async with trio.open_nursery() as nursery, three_nodes(Claims) as nodes:
        for node in nodes.values():
            nursery.start_soon(run_jobs, node, {"job": Job(0.1, partial(work, node))}, trio.current_time)
        await trio.sleep(10)
        for _ in range(2):
            await leader_of(nodes).transfer_leadership()
            await trio.sleep(1)
    assert len(runs) > 50


def test_who_asks_a_guest_node_hears_that_it_has_stopped() -> None:
    """Trio cancels its task without an answer: what waits for one on asyncio's side would wait for ever."""

    async def host() -> None:
        async with open_guest_node(
            lambda: open_node(
                "n1",
                cluster=ClusterConfig("guest", voters={"n1": "memory", "n2": "never comes"}),
                state_machine=Counter,
                storage=MemoryStorage(),
                transport=MemoryNetwork().transport("n1"),
            )
        ) as node:
            waiting = asyncio.ensure_future(node.propose(AddToCounter("anna", 1, 1)))  # without n2 there is no leader
            await asyncio.sleep(0)
        with pytest.raises(NodeStopped):
            await asyncio.wait_for(waiting, 10)
        with pytest.raises(NodeStopped):
            await node.propose(AddToCounter("anna", 2, 1))

    asyncio.run(host())


def test_a_guest_node_hands_leadership_over_at_the_end_of_its_block(caplog: pytest.LogCaptureFixture) -> None:
    network, voters = MemoryNetwork(), {"n1": "memory", "n2": "memory", "n3": "memory"}

    def opened(name: str, election_timeout_s: tuple[float, float]) -> AbstractAsyncContextManager[Node[Counter]]:
        return open_node(
            name,
            cluster=ClusterConfig("guest", voters),
            state_machine=Counter,
            storage=MemoryStorage(),
            transport=network.transport(name),
            config=NodeConfig(election_timeout_s=election_timeout_s),
        )

    async def others(ready: trio.Event) -> None:
        async with opened("n2", (600, 1200)), opened("n3", (600, 1200)):
            ready.set()
            await trio.sleep_forever()

    @asynccontextmanager
    async def leader() -> AsyncGenerator[Node[Counter], None]:
        """The only one that stands for election by itself, beside nodes that go on when it ends."""
        trio.lowlevel.spawn_system_task(others, ready := trio.Event())
        await ready.wait()
        async with opened("n1", (0.4, 0.8)) as node:
            yield node

    async def host() -> None:
        async with open_guest_node(leader) as node:
            assert await node.propose(AddToCounter("anna", 1, 1)) == 1

    with caplog.at_level(logging.INFO, logger="raft_actors"):
        asyncio.run(host())
    handed_over = [f"node n1: has handed leadership to {name}, and stops" for name in ("n2", "n3")]
    assert [line for line in caplog.messages if line in handed_over]


def test_a_run_is_given_once() -> None:
    claims = Claims()
    claim = Claim("job", 1, "n1")
    assert [claims.apply(claim), claims.apply(claim), claims.apply(Claim("job", 1, "n2"))] == [True, False, False]
