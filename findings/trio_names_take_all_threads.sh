#!/usr/bin/env bash
# Under Trio, look-ups of names that nobody waits for any more keep all threads: then files and other names wait for the DNS, too.
#
# Seen with:  trio 0.35.0, CPython 3.11.7, Linux
# What it does:  a name server does not answer (in its place stands a `socket.getaddrinfo` that waits). A program tries to connect with a
# peer by name, gives up after a short time, and tries again. Each look-up that was given up keeps its thread and its place among the 40
# of Trio's default limiter until the system's resolver is done with it, which is after 5 to 30 s and more. From the 40th on, what wants a
# thread waits: `trio.Path.exists`, an open file, `to_thread.run_sync` of the application, and a connection to `localhost`, whose
# name is in a file. Only numeric addresses still connect.
# Why it surprises:  every attempt has a timeout, no more than one runs at any time, and each was cancelled as promised. Trio's
# documentation says that an abandoned thread keeps its place in the limiter; that `open_tcp_stream` abandons threads in the same limiter
# that files use, one has to put together. So a peer whose name can't be resolved stops a node's own disk.
#
# Output seen:
#   attempts were given up, one after the other: 40 of 40 places taken
#   does a folder exist: no answer
#   connect with localhost: no answer
#   connect with 127.0.0.1: connected
#   the folder, once the look-ups are over: True
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check trio==0.35.0

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import socket
import sys
import threading

import trio

look_up, name_server = socket.getaddrinfo, threading.Event()


def without_name_server(host, *args, **options):
    if host not in ("peer.example", b"peer.example"):
        return look_up(host, *args, **options)
    if threading.current_thread() is not threading.main_thread():  # there Trio asks whether it is a number
        name_server.wait()
    raise socket.gaierror(socket.EAI_NONAME, "no such name")


socket.getaddrinfo = without_name_server


async def answer(function, *args):
    """What it returns, or "no answer" if it needs more than a second (what it waits for can't happen)."""
    with trio.move_on_after(1):
        return await function(*args)
    return "no answer"


async def connect(host, port):
    async with await trio.open_tcp_stream(host, port):
        return "connected"


async def main():
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    threads = trio.to_thread.current_default_thread_limiter()
    for _ in range(1000):  # where the machine is slow, some are given up before they have a thread
        with trio.move_on_after(0.01):
            await connect("peer.example", port)
        if threads.available_tokens == 0:
            break
    taken = f"{threads.borrowed_tokens} of {threads.total_tokens:.0f}"
    print(f"attempts were given up, one after the other: {taken} places taken")
    exists = trio.Path(sys.argv[1]).exists
    outcomes = [await answer(exists)]
    outcomes += [await answer(connect, host, port) for host in ("localhost", "127.0.0.1")]
    name_server.set()
    outcomes.append(await exists())
    print("does a folder exist: {}\nconnect with localhost: {}\nconnect with 127.0.0.1: {}".format(*outcomes))
    print("the folder, once the look-ups are over:", outcomes[3])
    return taken == "40 of 40" and outcomes == ["no answer", "no answer", "connected", True]


try:
    is_so = trio.run(main)
finally:
    name_server.set()
sys.exit(not is_so)
PYTHON
