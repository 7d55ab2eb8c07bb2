"""Many seeds, on all cores: a process for each core, and a report for each seed as soon as it is done.

Each process hashes strings by a seed of its own, which its reports name: what a state machine does by the order of a
set shows in one process or another, and can be shown again.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from raft_actors.errors import ConfigurationError, InternalError
from raft_actors.testing.hash_seed import VARIABLE, drawn_hash_seed
from raft_actors.testing.runner import Options, SeedReport, run_seed

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    _Link = Connection[int, SeedReport | ConfigurationError]
    _Processes = dict[_Link, BaseProcess]

#: How many new objects the collector lets pass before it looks: a simulation makes much that lives as long as it does.
_COLLECT_AFTER = 50_000


def sweep(
    seeds: Iterable[int],
    options: Options,
    *,
    jobs: int | None = None,
    ends_at: float | None = None,
    hash_seed: int | None = None,
) -> Generator[SeedReport, None, None]:
    """Run these seeds, and yield the reports in the order in which they come. Closing it ends all processes.

    Args:
        seeds: may be endless.
        jobs: how many processes; None: one for each core that this process may use.
        hash_seed: PYTHONHASHSEED of all processes; None: drawn, another one for each.
        ends_at: begin no further seed from then on, on `time.monotonic`'s clock.

    Raises:
        ConfigurationError: a seed would not be repeatable here.
        InternalError: a process has died.
    """
    left = iter(seeds)
    processes: _Processes = {}
    try:
        for _ in range(jobs or _cores()):
            _give(next(left, None), _start(processes, options, hash_seed), processes)
        while processes:
            for ready in wait(list(processes)):
                link = next(one for one in processes if one is ready)
                report = _take(link, processes)
                late = ends_at is not None and time.monotonic() >= ends_at
                _give(None if late else next(left, None), link, processes)
                yield report
    finally:
        for link, process in processes.items():
            process.terminate()
            process.join()
            link.close()


def _start(processes: _Processes, options: Options, hash_seed: int | None) -> _Link:
    """Start a process that runs seeds."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, options), daemon=True)
    with _hashing_by(drawn_hash_seed() if hash_seed is None else hash_seed):
        process.start()
    theirs.close()
    processes[ours] = process
    return ours


@contextmanager
def _hashing_by(hash_seed: int) -> Generator[None, None, None]:
    """Have processes that are started meanwhile hash strings by this seed: a process takes it from its environment."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(hash_seed)
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def _give(seed: int | None, link: _Link, processes: _Processes) -> None:
    """Have a process run a seed, or end it where there is none."""
    if seed is not None:
        try:
            link.send(seed)
        except ConnectionError:
            raise _died(link, processes) from None
        return
    link.close()
    processes.pop(link).join()


def _take(link: _Link, processes: _Processes) -> SeedReport:
    """Take the report of a process."""
    try:
        report = link.recv()
    except (EOFError, ConnectionError):
        raise _died(link, processes) from None
    if isinstance(report, ConfigurationError):
        raise report
    return report


def _died(link: _Link, processes: _Processes) -> InternalError:
    processes[link].join()
    return InternalError(f"a process that ran seeds died (exit code {processes[link].exitcode})")


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # not every system says which of them this process may use


def _work(link: Connection[SeedReport | ConfigurationError, int], options: Options) -> None:
    """Run seeds until there are no more. Ctrl-C, which a terminal sends to all processes, is the first one's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 100)
    while True:
        try:
            seed = link.recv()
        except EOFError:
            return
        try:
            link.send(run_seed(seed, options))
        except ConfigurationError as error:
            link.send(error)
