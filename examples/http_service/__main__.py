"""One of three processes: `python -m examples.http_service n1`."""

from __future__ import annotations

import argparse
import signal
from functools import partial
from pathlib import Path
from typing import Any

import hypercorn.config
import hypercorn.trio
import trio

from examples.config_store.store import ConfigStore
from examples.http_service.service import Service
from raft_actors import ClusterConfig, open_node
from raft_actors.persistence import SqliteStorage
from raft_actors.transports import TcpTransport


async def run(name: str, raft: dict[str, str], http: dict[str, str], folder: Path) -> None:
    """Serve until SIGINT or SIGTERM; the node is opened around the server, so it begins first and ends last."""
    config = hypercorn.config.Config()
    config.bind = [http[name]]
    config.graceful_timeout = 3
    async with open_node(
        name,
        cluster=ClusterConfig("config", voters=raft),
        state_machine=ConfigStore,
        storage=SqliteStorage(folder / f"{name}.db"),
        transport=TcpTransport(raft[name]),
    ) as node:
        app = Service(node, http).application()
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:

            async def told_to_stop() -> None:
                await signals.__anext__()

            async with trio.open_nursery() as nursery:
                serve: Any = hypercorn.trio.serve  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
                await nursery.start(partial(serve, shutdown_trigger=told_to_stop, mode="asgi"), app, config)
                print(f"{name} serves http://{http[name]}", flush=True)


def main() -> None:
    """Read the command line, and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=("n1", "n2", "n3"))
    parser.add_argument("--raft-ports", default="7301,7302,7303", help="of n1, n2 and n3, to each other")
    parser.add_argument("--http-ports", default="8001,8002,8003", help="of n1, n2 and n3, for clients")
    parser.add_argument("--folder", type=Path, default=Path(), help="where the store lies")
    options = parser.parse_args()
    raft, http = (
        {f"n{number}": f"127.0.0.1:{port}" for number, port in enumerate(ports.split(","), 1)}
        for ports in (options.raft_ports, options.http_ports)
    )
    trio.run(run, options.name, raft, http, options.folder)


if __name__ == "__main__":
    main()
