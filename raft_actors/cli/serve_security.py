"""The options of `serve` that say who gets in, and the refusal to serve the world without them."""

from __future__ import annotations

import argparse
import ipaddress
import socket
import ssl
from pathlib import Path

from raft_actors.cli.options import positive
from raft_actors.errors import ConfigurationError
from raft_actors.records import frozen
from raft_actors.transports import TlsConfig
from raft_actors.transports.sockets.addresses import Address
from raft_actors.transports.tls.credentials import CertificateFiles
from raft_actors.transports.tls.naming import DEFAULT_RULE


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    nodes = parser.add_argument_group("TLS between nodes (docs/tls.md)")
    nodes.add_argument("--tls-cert", type=Path, metavar="FILE", help="this node's certificate, with its chain")
    nodes.add_argument("--tls-key", type=Path, metavar="FILE", help="its key")
    nodes.add_argument("--tls-ca", type=Path, metavar="FILE", help="the CAs that issue nodes' certificates")
    nodes.add_argument(
        "--tls-names", default=DEFAULT_RULE, metavar="RULE", help=f"how certificates name nodes ({DEFAULT_RULE})"
    )
    nodes.add_argument(
        "--tls-plain",
        choices=("refused", "accepted", "sent"),
        default="refused",
        help="connections without TLS, while a cluster changes to TLS: refused (default), accepted, or even opened",
    )
    clients = parser.add_argument_group("who may use the service")
    clients.add_argument("--client-cert", type=Path, metavar="FILE", help="the certificate that clients see")
    clients.add_argument("--client-key", type=Path, metavar="FILE", help="its key")
    clients.add_argument(
        "--client-ca", type=Path, metavar="FILE", help="clients must present a certificate of these CAs"
    )
    clients.add_argument("--users", type=Path, metavar="FILE", help="users and their rights ('raft-actors users')")
    clients.add_argument(
        "--max-connections-per-address", type=positive, metavar="N", help="most clients at a time from one address"
    )
    clients.add_argument(
        "--max-handshakes-per-address",
        type=positive,
        default=256,
        metavar="N",
        help="most of them that have not logged in yet, TLS included (default 256)",
    )
    clients.add_argument(
        "--max-connects-per-address",
        type=positive,
        default=100,
        metavar="N",
        help="connections that one address may open in a second (default 100)",
    )
    clients.add_argument(
        "--max-connects",
        type=positive,
        default=200,
        metavar="N",
        help="the same for all addresses together from which no client is connected (default 200)",
    )
    parser.add_argument(
        "--insecure", action="store_true", help="listen beyond this machine without TLS, in a network that is trusted"
    )


@frozen
class Security:
    """Those options, checked."""

    nodes: TlsConfig | None
    clients: CertificateFiles | None
    users: Path | None
    max_connections_per_address: int | None
    max_handshakes_per_address: int
    max_connects_per_address_s: float
    max_connects_s: float


def security_of(options: argparse.Namespace, raft: Address, redis: Address) -> Security:
    """Check the options for a node that listens at these addresses.

    Raises:
        ConfigurationError: they contradict each other, or would let everybody in.
    """
    nodes = _together(options, "--tls-cert", "--tls-key", "--tls-ca")
    clients = _together(options, "--client-cert", "--client-key")
    if options.client_ca is not None and not clients:
        raise ConfigurationError("--client-ca needs --client-cert and --client-key: certificates are shown over TLS")
    if options.client_ca is not None and nodes and options.users is None:
        _refuse_nodes_as_clients(options.tls_ca, options.client_ca)
    if options.tls_plain != "refused" and not nodes:
        raise ConfigurationError("--tls-plain is for nodes that have --tls-cert, --tls-key and --tls-ca")
    if not options.insecure:
        _refuse_the_world("other nodes", raft, nodes, "--tls-cert, --tls-key and --tls-ca")
        _refuse_the_world("clients", redis, clients, "--client-cert and --client-key")
    return Security(
        nodes=TlsConfig(
            certificate=options.tls_cert,
            key=options.tls_key,
            ca=options.tls_ca,
            names=options.tls_names,
            plain=options.tls_plain,
        )
        if nodes
        else None,
        clients=CertificateFiles(certificate=options.client_cert, key=options.client_key, ca=options.client_ca)
        if clients
        else None,
        users=options.users,
        max_connections_per_address=options.max_connections_per_address,
        max_handshakes_per_address=options.max_handshakes_per_address,
        max_connects_per_address_s=float(options.max_connects_per_address),
        max_connects_s=float(options.max_connects),
    )


def _together(options: argparse.Namespace, *flags: str) -> bool:
    """Whether these are given: all of them, or none."""
    given = [getattr(options, flag[2:].replace("-", "_")) is not None for flag in flags]
    if any(given) and not all(given):
        missing = [flag for flag, is_given in zip(flags, given, strict=True) if not is_given]
        raise ConfigurationError(f"{' and '.join(missing)} missing: {', '.join(flags)} go together")
    return all(given)


def _refuse_nodes_as_clients(nodes: Path, clients: Path) -> None:
    """Where certificates alone say who may use the service, nodes' are none of them: nor are removed nodes'."""
    shared = _authorities_in(nodes) & _authorities_in(clients)
    if shared:
        raise ConfigurationError(
            f"{nodes} and {clients} have a CA in common, so each node's certificate, of a removed node too, would let "
            "its holder in as a client: give --client-ca a CA other than those of --tls-ca ('raft-actors certs init'), "
            "or say by --users who clients are"
        )


def _authorities_in(file: Path) -> set[bytes]:
    """The CAs' certificates; none where there are none: whoever uses the file says so."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(file)
    except OSError:  # ssl.SSLError is one
        return set()
    return set(context.get_ca_certs(binary_form=True))


def _refuse_the_world(whom: str, address: Address, secured: bool, remedy: str) -> None:
    if not secured and not is_loopback(address.host):
        raise ConfigurationError(
            f"{address} can be reached from other machines, and {whom} would be served there without TLS: "
            f"give {remedy}, or --insecure where the network is trusted"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches this host. A name that can't be resolved is: listening there tells more."""
    try:
        found = {str(item[4][0]) for item in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return True
    return all(ipaddress.ip_address(one.partition("%")[0]).is_loopback for one in found)
