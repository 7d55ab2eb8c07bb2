#!/usr/bin/env bash
# Trio's MockClock with autojump does not wait for threads: timeouts fire while the work is going on.
#
# Seen with:  trio 0.35.0
# What it does:  with `MockClock(autojump_threshold=0)`, a piece of work in a worker thread that takes a moment runs under
# `move_on_after(60)`. All tasks are blocked, so the clock jumps to the next deadline: the work is given up after a minute of
# Trio's time, and a moment of real time. `trio.to_thread.run_sync` is Trio's own, so Trio knows that a thread is at work.
# Why it surprises:  the documentation warns of I/O in flight, which is outside of Trio's sight; a thread that Trio itself started
# is not named. pytest-trio's `autojump_clock` sets this threshold. A test of code that writes a file by `trio.Path` under a
# timeout fails on the machine where the disk is slower than the loop: every time, as here, or now and then.
# Here the thread waits until the main thread has seen the timeout, so no speed of any machine is at play.
#
# Output seen:
#   given up: True, after 60.0 s of Trio's time
#   a thread that is waited for without a timeout: the clock went from 60.0 to 1060.0 because another task slept
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check trio==0.35.0

"$folder/venv/bin/python" - <<'PYTHON'
import sys
import threading

import trio
import trio.testing

PATIENCE_S = 20  # real seconds, only so that a changed behaviour ends this script


async def main():
    timed_out = threading.Event()
    with trio.move_on_after(60) as scope:
        await trio.to_thread.run_sync(timed_out.wait, PATIENCE_S, abandon_on_cancel=True)
    timed_out.set()
    given_up_at = trio.current_time()
    print(f"given up: {scope.cancelled_caught}, after {given_up_at:.1f} s of Trio's time")

    slept = threading.Event()

    async def sleep():
        await trio.sleep(1000)
        slept.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sleep)
        jumped = await trio.to_thread.run_sync(slept.wait, PATIENCE_S)
    print(
        "a thread that is waited for without a timeout: the clock went from"
        f" {given_up_at:.1f} to {trio.current_time():.1f} because another task slept"
    )
    return scope.cancelled_caught and jumped


as_described = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
sys.exit(not as_described)
PYTHON
