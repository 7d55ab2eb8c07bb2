#!/usr/bin/env bash
# An INSERT ... RETURNING in autocommit mode is committed by reading its last row, not by `execute`.
#
# Seen with:  the sqlite3 module of CPython 3.11.7, 3.12.1 and 3.13.0, SQLite 3.40.1, Linux. Nothing is installed: it is the standard
# library alone.
# What it does:  a connection in autocommit mode (`isolation_level=None`), with WAL and synchronous=FULL, inserts two entries by
# one statement and takes the first index of RETURNING by `fetchone()`. `in_transaction` is False, and the connection itself sees
# both rows. Then the process ends as by a kill, and both are gone. `fetchall()`, or to let the cursor go, would have committed them;
# so does `execute()` of the same statement without RETURNING. One row that nobody fetches at all is lost in the same way.
# Why it surprises:  "autocommit" reads as: when `execute` returns, it is on the disk. SQLite's documentation says that RETURNING's changes
# are all made in the first step, before any output, but the commit belongs to the last step, and that is a matter of how many rows
# somebody reads. Nothing tells of it: no exception, no warning, and `in_transaction` says that there is nothing to commit. Meanwhile
# the write lock is held. An index that is acknowledged at this point is an acknowledged entry that may be lost.
#
# Output seen:
#   two rows, fetchone():     index 1, in_transaction False, rows seen 2; after the end of the process: 0
#   two rows, fetchall():     index 1, in_transaction False, rows seen 2; after the end of the process: 2
#   one row, nothing fetched: index -, in_transaction False, rows seen 1; after the end of the process: 0
#   one row, no RETURNING:    index -, in_transaction False, rows seen 1; after the end of the process: 1
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 - "$folder" <<'PYTHON'
import sqlite3
import subprocess
import sys
from contextlib import closing

APPEND = """
import os, sqlite3, sys

path, statement, fetch = sys.argv[1:]
connection = sqlite3.connect(path, isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("PRAGMA synchronous = FULL")
connection.execute("CREATE TABLE log (number INTEGER PRIMARY KEY, command TEXT)")
cursor = connection.execute(statement)
index = "-"
if fetch == "one":
    (index,) = cursor.fetchone()
elif fetch == "all":
    (index,), *_ = cursor.fetchall()
(seen,) = connection.execute("SELECT count(*) FROM log").fetchone()
print(f"index {index}, in_transaction {connection.in_transaction}, rows seen {seen}", flush=True)
os._exit(0)  # as if it were killed here
"""
CASES = {
    "two rows, fetchone():": ("INSERT INTO log (command) VALUES ('a'), ('b') RETURNING number", "one"),
    "two rows, fetchall():": ("INSERT INTO log (command) VALUES ('a'), ('b') RETURNING number", "all"),
    "one row, nothing fetched:": ("INSERT INTO log (command) VALUES ('a') RETURNING number", "none"),
    "one row, no RETURNING:": ("INSERT INTO log (command) VALUES ('a')", "none"),
}
kept, told = [], set()
for number, (name, (statement, fetch)) in enumerate(CASES.items()):
    path = f"{sys.argv[1]}/{number}.db"
    command = [sys.executable, "-c", APPEND, path, statement, fetch]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    with closing(sqlite3.connect(path)) as connection:
        kept += connection.execute("SELECT count(*) FROM log").fetchone()
    told.add("in_transaction False" in said)
    print(f"{name:25} {said}; after the end of the process: {kept[-1]}")
sys.exit(kept != [0, 2, 0, 1] or told != {True})
PYTHON
