"""`raft-actors certs`: certificates for nodes, clients and operators, for people who have no CA of their own."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raft_actors.cli.options import days, name
from raft_actors.errors import ConfigurationError, RaftError
from raft_actors.transports.tls.naming import DEFAULT_RULE, NameRule
from raft_actors.transports.tls.rights import CLIENT_RULE, OPERATOR_RULE
from raft_actors.transports.tls.today import DAY_S, now_s
from raft_actors.wording import printable

if TYPE_CHECKING:
    Subcommands = argparse._SubParsersAction[Any]  # pyright: ignore[reportPrivateUsage]

_DESCRIPTION = """
Make a small CA, and certificates by which the nodes of a cluster authenticate each other. With the CA's key (ca.key)
a certificate for any node can be made: keep it off the nodes. Each node needs ca.pem, and its own certificate and key.
"""
_RULES = {"node": DEFAULT_RULE, "client": CLIENT_RULE, "operator": OPERATOR_RULE}
_NO_EXTRA = "certs needs the package cryptography: pip install 'raft-actors[certs]'"


def add_to(subcommands: Subcommands) -> None:
    """Add this subcommand."""
    parser: argparse.ArgumentParser = subcommands.add_parser(
        "certs", help="make and show certificates of nodes", description=_DESCRIPTION
    )
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    _add_init(actions)
    _add_issue(actions)
    show = actions.add_parser("show", help="show for whom certificates are, and until when", description=show_.__doc__)
    show.add_argument("files", nargs="+", type=Path, metavar="FILE", help="PEM files with certificates")
    show.add_argument("--json", action="store_true", help="as JSON, one line for each certificate")
    show.set_defaults(run=show_)


def _add_init(actions: Subcommands) -> None:
    init = actions.add_parser("init", help="make a CA", description=init_.__doc__)
    init.add_argument("folder", type=Path, metavar="FOLDER", help="where to put ca.pem and ca.key")
    init.add_argument("--name", default="raft-actors CA", help="what to call it (default: raft-actors CA)")
    init.add_argument("--days", type=days, default=3650, metavar="N", help="how long it is valid (default 3650)")
    init.set_defaults(run=init_)


def _add_issue(actions: Subcommands) -> None:
    issue = actions.add_parser("issue", help="make a certificate and its key", description=issue_.__doc__)
    issue.add_argument("folder", type=Path, metavar="FOLDER", help="the CA's, as 'certs init' made it")
    issue.add_argument("--cluster", required=True, type=name, metavar="NAME", help="the cluster's name")
    issue.add_argument(
        "--node", required=True, type=name, metavar="ID", help="the node's id, or the name of whoever it is for"
    )
    issue.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="HOST",
        help="a host name or IP address at which Redis clients reach the node; may be repeated",
    )
    issue.add_argument("--out", type=Path, metavar="FOLDER", help="where to put NODE.pem and NODE.key (default: here)")
    issue.add_argument("--days", type=days, default=365, metavar="N", help="how long it is valid (default 365)")
    issue.add_argument(
        "--role",
        choices=tuple(_RULES),
        default="node",
        help="whether it is a node's (default), or a client's or an operator's with the name that --node gives",
    )
    issue.add_argument("--names", metavar="RULE", help=f"where the certificate has the id (for a node {DEFAULT_RULE})")
    issue.add_argument("--renew", action="store_true", help="replace existing files")
    issue.set_defaults(run=issue_)


def init_(options: argparse.Namespace) -> int:
    """Make a CA: the certificate ca.pem, which every node needs, and the key ca.key, which no node may have."""
    try:
        from raft_actors.cli import certificate_authority as authority
    except ImportError as error:
        raise RaftError(_NO_EXTRA) from error
    files = authority.AuthorityFiles(options.folder)
    authority.Authority.create(files, options.name, options.days)
    print(f"{files.certificate}: give it to every node\n{files.key}: keep it to yourself")
    return 0


def issue_(options: argparse.Namespace) -> int:
    """Make a certificate, and its key, for a node, a client or an operator."""
    try:
        from raft_actors.cli import certificate_authority as authority
    except ImportError as error:
        raise RaftError(_NO_EXTRA) from error
    order = authority.Order(
        cluster=options.cluster,
        node=options.node,
        hosts=options.host,
        rule=NameRule.parse(options.names or _RULES[options.role]),
        days=options.days,
    )
    made = authority.Authority.open(authority.AuthorityFiles(options.folder))
    certificate, key = authority.issue(made, order, options.out or Path(), renew=options.renew)
    print(f"{certificate}: {order.rule.name_of(order.cluster, order.node)}")
    print(f"{key}: for the user of that {options.role} alone")
    return 0


def show_(options: argparse.Namespace) -> int:
    """Say of each certificate for whom it is, by whom, for what use, and until when. Exit code 1: one has ended."""
    try:
        from raft_actors.cli.certificate_facts import facts_of
    except ImportError as error:
        raise RaftError(_NO_EXTRA) from error
    ended = False
    for path in options.files:
        try:
            data = path.read_bytes()
            found = facts_of(data)
        except ValueError as error:
            raise ConfigurationError(f"{path} holds no certificates in PEM: {error}") from error
        for facts in found:
            left = (facts.expires_at - now_s()) / DAY_S
            ended = ended or left <= 0
            if options.json:
                print(json.dumps({"file": str(path), **facts.as_json(), "days_left": round(left, 1)}))
            else:
                lines = [f"{path}: {facts.subject}", *(f"  {line}" for line in facts.lines(left))]
                print("\n".join(map(printable, lines)))
    return int(ended)
