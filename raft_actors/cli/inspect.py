"""`raft-actors inspect`: what the file of a stopped node holds."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raft_actors.errors import ConfigurationError
from raft_actors.persistence import StoreSummary, inspect_store, stored_entries
from raft_actors.raft.entries import Entry, EntryKind
from raft_actors.service.operations import describe
from raft_actors.wording import printable

if TYPE_CHECKING:
    Subcommands = argparse._SubParsersAction[Any]  # pyright: ignore[reportPrivateUsage]

_DESCRIPTION = """
Read the SQLite file of a node that does not run, check all of it, and say what it holds. Nothing is changed.
"""

_RANGE = re.compile(r"(\d*):(\d*)|(\d+)")
_INDEX_DIGITS = 18  # more than any log will hold


def add_to(subcommands: Subcommands) -> None:
    """Add this subcommand."""
    parser: argparse.ArgumentParser = subcommands.add_parser(
        "inspect", help="show what a stopped node's file holds", description=_DESCRIPTION
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a node's SQLite file")
    parser.add_argument(
        "--entries",
        nargs="?",
        const=(None, None),
        type=_index_range,
        metavar="FROM:TO",
        help="list log entries too: all, or those with an index from FROM to TO (either may be left out)",
    )
    parser.set_defaults(run=run)


def _index_range(text: str) -> tuple[int | None, int | None]:
    """`5:10`, `5:`, `:10`, or `7` alone."""
    match = _RANGE.fullmatch(text)
    if match is None or not text.isascii() or max(map(len, text.split(":"))) > _INDEX_DIGITS:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of indexes: write FROM:TO, such as 5:10 or 5:")
    first, last, single = (int(digits) if digits else None for digits in match.groups())
    return (single, single) if single is not None else (first, last)


def run(options: argparse.Namespace) -> int:
    """Print what the file holds."""
    summary = inspect_store(options.file)
    rows = list(_rows(summary))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(printable(f"{name:<{width}}  {value}"))
    if options.entries is not None:
        print()
        for entry in _chosen(summary, *options.entries):
            print(printable(show_entry(entry)))
    return 0


def _rows(summary: StoreSummary) -> Iterator[tuple[str, str]]:
    identity, state, snapshot = summary.identity, summary.hard_state, summary.snapshot
    yield "file", f"{summary.path} ({summary.database_bytes:,} bytes, schema version {summary.schema_version})"
    if summary.wal_bytes:
        yield "", f"and a write-ahead log of {summary.wal_bytes:,} bytes that a crash left beside it"
    yield "changed", datetime.fromtimestamp(summary.path.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    yield "node", f"{identity.node_id} of cluster {identity.cluster_id}"
    yield "voters", ", ".join(identity.initial_voters) or "not known: no start has named them yet"
    yield "term", f"{state.term}, voted for {state.voted_for or 'nobody'}"
    if snapshot is None:
        yield "snapshot", "none"
    else:
        size = f"{summary.snapshot_bytes:,} bytes in {_counted(summary.snapshot_chunks, 'chunk')}"
        yield "snapshot", f"up to index {snapshot.index} of term {snapshot.term}, {size}"
    if summary.last_index < summary.first_index:
        yield "log", f"no entries; the next one has index {summary.first_index}"
    else:
        yield "log", f"entries {summary.first_index} to {summary.last_index}, {summary.log_bytes:,} bytes"
    for kind, count in sorted(summary.kinds.items()):
        entries = "entry" if count.entries == 1 else "entries"
        batches = "batch" if count.batches == 1 else "batches"
        yield "", f"{count.entries:,} {kind.name.lower()} {entries} in {count.batches:,} {batches}"
    for run_ in summary.term_runs:
        yield "", f"term {run_.term} from index {run_.first_index} on"


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def _chosen(summary: StoreSummary, first: int | None, last: int | None) -> Iterator[Entry]:
    """The entries in the range.

    Raises:
        ConfigurationError: it holds none of them.
    """
    if summary.last_index < summary.first_index and first is last is None:
        return
    start = max(first or 0, summary.first_index)
    end = summary.last_index if last is None else min(last, summary.last_index)
    if start > end:
        asked = f"{'' if first is None else first}:{'' if last is None else last}"
        held = f"the entries {summary.first_index} to {summary.last_index}"
        raise ConfigurationError(
            f"--entries {asked}: the log holds {held if summary.last_index >= summary.first_index else 'no entries'}"
        )
    for entry in stored_entries(summary.path, start):
        if entry.index > end:
            return
        yield entry


def show_entry(entry: Entry) -> str:
    """One line: index, term, and the command where it is one of the key-value service's."""
    head = f"{entry.index:>10}  term {entry.term:<5}"
    if entry.kind is not EntryKind.COMMAND:
        return f"{head} ({entry.kind.name.lower()})"
    try:
        return f"{head} {describe(entry.command)}"
    except ValueError:
        return f"{head} {len(entry.command):,} bytes, no key-value command"
