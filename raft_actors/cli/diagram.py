"""`raft-actors diagram`: a space-time diagram of a simulated run, from its trace."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raft_actors.errors import ConfigurationError

if TYPE_CHECKING:
    Subcommands = argparse._SubParsersAction[Any]  # pyright: ignore[reportPrivateUsage]

_DESCRIPTION = """
Draw a simulated run: nodes as lanes over time, messages as arrows, with roles, faults, commits and client calls. The
result is one HTML file that any browser shows, without a network.
"""


def add_to(subcommands: Subcommands) -> None:
    """Add this subcommand."""
    parser: argparse.ArgumentParser = subcommands.add_parser(
        "diagram", help="draw a simulated run from its trace", description=_DESCRIPTION
    )
    parser.add_argument("trace", type=Path, metavar="TRACE", help="a trace in JSON lines")
    parser.add_argument(
        "output", type=Path, nargs="?", metavar="OUT", help="the HTML file to write (default: beside the trace)"
    )
    parser.add_argument("--title", help="what the page calls itself (default: the trace's file name)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the diagram, and say where it is.

    Raises:
        ConfigurationError: the trace can't be read, or the diagram not be written.
    """
    from raft_actors.observe.diagram import read_trace, write_diagram

    output: Path = options.output or options.trace.with_suffix(".html")
    if output == options.trace:
        raise ConfigurationError(f"the diagram would overwrite its trace {output}: name another file for it")
    write_diagram(read_trace(options.trace), output, title=options.title or options.trace.name)
    print(output)
    return 0
