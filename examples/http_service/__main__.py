"""One of three processes: `python -m examples.http_service n1`, or with `--framework fastapi`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import hypercorn.config
import hypercorn.trio
import trio

from examples.config_store.store import ConfigStore
from examples.http_service.service import Service
from raft_actors import ClusterConfig, RaftError, open_node
from raft_actors.persistence import SqliteStorage
from raft_actors.transports import TcpTransport

FRAMEWORKS = ("quart", "fastapi")


async def run(name: str, raft: dict[str, str], http: str, folder: Path, application: Callable[[Service], Any]) -> None:
    """Serve until SIGINT or SIGTERM; the node is opened around the server, so it begins first and ends last."""
    config = hypercorn.config.Config()
    config.bind = [http]
    config.graceful_timeout = 3
    async with open_node(
        name,
        cluster=ClusterConfig("config", voters=raft),
        state_machine=ConfigStore,
        storage=SqliteStorage(folder / f"config-{name}.db"),
        transport=TcpTransport(raft[name]),
    ) as node:
        app = application(Service(node))
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:

            async def told_to_stop() -> None:
                await signals.__anext__()

            async with trio.open_nursery() as nursery:
                serve: Any = hypercorn.trio.serve  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
                await nursery.start(partial(serve, shutdown_trigger=told_to_stop, mode="asgi"), app, config)
                print(f"{name} serves http://{http}", flush=True)


def application_of(framework: str) -> Callable[[Service], Any]:
    """Import no framework but this one."""
    if framework == "fastapi":
        from examples.http_service.with_fastapi import application  # noqa: PLC0415

        return application
    from examples.http_service import with_quart  # noqa: PLC0415

    return with_quart.application


def main() -> None:
    """Read the command line, and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=("n1", "n2", "n3"))
    parser.add_argument("--framework", choices=FRAMEWORKS, default="quart", help="what the web application is made of")
    parser.add_argument("--raft-ports", default="7311,7312,7313", help="of n1, n2 and n3, to each other")
    parser.add_argument("--http-ports", default="8001,8002,8003", help="of n1, n2 and n3, for clients")
    parser.add_argument("--folder", type=Path, default=Path(), help="where the store lies")
    options = parser.parse_args()
    raft, http = (
        {f"n{number}": f"127.0.0.1:{port}" for number, port in enumerate(ports.split(","), 1)}
        for ports in (options.raft_ports, options.http_ports)
    )
    make = application_of(options.framework)
    try:
        trio.run(run, options.name, raft, http[options.name], options.folder, make)
    except RaftError as error:  # it says who has to do what: the port or the store is taken, the disk is full
        sys.exit(f"{options.name}: {error}")


if __name__ == "__main__":
    main()
