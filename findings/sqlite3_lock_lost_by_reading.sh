#!/usr/bin/env bash
# A process that reads its own SQLite file gives up the lock on it.
#
# Seen with:  the sqlite3 module of CPython 3.11.7, SQLite 3.40.1, Linux. Nothing is installed: it is the standard library alone.
# What it does:  a connection holds a write transaction, and another process is told "database is locked". Then the first
# process reads the file (`Path.read_bytes`, as a backup or a checksum does). Now the other process begins a write transaction
# while the first one is still open.
# Why it surprises:  neither call is wrong, nothing is raised, and sqlite3's documentation does not speak of it. SQLite takes POSIX
# locks (fcntl), and POSIX drops all locks that a process has on a file as soon as it closes any descriptor of it. SQLite's own
# "How To Corrupt An SQLite Database File" (section 2.2) explains it; who uses the module from Python hardly reads that.
# The other process only begins a transaction here, and rolls it back: nothing is damaged.
#
# Output seen:
#   before the file is read: database is locked
#   after the file was read: began a write transaction
#   the first one is still in its transaction: True
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried (Windows has other locks).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 - "$folder/some.db" <<'PYTHON'
import sqlite3
import subprocess
import sys
from pathlib import Path

path = Path(sys.argv[1])
OTHER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
try:
    connection.execute("BEGIN IMMEDIATE")
    print("began a write transaction")
    connection.execute("ROLLBACK")
except sqlite3.OperationalError as error:
    print(error)
"""


def other_process():
    command = [sys.executable, "-c", OTHER, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


connection = sqlite3.connect(path, isolation_level=None)
connection.execute("CREATE TABLE numbers (number INTEGER)")
connection.execute("BEGIN IMMEDIATE")
before = other_process()
print("before the file is read:", before)
path.read_bytes()
after = other_process()
print("after the file was read:", after)
print("the first one is still in its transaction:", connection.in_transaction)
sys.exit((before, after) != ("database is locked", "began a write transaction") or not connection.in_transaction)
PYTHON
