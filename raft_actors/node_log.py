"""Log lines that say which node speaks: processes and tests run several.

What others have said stands in many of them: no line break or control character of theirs may make a line of its own,
or speak to a terminal.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from typing_extensions import override

from raft_actors.wording import printable, text_of


class NodeLog(logging.LoggerAdapter[logging.Logger]):
    """A module's logger for one node: lines begin with its id, and records have it as `node_id`."""

    def __init__(self, logger: logging.Logger, node_id: str) -> None:
        super().__init__(logger, {"node_id": node_id})
        self._prefix = f"node {node_id}: ".replace("%", "%%")

    @override
    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a line, at the caller's place in the source."""
        if self.isEnabledFor(level):
            kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
            super().log(level, msg, *map(_in_one_line, args), **kwargs)

    @override
    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        msg, kwargs = super().process(msg, kwargs)
        return f"{self._prefix}{msg}", kwargs


def _in_one_line(value: object) -> object:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, BaseException):
        return printable(text_of(value))
    return value
