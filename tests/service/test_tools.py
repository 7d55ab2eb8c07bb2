"""Redis's own tools against the service."""

from __future__ import annotations

import subprocess
from functools import partial

import pytest
import trio

from raft_actors.service.operations import set_value
from tests.service.support import LoneReplica, serve, tool


async def run_tool(port: int, name: str, *arguments: str, stdin: str = "") -> str:
    command = [tool(name), "-h", "127.0.0.1", "-p", str(port), *arguments]
    run = partial(subprocess.run, command, input=stdin, capture_output=True, text=True, check=True)
    done = await trio.to_thread.run_sync(run)
    assert done.stderr == ""
    return str(done.stdout)


@pytest.mark.parametrize("protocol", ["-2", "-3"])
async def test_redis_cli(protocol: str) -> None:
    replica = LoneReplica()
    script = "set k 'a b'\nget k\nincr k\nmget k none\nselect 0\nkeys *\nhello 3\nnosuch\nraft.local get k\n"
    async with serve(replica, replica.machine) as served:
        shown = await run_tool(served.port, "redis-cli", protocol, stdin=script)
    assert shown.startswith("OK\na b\nERR value is not an integer or out of range\n")
    assert "ERR unknown command 'nosuch'" in shown
    assert shown.endswith("\na b\n")


async def test_redis_cli_scans_everything() -> None:
    replica = LoneReplica()
    keys = {f"key:{number}" for number in range(2000)}
    for key in keys:
        replica.machine.apply(set_value(key.encode(), b""))
    async with serve(replica, replica.machine) as served:
        shown = await run_tool(served.port, "redis-cli", "--scan", "--pattern", "key:*")
    assert set(shown.split()) == keys


@pytest.mark.parametrize("pipeline", ["1", "16"])
async def test_redis_benchmark(pipeline: str) -> None:
    replica = LoneReplica()
    names = "ping_inline,ping_mbulk,set,get,incr,mset"
    arguments = ["-t", names, "-n", "1000", "-c", "20", "-P", pipeline, "-r", "50", "--csv"]
    async with serve(replica, replica.machine) as served:
        shown = await run_tool(served.port, "redis-benchmark", *arguments)
        assert served.service.context.statistics.protocol_errors == 0
    assert len(shown.splitlines()) == 7  # a head and the six
    assert 0 < len(replica.machine) <= 101
