"""What a node is opened with, by what the driver asks for.

Imported at once is only what most nodes need: the question `restart` measures how soon a process serves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.workers.machines import Compute, Count, Keep
from benchmarks.workers.wire import Request
from raft_actors import StateMachine
from raft_actors.persistence import SqliteStorage, Storage
from raft_actors.transports import TcpTransport


def machine_of(options: dict[str, Any]) -> StateMachine[bytes, int]:
    """The state machine. Takes what says which out of the options."""
    keep, ledger = options.pop("keep_commands", False), options.pop("ledger", False)
    compute_us = options.pop("compute_us", 0)
    if compute_us:
        return Compute(compute_us / 1e6)
    if ledger:
        from benchmarks.workers.ledger import Ledger

        return Ledger()
    return Keep() if keep else Count()


def storage_of(request: Request) -> Storage:
    """Where the node keeps its state."""
    if request["storage"] == "memory":
        from raft_actors.persistence import MemoryStorage

        return MemoryStorage()
    return SqliteStorage(Path(request["folder"]) / "node.db")


def transport_of(request: Request, options: dict[str, Any]) -> TcpTransport:
    """How the node talks; one node may be far away, or (not the transport's affair) have a slow disk.

    Takes what says which out of the options.
    """
    tls = None
    if options.pop("tls", False):
        from raft_actors.transports import TlsConfig

        folder, node = Path(request["folder"]).parent / "certificates", request["node"]
        tls = TlsConfig(certificate=folder / f"{node}.pem", key=folder / f"{node}.key", ca=folder / "ca.pem")
    address = request["addresses"][request["node"]]
    hindered = request["node"] == options.pop("hindered", None)
    disk_times, delay_s = options.pop("disk_times", 1), options.pop("delay_s", 0.0)
    if hindered:
        from benchmarks.workers.hindrances import FarTransport, slow_down_disk

        if disk_times > 1:
            slow_down_disk(disk_times)
        if delay_s:
            return FarTransport(address, tls=tls, delay_s=delay_s)
    return TcpTransport(address, tls=tls)
