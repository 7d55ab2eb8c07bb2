"""Minutes of kills, transfers and minority partitions of real processes under one client: what reaches its callers?

    python -m tests.processes.client_soak --minutes 10

Three workers with stores on disk; what they say to each other goes through this process, which can hold it up. One
client proposes and reads all the time, and so do the nodes' own callers, at whichever leads. After each fault it prints
how long the cluster committed nothing by its own account (the failover), and how long nobody got an answer from the
client (the stall). In the end: errors, duplicates and losses by the state of all nodes, and the longest of both.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import random
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import trio

from raft_actors import ProposalError, ProtocolError, RaftClient, open_client
from raft_actors.transports.wire.frames import FrameParser
from raft_actors.transports.wire.handshake import MAX_HELLO_BYTES, Hello
from tests.processes.harness import Cluster, open_cluster
from tests.processes.ledger import Ledger, Note, Total

WRITERS, READERS = 8, 4
#: As they come with the library.
TIMING: dict[str, Any] = {"election_timeout_s": (0.4, 0.8), "heartbeat_interval_s": 0.2}

Client = RaftClient[Ledger]


@attrs.define(eq=False)
class Links:
    """What nodes say to each other, on its way through this process.

    Attributes:
        voters: the addresses by which nodes know each other, which lead here.
    """

    voters: dict[str, str] = attrs.field(factory=dict)
    _held: set[str] = attrs.field(factory=set)
    _changed: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    def hold(self, *nodes: str) -> None:
        """Hold up what these say and are told. Nothing is lost, as TCP loses nothing."""
        self._held.update(nodes)

    def release(self) -> None:
        """Let all through."""
        self._held.clear()
        self._changed.unpark_all()

    async def carry(self, node: str, address: str, stream: trio.SocketStream) -> None:
        """Carry what somebody says to a node, which listens at the address, and the answers."""
        host, port = address.split(":")
        async with stream:
            try:
                first = await stream.receive_some()
                onward = await trio.open_tcp_stream(host, int(port))
            except (OSError, trio.BrokenResourceError):
                return
            sender = _sender(first)
            nodes = frozenset((node, sender)) if sender else frozenset[str]()
            async with onward, trio.open_nursery() as nursery:
                await self._wait_open(nodes)
                await onward.send_all(first)
                for source, target in ((stream, onward), (onward, stream)):
                    nursery.start_soon(self._copy, nodes, source, target, nursery.cancel_scope)

    async def _wait_open(self, nodes: frozenset[str]) -> None:
        while nodes & self._held:
            await self._changed.park()

    async def _copy(
        self, nodes: frozenset[str], source: trio.SocketStream, target: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        try:
            while data := await source.receive_some():
                await self._wait_open(nodes)
                await target.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()


def _sender(first: bytes) -> str:
    """Which node has opened a connection, as it says first; "": the client, which is cut off from none."""
    with contextlib.suppress(ProtocolError):
        for payload in FrameParser(MAX_HELLO_BYTES).feed(first):
            return Hello.decode(payload).sender
    return ""


@asynccontextmanager
async def open_links(voters: dict[str, str], nursery: trio.Nursery) -> AsyncGenerator[Links]:
    """A way to each node."""
    links = Links()
    for node, address in voters.items():
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        links.voters[node] = f"127.0.0.1:{listener.socket.getsockname()[1]}"
        serve = partial(links.carry, node, address)
        nursery.start_soon(trio.serve_listeners, serve, [listener])  # noqa: ASYNC113 - it listens already
    yield links


@attrs.define(eq=False)
class Gaps:
    """The longest time without a sign of life, since it was last asked."""

    at: float = attrs.field(factory=trio.current_time)
    longest_s: float = 0.0

    def sign(self) -> None:
        """There is one."""
        now = trio.current_time()
        self.longest_s, self.at = max(self.longest_s, now - self.at), now

    def take(self) -> float:
        """The longest, and begin anew."""
        longest, self.longest_s = max(self.longest_s, trio.current_time() - self.at), 0.0
        return longest


@attrs.define(eq=False)
class Load:
    """Those who use the client, and what came of it."""

    client: Client
    cluster: Cluster
    answered: dict[tuple[str, int], int] = attrs.field(factory=dict)
    errors: list[str] = attrs.field(factory=list)
    gaps: Gaps = attrs.field(factory=Gaps)
    slowest_s: float = 0.0
    reads: int = 0
    over: bool = False

    async def write(self, name: str) -> None:
        for number in itertools.count(1):
            if self.over:
                return
            began = trio.current_time()
            try:
                self.answered[name, number] = await self.client.propose(Note(name, number))
            except ProposalError as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                return
            self.cluster.note({"event": "ack", "client": name, "number": number})
            self.gaps.sign()
            self.slowest_s = max(self.slowest_s, trio.current_time() - began)
            await trio.sleep(0.002)

    async def read(self) -> None:
        while not self.over:
            known, began = max(self.answered.values(), default=0), trio.current_time()
            try:
                total = await self.client.read(Total())
            except ProposalError as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                return
            if total < known:
                self.errors.append(f"a stale read: {total} after {known}")
            self.reads += 1
            self.slowest_s = max(self.slowest_s, trio.current_time() - began)
            await trio.sleep(0.002)


async def watch(cluster: Cluster, load: Load, gaps: Gaps) -> None:
    """See when the cluster commits, by the account of its own callers."""

    def own() -> int:
        return cluster.book.acknowledged - len(load.answered)

    seen = own()

    def moved() -> bool:
        return own() > seen

    while True:
        await cluster.until(moved)
        seen = own()
        gaps.sign()


async def strike(cluster: Cluster, links: Links, rng: random.Random) -> str:
    """One fault, and its end."""
    leader = await cluster.wait_leader()
    follower = rng.choice(sorted(set(cluster.voters) - {leader}))
    fault = rng.choice(("kill the leader", "kill a follower", "transfer", "cut off the leader", "cut off a follower"))
    victim = follower if fault.endswith("follower") else leader
    if fault.startswith("kill"):
        await cluster.kill(victim)
        await trio.sleep(rng.uniform(0.5, 2.0))
        await cluster.start(victim, load=1, listen=cluster.voters[victim], voters=links.voters)
        await cluster.started(victim)
    elif fault == "transfer":
        _, error = await cluster.outcome(leader, await cluster.tell(leader, "transfer"))
        fault += f" ({error})" if error else ""
    else:
        links.hold(victim)
        await trio.sleep(rng.uniform(0.5, 4.0))
        links.release()
    await trio.sleep(rng.uniform(1.0, 2.0))
    return f"{fault} ({victim})"


async def soak(folder: Path, minutes: float, seed: int) -> int:
    """Do it; return how many errors there were."""
    rng, began = random.Random(seed), trio.current_time()
    longest: dict[str, tuple[float, float]] = {}
    async with (
        open_cluster(folder, limit_s=minutes * 60 + 120, **TIMING) as cluster,
        open_links(cluster.voters, cluster.nursery) as links,
    ):
        for node in cluster.voters:
            await cluster.start(node, load=1, listen=cluster.voters[node], voters=links.voters)
        await cluster.started()
        await cluster.wait_leader()
        async with open_client([*cluster.voters.values()], Ledger, cluster="processes") as client:
            await client.wait_ready()
            load, own = Load(client, cluster), Gaps()
            cluster.nursery.start_soon(watch, cluster, load, own)
            async with trio.open_nursery() as nursery:
                for number in range(WRITERS):
                    nursery.start_soon(load.write, f"outside {number}")
                for _ in range(READERS):
                    nursery.start_soon(load.read)
                await trio.sleep(1.0)
                own.take()
                load.gaps.take()
                while trio.current_time() - began < minutes * 60:
                    fault = await strike(cluster, links, rng)
                    failover_s, stall_s = own.take(), load.gaps.take()
                    say(f"{fault:32} failover {failover_s:6.3f} s  stall {stall_s:6.3f} s")
                    kind = fault.partition(" (")[0]
                    before = longest.get(kind, (0.0, 0.0))
                    longest[kind] = max(before[0], failover_s), max(before[1], stall_s)
                load.over = True
        state = await cluster.settle()
    return report(load, state["notes"], longest)


def report(load: Load, notes: dict[str, list[list[int]]], longest: dict[str, tuple[float, float]]) -> int:
    """Compare what was answered with what is there, and print it all."""
    errors = list(load.errors)
    for number in range(WRITERS):
        name = f"outside {number}"
        count = sum(1 for known, _ in load.answered if known == name)
        if notes.get(name) != [[1, count]]:
            errors.append(f"{name}: {count} were answered, and {notes.get(name)} applied")
    for kind, (failover_s, stall_s) in longest.items():
        say(f"longest of {kind:21} failover {failover_s:6.3f} s  stall {stall_s:6.3f} s")
    failover_s = max((failover for failover, _ in longest.values()), default=math.inf)
    stall_s = max((stall for _, stall in longest.values()), default=0.0)
    say(
        f"{len(load.answered)} proposals, {load.reads} reads, {len(errors)} errors; "
        f"longest failover {failover_s:.3f} s, longest stall {stall_s:.3f} s "
        f"({stall_s / failover_s:.2f} ×), slowest call {load.slowest_s:.3f} s"
    )
    for error in errors:
        say(f"error: {error}")
    return len(errors)


def say(line: str) -> None:
    """Print it at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        raise SystemExit(trio.run(soak, Path(folder), options.minutes, options.seed) > 0)


if __name__ == "__main__":
    main()
