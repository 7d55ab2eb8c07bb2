"""How far a command has come: a bar on a terminal, else lines of text."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn


class Output(Console):
    """Standard output; an error of it is raised, also where nobody reads it any more."""

    def on_broken_pipe(self) -> None:
        """Pass it on: rich would end the process with exit code 1, and nobody would hear why."""
        raise  # noqa: PLE0704  (rich calls this while it handles the error)


class ProgressBar:
    """Bar or lines; a subclass says when to show what."""

    def __init__(self, console: Console, total: int | None, *columns: ProgressColumn, **fields: Any) -> None:
        """`fields`: what the columns show besides, before anything is known."""
        self._console = console
        self._progress: Progress | None = None
        if console.is_terminal:
            self._progress = Progress(*columns, console=console)
            self._task = self._progress.add_task("", total=total, **fields)

    def say(self, text: str) -> None:
        """Print a line, above the bar where there is one."""
        console = self._console if self._progress is None else self._progress.console
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _move(self, completed: int, **fields: Any) -> bool:
        """Move the bar; False where there is none."""
        if self._progress is None:
            return False
        self._progress.update(self._task, completed=completed, **fields)
        return True

    @contextmanager
    def shown(self) -> Generator[Self]:
        """Show it for the length of the block."""
        if self._progress is None:
            yield self
        else:
            with self._progress:
                yield self
