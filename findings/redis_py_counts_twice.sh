#!/usr/bin/env bash
# redis-py sends an INCR again whose reply was lost, so that one call counts twice.
#
# Seen with:  redis-py 8.1.0, default settings
# What it does:  a server (this script's own, which knows HELLO, INCRBY and little else) carries out the command, and its connection
# ends before the reply. `Redis.incr()` connects again and sends the same command again, without a word. It returns 2, for a
# counter that was at 0 and was to be incremented once.
# Why it surprises:  the outcome of the first attempt is unknown, and INCR, LPUSH, APPEND and the like may not be repeated then. The
# client neither asks nor tells: there is no exception and no warning. Release 5.2.1 raised ConnectionError here by default,
# which says what is known; `Redis(retry=Retry(NoBackoff(), 0))` brings that back.
#
# Output seen:
#   INCRBY was received 2 times for one call of incr(), which returned 2
#   without retries: received 1 time, ConnectionError
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check redis==8.1.0

"$folder/venv/bin/python" - <<'PYTHON'
import socket
import sys
import threading

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry


class Server:
    """One counter. The reply to the first INCRBY is lost with its connection."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.received = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rb") as lines:
            while header := lines.readline():
                words = []
                for _ in range(int(header[1:])):
                    length = int(lines.readline()[1:])
                    words.append(lines.read(length + 2)[:-2].upper())
                if words[0] == b"INCRBY":
                    self.received += 1
                    if self.received == 1:
                        return
                    connection.sendall(b":%d\r\n" % self.received)
                elif words[0] == b"HELLO":
                    connection.sendall(b"%1\r\n$5\r\nproto\r\n:3\r\n")
                else:
                    connection.sendall(b"+OK\r\n")


server = Server()
returned = redis.Redis(port=server.port).incr("visits")
print(f"INCRBY was received {server.received} times for one call of incr(), which returned {returned}")

other = Server()
try:
    redis.Redis(port=other.port, retry=Retry(NoBackoff(), 0)).incr("visits")
    raised = "nothing"
except redis.ConnectionError as error:
    raised = type(error).__name__
print(f"without retries: received {other.received} time, {raised}")
sys.exit((server.received, returned, other.received, raised) != (2, 2, 1, "ConnectionError"))
PYTHON
