#!/usr/bin/env bash
# A commit that SQLite refused with an I/O error is there after a restart.
#
# Seen with:  APSW 3.54.1.0 with its own SQLite 3.54.1, CPython 3.11.7, Linux
# What it does:  a database with WAL and synchronous=FULL, on a disk that fails one sync (which an APSW VFS does in its place). The INSERT
# raises IOError, and the connection does not see its row: it is rolled back. The row's frames are in the write-ahead log all the
# same, whole and with the mark of a commit. If the process ends here, whoever opens the file next finds them, and the row is there.
# If the connection commits something else first, those frames are written over, and the row never was.
# Why it surprises:  an error of a commit reads as "it did not happen", and `SELECT` agrees. In truth the next commit or the next start
# decides what happened, and the two decide differently. A log that answers "not written" and goes on, or ends, has told others
# something that its own restart may take back: that it has not voted, or that an index is free. So a failed write must be taken for
# one whose outcome is unknown, and the connection must not be used again before the file was opened anew.
#
# Output seen:
#   INSERT of b: IOError, and the connection sees ['a']; after the end of the process: ['a', 'b']
#   INSERT of b: IOError, and the connection sees ['a'], then commits c; after the end of the process: ['a', 'c']
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check apsw==3.54.1.0

cat > "$folder/append.py" <<'PYTHON'
import os
import sys

import apsw

fails = False


class Disk(apsw.VFS):
    def __init__(self):
        super().__init__("disk", "")

    def xOpen(self, name, flags):
        return File(name, flags)


class File(apsw.VFSFile):
    def __init__(self, name, flags):
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self.is_log = path is not None and path.endswith("-wal")
        super().__init__("", name, flags)

    def xSync(self, flags):
        if fails and self.is_log:
            raise apsw.IOError("the sync failed")
        super().xSync(flags)


path, goes_on = sys.argv[1:]
disk = Disk()
connection = apsw.Connection(path, vfs="disk")
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("PRAGMA synchronous = FULL")
connection.execute("CREATE TABLE log (number INTEGER PRIMARY KEY, command TEXT)")
connection.execute("INSERT INTO log (command) VALUES ('a')")
fails = True
try:
    connection.execute("INSERT INTO log (command) VALUES ('b')")
    outcome = "no error"
except apsw.Error as error:
    outcome = type(error).__name__
fails = False
seen = [command for (command,) in connection.execute("SELECT command FROM log")]
told = f"INSERT of b: {outcome}, and the connection sees {seen}"
if goes_on == "True":
    connection.execute("INSERT INTO log (command) VALUES ('c')")
    told += ", then commits c"
print(told, end="; ", flush=True)
os._exit(0)  # as if it were killed here
PYTHON

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import subprocess
import sys
from pathlib import Path

import apsw

folder = Path(sys.argv[1])
found, told = [], []
for goes_on in (False, True):
    path = folder / f"{goes_on}.db"
    command = [sys.executable, folder / "append.py", path, str(goes_on)]
    told.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    found.append([row for (row,) in apsw.Connection(str(path)).execute("SELECT command FROM log")])
    print(f"{told[-1]}after the end of the process: {found[-1]}")
seen = "INSERT of b: IOError, and the connection sees ['a']"
sys.exit(found != [["a", "b"], ["a", "c"]] or not all(line.startswith(seen) for line in told))
PYTHON
