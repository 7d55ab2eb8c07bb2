"""One of the three processes: `python -m examples.counter.node n1`.

It holds a Raft node, and answers clients: who asks to add or to read gets a number, or is told to ask again.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import trio

from examples.counter.counter import Add, Counter, Member, read_members
from examples.counter.lines import Lines
from raft_actors import ClusterConfig, Node, ProposalError, RaftError, open_node
from raft_actors.persistence import SqliteStorage
from raft_actors.transports import TcpTransport

PATIENCE_S = 1.0
"""How long a client is kept waiting for an election or a commit."""


async def answer(node: Node[Counter], request: dict[str, Any]) -> dict[str, Any]:
    """The number, or that it can't be told now. A node that does not lead hands the command on to the one that does."""
    with trio.move_on_after(PATIENCE_S):  # noqa: ASYNC912 - both calls wait
        try:
            if "amount" in request:
                command = Add(request["client"], request["number"], request["amount"])
                return {"value": await node.propose(command)}
            return {"value": await node.read(lambda counter: counter.value)}
        except ProposalError:
            pass
    return {"again": True}  # it may be applied, or not: the client repeats it, and Counter sees whether that is new


async def serve_client(node: Node[Counter], stream: trio.SocketStream) -> None:
    """Answer one request after the other."""
    lines = Lines(stream)
    with contextlib.suppress(trio.BrokenResourceError):  # the client has left
        try:
            while (request := await lines.receive()) is not None:
                await lines.send(await answer(node, request))
        except (ValueError, TypeError, KeyError) as error:  # not of our making: say so, and hang up
            await lines.send({"error": f"{type(error).__name__}: {error}"})


async def stop_at_signal(scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
    """Ctrl-C, or a supervisor's SIGTERM, ends the block around the node; the node then closes in good order."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


async def run(name: str, members: dict[str, Member], folder: Path) -> None:
    """Be this node until a signal, or until the node fails, whose error is then raised."""
    host, port = members[name].host_and_port
    async with (
        open_node(
            name,
            cluster=ClusterConfig("counter", voters={name: member.raft for name, member in members.items()}),
            state_machine=Counter,
            storage=SqliteStorage(folder / f"counter-{name}.db"),
            transport=TcpTransport(members[name].raft),
        ) as node,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(stop_at_signal, nursery.cancel_scope)
        await nursery.start(partial(trio.serve_tcp, partial(serve_client, node), port, host=host))
        print(f"{name} is ready", flush=True)


def main() -> None:
    """Read the command line, and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="which of the nodes this one is")
    parser.add_argument("--members", type=Path, default=Path(__file__).parent / "members.json", metavar="FILE")
    parser.add_argument("--folder", type=Path, default=Path(), help="where the store lies")
    arguments = parser.parse_args()
    members = read_members(arguments.members)
    if arguments.name not in members:
        parser.error(f"{arguments.members} has no {arguments.name}, but {', '.join(members)}")
    try:
        trio.run(run, arguments.name, members, arguments.folder)
    except RaftError as error:  # it says who has to do what: the port or the store is taken, the disk is full
        sys.exit(f"{arguments.name}: {error}")


if __name__ == "__main__":
    main()
