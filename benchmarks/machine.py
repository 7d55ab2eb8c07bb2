"""The machine that was measured on, as far as figures depend on it."""

from __future__ import annotations

import os
import platform
import resource
import sqlite3
from pathlib import Path

_IN_MEMORY = ("tmpfs", "ramfs")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = resource.getpagesize()


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES


def file_system(folder: Path) -> str:
    """The kind of file system that holds a folder, or "unknown"."""
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8")
    except OSError:
        return "unknown"
    kind, longest = "unknown", -1
    for line in mounts.splitlines():
        _, where, this_kind, *_ = line.split(" ")
        where = where.replace("\\040", " ")
        if folder.resolve().is_relative_to(where) and len(where) > longest:
            kind, longest = this_kind, len(where)
    return kind


def is_in_memory(folder: Path) -> bool:
    """Whether files in a folder never reach a disk."""
    return file_system(folder) in _IN_MEMORY


def describe(folder: Path) -> dict[str, str | int | float]:
    """The machine, and the disk that holds the folder."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(_memory_bytes() / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": sqlite3.sqlite_version,
        "file_system": file_system(folder),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def resident_bytes(pid: int) -> int:
    """Memory that a process occupies."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * _PAGE_BYTES
