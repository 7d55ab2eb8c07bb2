"""Text that others wrote, fit for a terminal: what nodes and certificates say of themselves, whoever made them.

A terminal acts on control characters: they move its cursor, rename its window, and show what nobody has said. So these
are spelled out (`wording.printable`).
"""

from __future__ import annotations

import json
import logging

from typing_extensions import override

from raft_actors.wording import printable


def printable_lines(text: str) -> str:
    """Text of several lines, whose ends are ours, in which nothing acts on a terminal."""
    return "\n".join(map(printable, text.split("\n")))


def printable_json(found: object) -> str:
    """JSON for programs, which may be read at a terminal all the same."""
    text = json.dumps(found, indent=2, ensure_ascii=False)
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


class PrintableFormatter(logging.Formatter):
    """Log records, each on a line of its own; a traceback stands below as it is."""

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return printable(super().formatMessage(record))
