"""Plain tables: a heading, aligned columns, nothing else, so that they read well and are easily cut apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from raft_actors.wording import printable


def table(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The lines of a table. What is empty stands as “-”, so that every row has as many words as it has columns."""
    lines = [list(heading), *([_cell(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heading))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cell(value: object) -> str:
    return printable("" if value is None else value) or "-"
