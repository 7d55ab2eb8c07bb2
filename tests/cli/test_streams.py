"""`raft-actors` as a shell, a supervisor or a cron job starts it: with odd standard streams, with SIGINT ignored."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import pytest
import redis

from raft_actors.cli.demo_cluster import Cluster, ask
from tests.cli.serving import CLI, client, command, serving
from tests.signals import sigint

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason=f"this system has no {FULL}")


def alone(cluster: Cluster) -> list[str]:
    """The arguments for a cluster of one node, which has no peers to complain of."""
    node = cluster.nodes["n1"]
    member = f"n1=127.0.0.1:{node.raft_port},127.0.0.1:{node.redis_port}"
    return ["serve", "--id=n1", "--cluster=alone", f"--data={node.data}", f"--node={member}"]


def run_unheard(cluster: Cluster, command: Sequence[str], stdout: int | IO[bytes] | None = None) -> tuple[int, str]:
    """Start n1, whose first line will not be heard; once it serves, end it. Its exit code and stderr."""
    node = cluster.nodes["n1"]
    with node.log.open("wb") as log:
        process = subprocess.Popen(command, stdout=stdout, stderr=log)
    try:
        while True:
            assert process.poll() is None, node.log.read_text()
            with contextlib.suppress(redis.ConnectionError), client(node) as asked:
                assert ask(asked, "RAFT.WAIT", "LEADER") == b"n1"
                break
        if sys.platform == "linux":  # no file and no socket of the node's has the number of a standard stream
            opened = [Path(f"/proc/{process.pid}/fd/{number}").readlink() for number in range(3)]
            assert {str(path).partition(":")[0] for path in opened} <= {"/dev/null", "/dev/full", "pipe", str(node.log)}
        process.terminate()
        return process.wait(), node.log.read_text()
    finally:
        process.kill()
        process.wait()


def test_a_node_runs_on_without_a_reader(cluster: Cluster) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        code, said = run_unheard(cluster, [*CLI, *alone(cluster)], writing)
    finally:
        os.close(writing)
    assert (code, said) == (0, "raft-actors: can't write to standard output, and go on without: Broken pipe\n")


@needs_full
def test_a_node_runs_on_when_its_output_finds_no_room(cluster: Cluster) -> None:
    with FULL.open("wb") as full:
        code, said = run_unheard(cluster, [*CLI, *alone(cluster)], full)
    assert said == "raft-actors: can't write to standard output, and go on without: No space left on device\n"
    assert code == 0


def test_a_node_runs_with_closed_streams(cluster: Cluster) -> None:
    closing = ("sh", "-c", 'exec "$@" <&- >&-', "sh")
    assert run_unheard(cluster, [*closing, *CLI, *alone(cluster)]) == (0, "")


@pytest.mark.parametrize("arguments", [["inspect", "n1.db"], ["simulate", "--seeds=1", "--seconds=1"]])
def test_what_is_there_to_print_needs_an_output(arguments: list[str]) -> None:
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *CLI, *arguments], stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        b"raft-actors: standard output is closed: redirect it, to /dev/null if nobody wants to read it\n"
    )


@needs_full
@pytest.mark.parametrize("arguments", [["--help"], ["simulate", "--seeds=1", "--seconds=1", "--jobs=1"]])
def test_output_without_room(arguments: list[str]) -> None:
    with FULL.open("wb") as full:
        done = subprocess.run([*CLI, *arguments], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.stderr == b"raft-actors: can't write to standard output: No space left on device\n"
    assert done.returncode == 1


def test_output_that_nobody_reads() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*CLI, "simulate", "--seeds=1", "--seconds=1", "--jobs=1"], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def test_output_in_ascii(cluster: Cluster) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [*CLI, "simulate", "--seeds=1", "--seconds=1", "--jobs=1"], capture_output=True, env=environment, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"... per second of CPU" in done.stdout
    missing = "--id=nœ☃"
    done = subprocess.run([*CLI, *command(cluster, missing)], capture_output=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"raft-actors: --id n\\u0153\\u2603 is none of the nodes")


def ignored_signals(process: subprocess.Popen[bytes]) -> int:
    (mask,) = re.findall(r"^SigIgn:\s*([0-9a-f]+)$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
    return int(mask, 16)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process ignores")
@pytest.mark.parametrize("ignored", [True, False])
def test_an_ignored_sigint_stays_ignored(cluster: Cluster, ignored: bool) -> None:
    """As shells start it in the background, where Ctrl-C is for the program in front. SIGTERM ends it all the same."""
    with (
        sigint(signal.SIG_IGN if ignored else signal.default_int_handler),
        serving(command(cluster)) as process,
    ):
        assert bool(ignored_signals(process) & 1 << signal.SIGINT - 1) == ignored
