#!/usr/bin/env bash
# `Connection.close()` of sqlite3 leaves the file open and locked while there is a cursor that was not read to its end.
#
# Seen with:  the sqlite3 module of CPython 3.11.7, 3.12.1 and 3.13.0, SQLite 3.40.1, Linux. Nothing is installed: it is the standard
# library alone.
# What it does:  a connection reads one row of a SELECT that has more, and is closed. `close()` returns without a word. A second
# connection is told "database is locked" all the same, with SQLite's defaults as with WAL and locking_mode=EXCLUSIVE (as a store takes
# it that is to have one owner; its -wal file, which the last `close` removes, stays, too). The cursor can't be closed any more: that
# raises ProgrammingError, "Cannot operate on a closed database." The file is let go when the cursor is collected as garbage.
# Why it surprises:  `close()` is what ends a connection, and the documentation names no condition. It calls `sqlite3_close_v2`, which
# puts the end off until the last statement is gone, and a cursor that was begun holds one. Such a cursor is easily kept: by a generator
# that nobody went on with, or by the traceback of the very error that led to `close()`. Who opens the same store again in
# this process, after an error, finds it locked by nobody.
#
# Output seen:
#   defaults: database is locked; the cursor's close(): ProgrammingError; without the cursor: written
#   WAL, EXCLUSIVE: database is locked; the cursor's close(): ProgrammingError; without the cursor: written
#   WAL, EXCLUSIVE, read to its end: written
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 - "$folder" <<'PYTHON'
import gc
import sqlite3
import sys

folder = sys.argv[1]


def opened(name, *pragmas):
    connection = sqlite3.connect(f"{folder}/{name}.db", timeout=0, isolation_level=None)
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def written_by_another(name):
    another = opened(name)
    try:
        another.execute("INSERT INTO log (command) VALUES ('d')")
        return "written"
    except sqlite3.OperationalError as error:
        return str(error)
    finally:
        another.close()


def closed_cursor(name, *pragmas):
    connection = opened(name, *pragmas)
    connection.execute("CREATE TABLE log (number INTEGER PRIMARY KEY, command TEXT)")
    connection.execute("INSERT INTO log (command) VALUES ('a'), ('b'), ('c')")
    cursor = connection.execute("SELECT command FROM log ORDER BY number")
    cursor.fetchone()
    if name == "whole":
        cursor.fetchall()
    connection.close()
    return cursor


def try_it(title, name, *pragmas):
    cursor = closed_cursor(name, *pragmas)
    at_first = written_by_another(name)
    try:
        cursor.close()
        closing = "closed"
    except sqlite3.Error as error:
        closing = type(error).__name__
    del cursor
    gc.collect()
    later = written_by_another(name)
    print(f"{title}: {at_first}; the cursor's close(): {closing}; without the cursor: {later}")
    return at_first, closing, later


exclusive = "locking_mode = EXCLUSIVE", "journal_mode = WAL"
seen = {try_it("defaults", "plain"), try_it("WAL, EXCLUSIVE", "exclusive", *exclusive)}
kept = closed_cursor("whole", *exclusive)
control = written_by_another("whole")
print(f"WAL, EXCLUSIVE, read to its end: {control}")
sys.exit(seen != {("database is locked", "ProgrammingError", "written")} or control != "written")
PYTHON
