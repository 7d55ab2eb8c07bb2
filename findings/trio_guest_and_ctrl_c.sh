#!/usr/bin/env bash
# Ctrl-C under `asyncio.run` drops a guest run of Trio half way: its `finally` blocks are not run.
#
# Seen with:  trio 0.35.0, CPython 3.11.7, 3.12.1 and 3.13.0 (asyncio.run handles SIGINT since 3.11), Linux
# What it does:  Trio runs as a guest of asyncio in the way that Trio's documentation recommends: the host's main coroutine awaits a future
# that `done_callback` sets, so that both loops end together. At SIGINT the host is cancelled, its loop is closed, and `asyncio.run`
# raises KeyboardInterrupt. Trio's task is neither cancelled nor waited for: its `finally` has not run. If garbage collection finds
# the run before the process ends, it closes the task in the middle, with a RuntimeWarning; mostly it does not, and there is none.
# With `loop.run_until_complete` Trio's task gets the KeyboardInterrupt and tidies up; and under `asyncio.run` it does where the host
# asks it to end and waits for that, in a `finally`.
# Why it surprises:  that page says that Trio takes over KeyboardInterrupt unless there is a handler for SIGINT before Trio starts, which is
# "not common", so that it goes through Trio first. Since Python 3.11 the usual way to start asyncio has such a handler. The page's own
# example is one that Ctrl-C leaves without its end: files are not closed, locks not given back, peers not told.
#
# Output seen:
#   asyncio.run, as recommended: begun, end: KeyboardInterrupt
#   run_until_complete, as recommended: begun, tidied up, end: KeyboardInterrupt
#   asyncio.run, waiting in a finally: begun, tidied up, end: KeyboardInterrupt
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check trio==0.35.0

cat > "$folder/host.py" <<'PYTHON'
import asyncio
import gc
import os
import signal
import sys
import threading

import trio

gc.disable()  # so that it is not chance what is collected, and when
said = []


async def guest(stop):
    said.append("begun")
    threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT]).start()  # Ctrl-C
    try:
        await stop.wait()
    finally:
        said.append("tidied up")


async def host(waits):
    loop = asyncio.get_running_loop()
    ended, stop = loop.create_future(), trio.Event()
    trio.lowlevel.start_guest_run(
        guest, stop, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=ended.set_result
    )
    if not waits:
        return (await ended).unwrap()
    try:
        await asyncio.sleep(3600)
    finally:
        stop.set()
        (await ended).unwrap()


try:
    if sys.argv[1] == "run":
        asyncio.run(host(waits=sys.argv[2] == "waits"))
    else:
        asyncio.new_event_loop().run_until_complete(host(waits=False))
    said.append("end: none")
except KeyboardInterrupt:
    said.append("end: KeyboardInterrupt")
print(", ".join(said))
PYTHON
cd "$folder"
seen=""
try() {  # title, arguments
    local line
    line=$(venv/bin/python host.py "${@:2}" 2>errors)
    echo "$1: $line"
    seen="$seen|$line"
}
try "asyncio.run, as recommended" run awaits
try "run_until_complete, as recommended" loop awaits
try "asyncio.run, waiting in a finally" run waits
whole="begun, tidied up, end: KeyboardInterrupt"
[ "$seen" = "|begun, end: KeyboardInterrupt|$whole|$whole" ]
