"""The database's free list: what SQLite looks at when it needs a page, and not before.

Damage there lies hidden from everything that only reads: the store opens, and its first append that needs a page ends
the node. The list is short (8 KiB of it name 2,046 free pages), so it is read whole before SQLite opens the database.
See "The Freelist" in https://www.sqlite.org/fileformat.html.
"""

from __future__ import annotations

import struct
from pathlib import Path

from raft_actors.persistence.sqlite.errors import corrupt
from raft_actors.persistence.sqlite.files import Files

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_NUMBER = struct.Struct(">I")


def check_free_pages(path: Path, files: Files) -> None:
    """Check that the free list names each of as many pages as it should once, all of them in the file.

    Only where there is no write-ahead log, which may hold newer pages of it; and before SQLite opens the database,
    whose locks it could drop (see `lock`).

    Raises:
        StorageCorrupt: it does not.
        OSError: as it comes.
    """
    if files.read_part(path.with_name(path.name + "-wal"), 0, 1):
        return
    header = files.read_part(path, 0, _HEADER_BYTES) or b""
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        return  # new, or nothing that SQLite will open
    (page_size,) = struct.unpack_from(">H", header, 16)
    page_size = 65536 if page_size == 1 else page_size
    pages, trunk, count = struct.unpack_from(">I", header, 28) + struct.unpack_from(">II", header, 32)
    if page_size < 512 or pages == 0:
        return  # SQLite refuses the one, and does without the other
    found: set[int] = set()
    while trunk:
        page = b""
        if 1 < trunk <= pages:  # else it may be beyond what the file system can read at
            page = files.read_part(path, (trunk - 1) * page_size, page_size) or b""
        named = _named(page)
        if named is None or not all(1 < number <= pages for number in named):
            raise corrupt(path, f"the list of its free pages is damaged at page {trunk:,}")
        before = len(found)
        found.add(trunk)
        found.update(named)
        if len(found) != before + 1 + len(named):  # also keeps a list that leads back to itself from having no end
            raise corrupt(path, f"the list of its free pages names pages twice, at page {trunk:,}")
        (trunk,) = _NUMBER.unpack_from(page)
    if len(found) != count:
        raise corrupt(path, f"the list of its free pages names {len(found):,}, and there should be {count:,}")


def _named(page: bytes) -> tuple[int, ...] | None:
    """The free pages that a page of the list names; None where it can be none."""
    if len(page) < 2 * _NUMBER.size:
        return None
    (count,) = _NUMBER.unpack_from(page, 4)
    if count > len(page) // 4 - 2:
        return None
    return struct.unpack_from(f">{count}I", page, 8)
