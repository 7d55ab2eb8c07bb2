"""How the driver talks to a worker: a JSON object a line, on the worker's standard input and output.

A request is `{"command": …, …}`, its answer `{"ok": {…}}` or `{"error": "…"}`. One at a time. The commands:

- `start`: node, addresses (of all nodes), folder, storage ("disk" or "memory"), options (the engine's own).
- `status`: → leading, leader_known, term, applied (commands or entries applied here), stored_bytes;
  commands (applied here, where the state machine counts).
- `load`: proposers, payload (bytes), warmup_s, seconds, mode ("await", "many", "pipeline" or "session"), batch
  (commands per await, or in flight per proposer). → see `Window.result`. With stalls: proposals that fail are counted,
  and it is kept when nobody was answered (`handing_over.Stalls`).
- `move`: to (a node), times, every_s, after_s: hand leadership to it whenever it has come here; answers at once.
- `moved`: → transfers (begin and end of each), failures.
- `offer`: rate (proposals a second, whatever becomes of them), payload, warmup_s, seconds. → the same, and offered (a
  second), refused, causes (of refusals), longest_retry_s.
- `read`: level, readers, writers, payload, warmup_s, seconds; reads_per_write (so many come for each write, and the
  readers wait for them; 0: they read over and over), writes_per_s (of all writers, each at its own times; 0: over and
  over). → as `load`, of reads, and writes_per_s and write_latencies.
- `read_after_failover`: lease_s, margin_s: what it answers from where it leads until an old lease ends. → asked,
  answered, wrote_after_s.
- `fill`: commits, payload, as fast as may be. → commits, seconds.
- `transfer`: to (a node): hand leadership over. → leader.
- `first_commit`: try to commit one command until it works. → at_ns, of the clock that `time.time_ns` reads.
- `ready`: nothing; the process runs.
- `join`: as `start`, with `through` (whom to ask): be one that joins a running cluster; answers when it votes.
- `remove`: node, addresses, clients, through: let a member go.
- `begin`: addresses, clients, proposers, payload: be a client of a cluster, not a node, with so many proposers that
  each propose and wait, until `end`. → see `ledger.Proposers.result`.
- `ledger`: → applied (proposer → how many of its commands), where it was started with the option `ledger`.
- `hops`: leads (whether to tell a leader's). → hops (name → median and ninth decile in µs, count), since the last
  time. Only after a `start` with the option `stamps`.
- `stop`: end in an orderly way.

A worker whose standard input ends stops at once, so none outlives its driver.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self, cast

import attrs
import trio

from benchmarks.latencies import pack

Request = dict[str, Any]
Reply = dict[str, Any]
Handler = Callable[[Request], Awaitable[Reply]]

clock = time.perf_counter


@attrs.define
class Window:
    """The time during which commits count: after the warm-up, for some seconds.

    Attributes:
        latencies: of each wait that ended within it, in seconds.
        commits: that were acknowledged within it.
        total: those of the warm-up and after the end too.
    """

    begins: float
    ends: float
    latencies: list[float] = attrs.field(factory=list[float])
    commits: int = 0
    total: int = 0

    @classmethod
    def of(cls, request: Request) -> Self:
        """Begin the window that a `load` request asks for."""
        begins = clock() + request["warmup_s"]
        return cls(begins, begins + request["seconds"])

    def count(self, started: float, commits: int) -> bool:
        """Note that commits which were asked for at `started` are acknowledged now; return whether to go on."""
        now = clock()
        self.total += commits
        if now > self.ends:
            return False
        if now >= self.begins:
            self.commits += commits
            self.latencies.append(now - started)
        return True

    def result(self) -> Reply:
        """What `load` answers."""
        return {
            "commits": self.commits,
            "seconds": self.ends - self.begins,
            "total": self.total,
            "latencies": pack(self.latencies),
        }


def payload_of(request: Request) -> bytes:
    """Random bytes, so that nothing on the way can shrink them."""
    return os.urandom(request["payload"])


def folder_bytes(folder: str) -> int:
    """Size on disk of all files in a folder and its folders."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(where, name)).st_blocks * 512  # noqa: PTH116, PTH118 - one call a file
            except FileNotFoundError:
                continue
    return total


async def serve(handle: Handler) -> None:
    """Answer requests until `stop` or the end of standard input. Trio's side of the wire."""
    answers = trio.lowlevel.FdStream(os.dup(1))
    async with trio.lowlevel.FdStream(os.dup(0)) as requests, answers:
        buffer = bytearray()
        while True:
            while b"\n" not in buffer:
                data = await requests.receive_some(65_536)
                if not data:
                    return
                buffer += data
            line, _, rest = bytes(buffer).partition(b"\n")
            buffer[:] = rest
            request = json.loads(line)
            try:
                answer: Reply = {"ok": await handle(request)}
            except Exception as error:  # noqa: BLE001 - the driver reports it
                answer = {"error": describe(error)}
            await answers.send_all(json.dumps(answer).encode() + b"\n")
            if request["command"] == "stop":
                return


def describe(error: BaseException) -> str:
    """An error in one line; of several proposers' errors, the first."""
    errors = _leaves(error)
    others = f" (and {len(errors) - 1:,} more errors)" if len(errors) > 1 else ""
    return f"{type(errors[0]).__name__}: {errors[0]}{others}"


def _leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    group = cast("BaseExceptionGroup[BaseException]", error)
    return [leaf for each in group.exceptions for leaf in _leaves(each)]
