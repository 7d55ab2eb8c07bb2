"""Which inputs lead a target where none has led it before: they are what a long search goes on from.

Where an error was raised is known for every input, and costs next to nothing. Which lines were run is looked at for a
few of them, because that takes ten times as long as to run them.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import attrs

import raft_actors
from tests.fuzz.fuzzing import feed, run_for
from tests.fuzz.target import Target

_LINES_OF_ONE_IN = 128
_MOST_KEPT = 400
_INNERMOST = 4
PACKAGE = Path(raft_actors.__file__).parent
"""Where the package's files are."""

_OURS = PACKAGE.name

Place = tuple[Any, ...]


@attrs.define(eq=False)
class Novelty:
    """Where one target has been led.

    Attributes:
        kept: inputs that led somewhere new, since this was made.
    """

    target: Target
    kept: list[bytes] = attrs.field(factory=list[bytes])
    _lines: set[Place] = attrs.field(factory=set[Place])
    _raised: set[Place] = attrs.field(factory=set[Place])
    _samples: list[bytes] = attrs.field(factory=list[bytes])
    _draw: Callable[[], float] = attrs.field(factory=lambda: random.Random(1).random)

    def learn(self, known: list[bytes]) -> None:
        """Know where these inputs lead, all of which are kept already."""
        self._look_at(known)
        self.kept.clear()

    def heard(self, data: bytes, error: Exception | None) -> None:
        """See whether what a target made of an input is new; see `fuzzing.Heard`."""
        place = _raised_at(error)
        if place not in self._raised:
            self._raised.add(place)
            self.kept.append(data)
        elif self._draw() * _LINES_OF_ONE_IN < 1:
            self._samples.append(data)

    def taken(self) -> list[bytes]:
        """The inputs that led somewhere new, since this was called last."""
        self._look_at(self._samples)
        self._samples.clear()
        kept, self.kept = self.kept[:_MOST_KEPT], []
        return kept

    def files(self) -> list[str]:
        """The package's files in which lines were run, as far as was looked at."""
        paths = (Path(file) for file in {file for file, _ in self._lines})
        return sorted(path.relative_to(PACKAGE).as_posix() for path in paths if path.is_relative_to(PACKAGE))

    def _look_at(self, inputs: list[bytes]) -> None:
        """Look at these, all in one Trio run where the target waits: most of the time is spent to begin one."""

        async def look_at_each() -> None:
            for data in inputs:
                await self._look(data)

        run_for(self.target, look_at_each)

    async def _look(self, data: bytes) -> None:
        """Feed the target this once more, and see which lines that runs."""
        places, known = self._lines, dict[CodeType, bool]()
        before = len(places)

        def enter(frame: FrameType, _event: str, _argument: object) -> Any:
            code = frame.f_code
            ours = known.get(code)
            if ours is None:
                ours = known[code] = _OURS in code.co_filename and "site-packages" not in code.co_filename
            return line if ours else None

        def line(frame: FrameType, event: str, _argument: object) -> Any:
            if event == "line":
                places.add((frame.f_code.co_filename, frame.f_lineno))
            return line

        outer = sys.gettrace()
        sys.settrace(enter)
        try:
            await feed(self.target, data)
        finally:
            sys.settrace(outer)
        if len(places) > before:
            self.kept.append(data)


def _raised_at(error: Exception | None) -> Place:
    """Where an error comes from: its class, and the innermost lines that it went through, of the target."""
    if error is None or error.__traceback__ is None:
        return (type(error),)
    lines: list[int] = []
    step = error.__traceback__.tb_next
    while step is not None:
        lines.append(step.tb_lineno)
        step = step.tb_next
    return (type(error), *lines[-_INNERMOST:])
