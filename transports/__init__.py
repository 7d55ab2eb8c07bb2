"""How nodes reach each other: the transport contract and its implementations.

Lives in ``transports/`` at the repository root, and is imported as ``raft_actors.transports``.
"""

if __name__ == "transports":
    # From the repository root (or with it on sys.path) this folder would also import under its bare
    # name: a second copy of every class, whose isinstance checks fail against the first.
    raise ImportError("import raft_actors.transports instead of transports: run 'pip install -e .' first")

from typing import TYPE_CHECKING

from raft_actors.lazily import lazily
from raft_actors.transports.abc import Deliver, Endpoint, PeerStatistics, Transport, TransportStatistics
from raft_actors.transports.tcp.transport import TcpTransport
from raft_actors.transports.wire.codec import decode, encode

if TYPE_CHECKING:
    from raft_actors.transports.faults import Faults
    from raft_actors.transports.links import LinkStatistics
    from raft_actors.transports.memory import MemoryNetwork, MemoryTransport
    from raft_actors.transports.tls.config import TlsConfig
    from raft_actors.transports.tls.statistics import CertificateStatistics
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "CertificateStatistics": "tls.statistics",
            "Faults": "faults",
            "LinkStatistics": "links",
            "MemoryNetwork": "memory",
            "MemoryTransport": "memory",
            "TlsConfig": "tls.config",
        },
    )

__all__ = [
    "CertificateStatistics",
    "Deliver",
    "Endpoint",
    "Faults",
    "LinkStatistics",
    "MemoryNetwork",
    "MemoryTransport",
    "PeerStatistics",
    "TcpTransport",
    "TlsConfig",
    "Transport",
    "TransportStatistics",
    "decode",
    "encode",
]
