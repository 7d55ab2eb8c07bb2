#!/usr/bin/env bash
# With SQLite's rollback journal and synchronous=FULL, a power cut can take back a commit that was answered.
#
# Seen with:  APSW 3.54.1.0 with its own SQLite 3.54.1, CPython 3.11.7, Linux
# What it does:  a commit in journal mode DELETE, the default, is made by the removal of the journal. At the level FULL, the default as well,
# SQLite syncs the journal and the database, and does not sync the folder after the removal (an APSW VFS shows with which flag it
# asks for it). So the power may go while the name of the journal is still on the disk: here the journal is put back, and nothing else is
# changed. Whoever opens the file next takes it for a transaction that was interrupted, and rolls it back. With EXTRA the folder is synced.
# Why it surprises:  FULL is the highest level that most descriptions know, and the one that they call durable; with WAL it is. SQLite's page of
# pragmas does tell what EXTRA is for; nothing tells a program that its two defaults together are a level below it. A log in such a file
# acknowledges entries, terms and votes that a power cut may undo. The file is never damaged by it, so no check finds it.
#
# Output seen:
#   delete and FULL, the defaults: removed without a sync of the folder; rows seen 1, after a power cut: 0
#   delete and EXTRA: removed with a sync of the folder; rows seen 1, after a power cut: 1
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check apsw==3.54.1.0

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import shutil
import sys
from pathlib import Path

import apsw

folder = Path(sys.argv[1])


class Disk(apsw.VFS):
    """Keeps what the removal of a journal, whose folder was not synced, may leave on a disk."""

    def __init__(self):
        super().__init__("disk", "")
        self.synced = None

    def xDelete(self, filename, syncdir):
        if filename.endswith("-journal"):
            self.synced = bool(syncdir)
            if not syncdir:
                shutil.copy(filename, f"{filename}.kept")
        super().xDelete(filename, syncdir)


def count(connection):
    return connection.execute("SELECT count(*) FROM log").fetchall()[0][0]


disk = Disk()
outcomes = []
for name, level in (("delete and FULL, the defaults", None), ("delete and EXTRA", "EXTRA")):
    path = folder / f"{level}.db"
    journal, kept = folder / f"{level}.db-journal", folder / f"{level}.db-journal.kept"
    connection = apsw.Connection(str(path), vfs="disk")
    if level is not None:
        connection.execute(f"PRAGMA synchronous = {level}")
    if (connection.pragma("journal_mode"), connection.pragma("synchronous")) != ("delete", 2 if level is None else 3):
        sys.exit("the defaults of this SQLite are others")
    connection.execute("CREATE TABLE log (number INTEGER PRIMARY KEY, command TEXT)")
    kept.unlink(missing_ok=True)
    connection.execute("INSERT INTO log (command) VALUES ('a')")
    before = count(connection)
    connection.close()
    if kept.exists():
        kept.rename(journal)  # the power goes here
    after = count(apsw.Connection(str(path)))
    outcomes.append((disk.synced, before, after))
    synced = "with" if disk.synced else "without"
    print(f"{name}: removed {synced} a sync of the folder; rows seen {before}, after a power cut: {after}")
sys.exit(outcomes != [(False, 1, 0), (True, 1, 1)])
PYTHON
