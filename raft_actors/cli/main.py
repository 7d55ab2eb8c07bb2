"""`raft-actors`: what the subcommands share, which is how arguments are taken and how errors are told.

Exit codes: 0 done; 1 it did not work out, for a reason that stands on stderr; 2 the arguments can't be right.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import NoReturn

from typing_extensions import override

from raft_actors import cli
from raft_actors.cli import demo, diagram, inspect, serve, simulate
from raft_actors.errors import ConfigurationError, RaftError


class _Parser(argparse.ArgumentParser):
    """Tells an error in one line, with where to read on."""

    @override
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"raft-actors: {message}; see {self.prog} --help\n")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all subcommands. `options.run(options)` runs the chosen one and returns its exit code."""
    parser = _Parser(prog="raft-actors", description=cli.__doc__)
    parser.add_argument("--version", action="version", version=f"raft-actors {metadata.version('raft-actors')}")
    subcommands = parser.add_subparsers(title="subcommands", required=True, metavar="SUBCOMMAND")
    for module in (serve, inspect, demo, simulate, diagram):
        module.add_to(subcommands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `raft-actors` with these arguments (the process's own where None) and return its exit code."""
    options = make_parser().parse_args(arguments)
    try:
        code = int(options.run(options))
        sys.stdout.flush()
        return code
    except RaftError as error:
        print(f"raft-actors: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigurationError) else 1
    except BrokenPipeError:
        # Whoever read the output (`… | head`) has seen enough. Nothing can be flushed there at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("raft-actors: interrupted", file=sys.stderr)
        return 130
