"""What the demo loads, and whether each node has it in the end."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

from raft_actors.errors import RaftError
from raft_actors.records import frozen


class DemoError(RaftError):
    """The demo can't go on; the message says what happened, and to which node."""


def default_text() -> Path:
    """A text of some 14,000 lines that comes with Python: the one behind `help("topics")`."""
    found = importlib.util.find_spec("pydoc_data.topics")
    if found is None or found.origin is None:
        raise DemoError("this Python comes without its help texts: name a file to load")
    return Path(found.origin)


def read_lines(path: Path) -> list[bytes]:
    """The lines of a file.

    Raises:
        DemoError: it can't be read, or has fewer than two lines.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DemoError(f"can't read {path}: {error.strerror}") from error
    if len(lines) < 2:
        raise DemoError(f"{path} has {len(lines)} lines: there must be something to load before and after the failure")
    return lines


def key_of(number: int) -> bytes:
    """The key of line `number`, counted from 0: keys begin at 1, as lines do."""
    return b"%d" % (number + 1)


@frozen
class Comparison:
    """What one node holds, against the text.

    Attributes:
        missing: keys of acknowledged lines that the node lacks.
        different: keys of acknowledged lines that have another value there.
        unexpected: keys that belong to no line.
        lines: acknowledged lines that are there as they should be.
    """

    missing: tuple[bytes, ...]
    different: tuple[bytes, ...]
    unexpected: tuple[bytes, ...]
    lines: int

    @property
    def good(self) -> bool:
        """Nothing is missing, different or unexpected."""
        return not (self.missing or self.different or self.unexpected)

    def __str__(self) -> str:
        """Return the verdict in a few words."""
        if self.good:
            return f"all {self.lines:,} lines"
        parts = [("missing", self.missing), ("different", self.different), ("unexpected", self.unexpected)]
        return ", ".join(f"{len(keys):,} {word} (first: line {keys[0].decode()})" for word, keys in parts if keys)


def compare(lines: Sequence[bytes], acknowledged: Sequence[bool], stored: Mapping[bytes, bytes]) -> Comparison:
    """Check what a node stores against the lines.

    A line that was not acknowledged may be there or not, but not with another value.
    """
    missing: list[bytes] = []
    different: list[bytes] = []
    good = 0
    for number, (line, known) in enumerate(zip(lines, acknowledged, strict=True)):
        key = key_of(number)
        value = stored.get(key)
        if value is None:
            if known:
                missing.append(key)
        elif value != line:
            different.append(key)
        else:
            good += known
    expected = {key_of(number) for number in range(len(lines))}
    unexpected = tuple(key for key in stored if key not in expected)
    return Comparison(tuple(missing), tuple(different), unexpected, good)
