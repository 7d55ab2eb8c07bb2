"""How does the replicated key-value service do under Redis' own benchmark?"""

from __future__ import annotations

import contextlib
import csv
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.cluster import REPLY_TIMEOUT_S, WorkerFailed, free_ports, tail
from benchmarks.engines import HERE, OURS, REDIS_SERVER, Engine
from benchmarks.plots import Drawing, bars
from benchmarks.questions.base import Column, Question, decimals, product, thousands
from benchmarks.results import Report, Row

_NODES = 3
_POLL_S = 0.05
_PROBE = b"*3\r\n$3\r\nSET\r\n$5\r\nprobe\r\n$1\r\nx\r\n"
_SLOWEST_PER_S = 100


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    base: dict[str, Parameter] = {"nodes": _NODES, "storage": "disk", "payload": settings.values["payload"][0]}
    sets: list[dict[str, Parameter]] = [
        {**base, "command": command, "clients": clients, "pipelined": pipelined}
        for command in settings.words("command")
        for clients in settings.numbers("clients")
        for pipelined in settings.numbers("pipelined")
    ]
    return product([engine for engine in engines if engine in (OURS, REDIS_SERVER)], sets)


async def _measure(settings: Settings, case: Case) -> Sample:
    program = shutil.which("redis-benchmark")
    if program is None:
        raise WorkerFailed("redis-benchmark is not installed: on Debian, apt install redis-tools")
    requests = settings.numbers("requests")[0] * min(10, case.number("pipelined"))
    opened = _open_service if case.engine is OURS else _open_redis
    async with opened(settings.folder) as port:
        values: dict[str, float] = {}
        for count in (max(1, requests // 5), requests):  # the first warms up
            values = await _benchmark(program, port, case, count)
        return Sample(values)


async def _benchmark(program: str, port: int, case: Case, requests: int) -> dict[str, float]:
    command = [program, "-h", "127.0.0.1", "-p", str(port), "-t", case.word("command"), "-n", str(requests)]
    command += ["-c", str(case.number("clients")), "-P", str(case.number("pipelined"))]
    command += ["-d", str(case.number("payload")), "-r", "100000", "--csv"]
    with trio.move_on_after(REPLY_TIMEOUT_S + requests / _SLOWEST_PER_S):
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        rows = list(csv.DictReader(done.stdout.decode(errors="replace").splitlines()))
        if done.returncode or not rows or "rps" not in rows[0]:
            raise WorkerFailed(f"redis-benchmark failed: {(done.stderr or done.stdout).decode(errors='replace')}")
        row = rows[0]
        names = {"p50_ms": "p50_latency_ms", "p99_ms": "p99_latency_ms", "max_ms": "max_latency_ms"}
        return {"requests_per_s": float(row["rps"]), **{name: float(row[key]) for name, key in names.items()}}
    raise WorkerFailed("redis-benchmark did not end in time")


@asynccontextmanager
async def _open_redis(folder: Path) -> AsyncGenerator[int, None]:
    """One server as Redis comes, but that it syncs each write as we do, and its port."""
    [port] = free_ports(1)
    async with _open_processes(folder) as (where, start):
        command = [*REDIS_SERVER.command(), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(where)]
        await start([*command, "--save", "", "--appendonly", "yes", "--appendfsync", "always"])
        yield await _find_leader([port], where / "log")


@asynccontextmanager
async def _open_service(folder: Path) -> AsyncGenerator[int, None]:
    """Three nodes of the service, and the port of the one that leads."""
    ports = free_ports(2 * _NODES)
    nodes = [f"n{number}=127.0.0.1:{ports[number]},127.0.0.1:{ports[_NODES + number]}" for number in range(_NODES)]
    members = [word for node in nodes for word in ("--node", node)]
    async with _open_processes(folder) as (where, start):
        for number in range(_NODES):
            command = [sys.executable, "-m", "raft_actors.cli", "serve", "--id", f"n{number}", "--cluster", "benchmark"]
            await start([*command, *members, "--data", str(where / f"n{number}.db")])
        yield await _find_leader(ports[_NODES:], where / "log")


_Start = Callable[[list[str]], Awaitable[None]]


@asynccontextmanager
async def _open_processes(folder: Path) -> AsyncGenerator[tuple[Path, _Start], None]:
    """A folder for the data of servers, and what starts one; all are killed at the end."""
    where = Path(tempfile.mkdtemp(prefix="service-", dir=folder))
    processes: list[trio.Process] = []

    async def start(command: list[str]) -> None:
        with (where / "log").open("ab") as log:
            process = await trio.lowlevel.open_process(command, stdout=log, stderr=subprocess.STDOUT, cwd=HERE.parent)
        processes.append(process)

    try:
        yield where, start
    finally:
        for process in processes:
            process.kill()
        with trio.CancelScope(shield=True):
            for process in processes:
                await process.wait()
        shutil.rmtree(where)


async def _find_leader(ports: Sequence[int], log: Path) -> int:
    with trio.move_on_after(REPLY_TIMEOUT_S):
        while True:
            for port in ports:
                with contextlib.suppress(OSError, trio.BrokenResourceError):
                    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                        await stream.send_all(_PROBE)
                        if await stream.receive_some(64) == b"+OK\r\n":
                            return port
            await trio.sleep(_POLL_S)
    raise WorkerFailed(f"nobody takes a write: {tail(log)}")


def _group(row: Row) -> str:
    return f"{row.parameters['command']}\n{row.parameters['clients']} × {row.parameters['pipelined']}"


def _draw(report: Report) -> list[Drawing]:
    label = "command; clients × requests that each pipelines"
    return [
        bars(
            report,
            report.rows,
            "redis",
            value="requests_per_s",
            y_label="requests/s",
            group=_group,
            group_label=label,
        )
    ]


QUESTION = Question(
    name="redis",
    asks="How does the replicated key-value service do under Redis' own benchmark?",
    options=(
        Option("command", "what clients ask", ("set", "get"), ("set", "get"), ("set", "get", "incr", "mset")),
        Option("clients", "connections at a time", (1, 50, 500), (50,)),
        Option("pipelined", "requests that each client sends at a time", (1, 16), (1, 16)),
        Option("requests", "per measurement; with pipelining up to ten times as many", (20_000,), (1000,)),
        Option("payload", "bytes in a value (the first counts)", (128,), (128,)),
    ),
    plan=_plan,
    measure=_measure,
    columns=(
        Column("requests/s", "requests_per_s", thousands, spread=True),
        Column("p50 ms", "p50_ms", decimals),
        Column("p99 ms", "p99_ms", decimals),
        Column("max ms", "max_ms", decimals),
    ),
    draw=_draw,
    engines=("raft_actors", "redis-server"),
    compare=("requests_per_s", True),
    notes=(
        "Writes are on the disks of a majority when acknowledged; reads are linearizable.",
        "The latencies are those that redis-benchmark reports.",
        "redis-benchmark shares the machine with the three nodes, and connects to the leader.",
    ),
)
