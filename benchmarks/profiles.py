"""Where a running Python process spends its time, as py-spy sees it from outside."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import trio

from benchmarks.cluster import WorkerFailed

_RATE_HZ = 250
#: Longer than any recording takes to be written.
_GRACE_S = 30.0


def _py_spy() -> str:
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise WorkerFailed("py-spy is not installed: pip install 'raft-actors[bench]'")
    return found


async def record(pid: int, *, seconds: int, kind: str) -> str:
    """Watch a process; return what py-spy writes: "raw" is a line per stack, "flamegraph" an SVG.

    Raises:
        WorkerFailed: py-spy could not look into the process.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "profile"
        command = [_py_spy(), "record", "--pid", str(pid), "--duration", str(seconds), "--rate", str(_RATE_HZ)]
        command += ["--threads", "--format", kind, "--output", str(path)]
        with trio.move_on_after(seconds + _GRACE_S):
            done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
            if done.returncode or not path.exists():
                raise WorkerFailed(_why_not(done))
            return path.read_text(encoding="utf-8")
    raise WorkerFailed(f"py-spy did not end {_GRACE_S:.0f} s after its time")


def _why_not(done: subprocess.CompletedProcess[bytes]) -> str:
    said = done.stderr.decode(errors="replace").strip()
    remedy = " (it needs root, or kernel.yama.ptrace_scope = 0)" if "ermission" in said else ""
    return f"py-spy can't look into the process{remedy}: {said}"


def own_time(stacks: str) -> dict[str, float]:
    """Of py-spy's raw stacks: function → share of all samples in which it was the innermost, the largest first."""
    counts: Counter[str] = Counter()
    for line in stacks.splitlines():
        frames, _, count = line.rpartition(" ")
        if frames:
            counts[_without_line(frames.rpartition(";")[2])] += int(count)
    total = sum(counts.values())
    return {name: count / total for name, count in counts.most_common()}


def by_package(stacks: str, packages: tuple[str, ...]) -> dict[str, float]:
    """Package → share of all samples whose innermost frame that is in one of the packages is in this one."""
    counts: Counter[str] = Counter()
    for line in stacks.splitlines():
        frames, _, count = line.rpartition(" ")
        if frames:
            counts[_owner(frames.split(";"), packages)] += int(count)
    total = sum(counts.values())
    return {name: count / total for name, count in counts.most_common()}


def _owner(frames: list[str], packages: tuple[str, ...]) -> str:
    for frame in reversed(frames):
        for package in packages:
            if f"({package}" in frame or f"/{package}" in frame:
                return package
    return "other"


def _without_line(frame: str) -> str:
    name, _, _ = frame.rpartition(":")
    return f"{name})" if name else frame
