"""Reads a trace back from the file it was written to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from raft_actors.errors import ConfigurationError


def read_trace(path: str | Path) -> Iterator[dict[str, Any]]:
    """The events of a trace in JSON lines, one by one. Empty lines are passed over.

    Raises:
        ConfigurationError: the file can't be read, or a line of it is no JSON object.
    """
    try:
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _event_in(line, f"{path}, line {number}")
    except OSError as error:
        raise ConfigurationError(f"the trace {path} can't be read: {error.strerror or error}") from error


def _event_in(line: bytes, place: str) -> dict[str, Any]:
    try:
        event: object = json.loads(line)
    except ValueError as error:
        raise ConfigurationError(f"{place} is no JSON: {error}") from error
    if not isinstance(event, dict):
        raise ConfigurationError(f"{place} is no event: a JSON object was expected")
    return cast(dict[str, Any], event)
