"""Many seeds, on all cores: a process for each core, and a report for each seed as soon as it is done."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

from raft_actors.testing.runner import Options, SeedReport, run_seed

#: Seeds given out to each process beyond the one that it works on.
_AHEAD = 1

#: How many new objects the collector lets pass before it looks: a simulation makes much that lives as long as it does.
_COLLECT_AFTER = 50_000


def sweep(
    seeds: Iterable[int], options: Options, *, jobs: int | None = None, ends_at: float | None = None
) -> Generator[SeedReport, None, None]:
    """Run these seeds, and yield the reports in the order in which they come. Closing it ends all processes.

    Args:
        seeds: may be endless.
        jobs: how many processes; None: one for each core that this process may use.
        ends_at: begin no further seed from then on, on `time.monotonic`'s clock.

    Raises:
        BrokenProcessPool: a process was killed.
    """
    jobs = jobs or _cores()
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare)
    waiting: set[Future[SeedReport]] = set()
    finished = False
    left = iter(seeds)
    try:
        while True:
            late = ends_at is not None and time.monotonic() >= ends_at
            while not late and len(waiting) < jobs * (1 + _AHEAD) and (seed := next(left, None)) is not None:
                waiting.add(pool.submit(run_seed, seed, options))
            if not waiting:
                break
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
        finished = True
    finally:
        pool.shutdown(wait=finished, cancel_futures=True)
        if not finished:
            _end_children()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # not every system says which of them this process may use


def _prepare() -> None:
    """Set up a process that runs seeds: Ctrl-C, which the terminal sends to all, ends it at once."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 100)


def _end_children() -> None:
    for child in multiprocessing.active_children():
        child.terminate()
    for child in multiprocessing.active_children():
        child.join()
