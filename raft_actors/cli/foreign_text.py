"""Text that others wrote, fit for a terminal: what nodes and certificates say of themselves, whoever made them.

A terminal acts on control characters: they move its cursor, rename its window, and show what nobody has said. So what
is no letter, digit, sign or blank is spelled out; ordinary text of any script stays.
"""

from __future__ import annotations

import json
import logging

from typing_extensions import override


def printable(value: object) -> str:
    """One line, in which nothing acts on a terminal."""
    text = str(value)
    return text if text.isprintable() else "".join(map(_spelled, text))


def printable_lines(text: str) -> str:
    """The same for text of several lines, whose ends are ours."""
    return "\n".join(map(printable, text.split("\n")))


def _spelled(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


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
