"""What a port costs by itself: `python -m benchmarks.workers.refuser close|leave`, a listener beside the cluster.

`close` takes each connection, and closes it at once; `leave` takes none, so that the system drops those for which its
queue has no room. Both do so until standard input ends, and print first where they listen. Who floods them takes what
the flooder and the kernel take, and next to nothing else: what is left of a node's throughput beside that is what can
be left at best when the same flood comes to the node.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading

_BACKLOG = 65_535  # as a node's
_AT_ONCE = struct.pack("ii", 1, 0)


def open_refuser() -> socket.socket:
    """Listen on a free port. What is accepted there is closed without ceremony, which costs the kernel less."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)  # connections have it of their listener
    listener.bind(("127.0.0.1", 0))
    listener.listen(_BACKLOG)
    return listener


def close_all(listener: socket.socket) -> None:
    """Take connections and close them, without end."""
    while True:
        with contextlib.suppress(ConnectionError):  # it was over before
            listener.accept()[0].close()


if __name__ == "__main__":
    opened = open_refuser()
    print("{}:{}".format(*opened.getsockname()), flush=True)
    if sys.argv[1] == "close":
        threading.Thread(target=close_all, args=[opened], daemon=True).start()
    sys.stdin.read()
