"""Log lines that say which node speaks: processes and tests run several."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from typing_extensions import override


class NodeLog(logging.LoggerAdapter[logging.Logger]):
    """A module's logger for one node: lines begin with its id, and records have it as `node_id`."""

    def __init__(self, logger: logging.Logger, node_id: str) -> None:
        super().__init__(logger, {"node_id": node_id})
        self._prefix = f"node {node_id}: ".replace("%", "%%")

    @override
    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        msg, kwargs = super().process(msg, kwargs)
        return f"{self._prefix}{msg}", kwargs
