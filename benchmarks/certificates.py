"""Certificates for the nodes of a cluster that is measured over TLS."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.engines import EngineMissing

CLUSTER_ID = "benchmark"


def make_certificates(folder: Path, nodes: Iterable[str]) -> None:
    """Put `ca.pem`, `NODE.pem` and `NODE.key` into a folder, unless it is there.

    Raises:
        EngineMissing: the package cryptography is not installed.
    """
    if folder.exists():
        return
    try:
        from raft_actors.cli.certificate_authority import Authority, AuthorityFiles, Order, issue
    except ImportError as error:
        raise EngineMissing("cryptography is not installed: pip install 'raft-actors[certs]'") from error
    from raft_actors.transports.tls.naming import DEFAULT_RULE, NameRule

    authority = Authority.create(AuthorityFiles(folder), "benchmark", days=2)
    for node in nodes:
        order = Order(cluster=CLUSTER_ID, node=node, hosts=(), rule=NameRule.parse(DEFAULT_RULE), days=1)
        issue(authority, order, folder, renew=False)
