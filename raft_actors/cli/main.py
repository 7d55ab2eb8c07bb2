"""`raft-actors`: what the subcommands share, which is how arguments are taken and how errors are told.

Exit codes: 0 done; 1 it did not work out, for a reason that stands on stderr; 2 the arguments can't be right; 130
interrupted; 141 whoever read the output stopped reading, so what the command had to do may not be done (128 + SIGPIPE,
as shells report it of other programs).
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from typing_extensions import override

from raft_actors import cli
from raft_actors.cli import certs, demo, diagram, inspect, operate, serve, simulate, streams, users
from raft_actors.cli.foreign_text import printable_lines
from raft_actors.errors import ConfigurationError, RaftError

_UNREAD = 128 + 13  # SIGPIPE, which not every system has


class _Parser(argparse.ArgumentParser):
    """Tells an error in one line, with where to read on."""

    @override
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"raft-actors: {message}; see {self.prog} --help\n")


class _Version(argparse.Action):
    """Looks it up when it is asked for: every start of a node would wait for the modules that read metadata."""

    @override
    def __call__(self, parser: argparse.ArgumentParser, *_arguments: Any, **_keywords: Any) -> NoReturn:
        from importlib import metadata

        print(f"raft-actors {metadata.version('raft-actors')}")
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all subcommands. `options.run(options)` runs the chosen one and returns its exit code."""
    parser = _Parser(prog="raft-actors", description=cli.__doc__)
    parser.add_argument("--version", action=_Version, nargs=0, help="show program's version number and exit")
    subcommands = parser.add_subparsers(title="subcommands", required=True, metavar="SUBCOMMAND")
    for module in (serve, operate, inspect, certs, users, demo, simulate, diagram):
        module.add_to(subcommands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `raft-actors` with these arguments (the process's own where None) and return its exit code."""
    streams.make_usable()
    try:
        return _run(arguments)
    except RaftError as error:
        return _tell(str(error), 2 if isinstance(error, ConfigurationError) else 1)
    except KeyboardInterrupt:
        return _tell("interrupted", 130)
    except OSError as error:
        broken = streams.drop_broken_output()
        if isinstance(broken, BrokenPipeError):
            return _UNREAD
        if broken is not None:
            return _tell(f"can't write to standard output: {broken.strerror}", 1)
        if error.filename is None:
            raise  # nobody has said whose fault it is: a bug of ours
        return _tell(f"{error.filename}: {error.strerror}", 1)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        options = make_parser().parse_args(arguments)
    except SystemExit:  # after --help, say
        streams.flush_output()
        raise
    if streams.output_closed() and options.run is not serve.run:  # a node says where it serves, and is no worse for it
        raise RaftError("standard output is closed: redirect it, to /dev/null if nobody wants to read it")
    try:
        code = int(options.run(options))
        streams.flush_output()
    except BrokenPipeError:
        if options.run is not inspect.run or streams.drop_broken_output() is None:
            raise
        return 0  # the file was checked before the first line, and whoever read them (… | head) has seen enough
    return code


def _tell(error: str, code: int) -> int:
    with contextlib.suppress(OSError):  # standard error may be broken too; the exit code still tells
        print(f"raft-actors: {printable_lines(error)}", file=sys.stderr)
    return code
