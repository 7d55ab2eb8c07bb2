"""Standard streams as a shell, a supervisor or a cron job leaves them: closed, full, without a reader, ASCII only."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Callable

from typing_extensions import override

#: What the output of the command line holds beside ASCII, in the words of a terminal that knows nothing else.
_ASCII = {"…": "...", "–": "-", "−": "-", "×": "x", "→": "->", "≤": "<=", "≥": ">=", "’": "'", "“": '"', "”": '"'}
_HANDLER = "raft_actors.spelled_out"


def _spell_out(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if character in _ASCII:
        return _ASCII[character], error.start + 1
    return codecs.backslashreplace_errors(
        UnicodeEncodeError(error.encoding, error.object, error.start, error.start + 1, error.reason)
    )


class _Output(io.TextIOWrapper):
    """Standard output that remembers its failure, whoever swallows it or passes it on without the file's name."""

    failure: OSError | None = None

    @override
    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self.failure = error
            raise

    @override
    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self.failure = error
            raise


def make_usable() -> None:
    """Open the standard descriptors that were handed over closed, and spell out what a stream's encoding lacks.

    The number of a closed one would go to the next file or socket that is opened, and whatever is printed by way of
    the number (a crash's last words, a child's output) would go there. The null device takes their places. A stream
    that Python found closed stays None, for `output_closed` to tell; standard input is empty then.
    """
    codecs.register_error(_HANDLER, _spell_out)
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
            os.set_inheritable(descriptor, True)
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - the null device, by now: it ends at once
    reconfigure: Callable[..., None] | None = getattr(sys.stderr, "reconfigure", None)
    if reconfigure is not None:  # it may be None, or what a caller has put into its place
        reconfigure(errors=_HANDLER)
    stdout = sys.stdout
    if type(stdout) is io.TextIOWrapper:  # the system's, not what a caller has put into its place
        sys.stdout = _Output(
            io.FileIO(stdout.fileno(), "w", closefd=False)
            if stdout.write_through
            else io.BufferedWriter(io.FileIO(stdout.fileno(), "w", closefd=False)),
            encoding=stdout.encoding,
            errors=_HANDLER,
            line_buffering=stdout.line_buffering,
            write_through=stdout.write_through,
        )


def output_closed() -> bool:
    """Whether there is no standard output at all."""
    return sys.stdout is None  # pyright: ignore[reportUnnecessaryComparison]


def flush_output() -> None:
    """Write what is buffered.

    Raises:
        OSError: it can't be written, or something before it could not.
    """
    if output_closed():
        return
    sys.stdout.flush()
    if isinstance(sys.stdout, _Output) and sys.stdout.failure is not None:
        raise sys.stdout.failure


def drop_broken_output() -> OSError | None:
    """Why standard output takes no more, None where it does. What is meant for it is dropped from now on."""
    stdout = sys.stdout
    if not isinstance(stdout, _Output) or stdout.failure is None:
        return None
    failure, stdout.failure = stdout.failure, None
    os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())  # Python flushes at exit, and would complain
    return failure
