"""What a node is told of its certificates and its peers'."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from raft_actors.errors import ConfigurationError
from raft_actors.records import frozen
from raft_actors.transports.tls.credentials import CertificateFiles
from raft_actors.transports.tls.naming import DEFAULT_RULE, NameRule
from raft_actors.transports.tls.rights import DEFAULT_CLIENTS, ClientRule, client_rules
from raft_actors.transports.tls.today import DAY_S

Plain = Literal["refused", "accepted", "sent"]


def _check_plain(_instance: object, _attribute: attrs.Attribute[Any], value: object) -> None:
    if value not in ("refused", "accepted", "sent"):
        raise ConfigurationError(f"TlsConfig: plain must be 'refused', 'accepted' or 'sent', not {value!r}")


def _check_positive(_instance: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not value > 0:
        raise ConfigurationError(f"TlsConfig: {attribute.name} must be positive, not {value}")


def _rule(rule: str | NameRule) -> NameRule:
    return rule if isinstance(rule, NameRule) else NameRule.parse(rule)


def _clients(clients: Mapping[str, Iterable[str]] | tuple[ClientRule, ...]) -> tuple[ClientRule, ...]:
    return clients if isinstance(clients, tuple) else client_rules(clients)


@frozen(kw_only=True)
class TlsConfig:
    """Mutual TLS between nodes: TLS 1.3, a certificate on either side, and the node's id in each.

    The files are read again when they change: put new ones in their place, one by one or by renaming. To change the CA,
    first let `ca` hold the old and the new one on every node, then give every node a certificate of the new one, then
    take the old one out.

    To change a running cluster from plain connections to TLS, start its nodes anew one by one, three times: with
    `plain="sent"`, with `plain="accepted"`, and with neither. While plain connections are accepted, whoever reaches the
    port can pose as a node, as before.

    Attributes:
        certificate: PEM file with this node's certificate, and after it those of intermediate CAs. It has to be for the
            use as server and as client, where it names uses at all.
        key: PEM file with its private key.
        ca: PEM file with the CAs that may issue nodes' certificates. Not a public one: with the default rule for names
            it would hardly issue such, and with another rule whoever gets a fitting name from it is a node.
        key_password: of the key, where it is encrypted.
        names: how a certificate names its node, the same on every node: by default as the URI `raft://CLUSTER/NODE`
            among its subject alternative names. `dns:{node}.raft.example.org` goes by a DNS name, `cn:{node}` by the
            subject's common name; `{cluster}` stands for the cluster's id.
        clients: which certificates are clients' (`RaftClient`) and operators', which are no nodes, and what each may
            do: name → rights, of "read", "write" and "operate". A name is written as in `names`, whole, or with one `*`
            for any text; the first that fits counts. By default whose URI is `raft-client://CLUSTER/ANYTHING` may read
            and write, and `raft-operator://CLUSTER/ANYTHING` all three. A certificate that fits none, and is a node's,
            may do all while that node is a member. Where a name with `*` fits that of a node, too, and says no more of
            it than `names` does, it is a node's, and has the rights given here as long.
        plain: whether connections without TLS are accepted, or even made.
        check_interval_s: how often the files are looked at; new ones are taken when they have not changed for so long.
        warn_before_expiry_s: how long before the certificate's end the node tells of it: as an event, in the log, once
            a day, and always in its statistics.
    """

    certificate: Path = attrs.field(converter=Path)
    key: Path = attrs.field(converter=Path)
    ca: Path = attrs.field(converter=Path)
    key_password: str | None = attrs.field(default=None, repr=False)
    names: NameRule = attrs.field(default=NameRule.parse(DEFAULT_RULE), converter=_rule)
    clients: tuple[ClientRule, ...] = attrs.field(default=client_rules(DEFAULT_CLIENTS), converter=_clients)
    plain: Plain = attrs.field(default="refused", validator=_check_plain)
    check_interval_s: float = attrs.field(default=2.0, validator=_check_positive)
    warn_before_expiry_s: float = attrs.field(default=30 * DAY_S, validator=_check_positive)

    @property
    def files(self) -> CertificateFiles:
        """Where the certificates are."""
        return CertificateFiles(certificate=self.certificate, key=self.key, ca=self.ca, key_password=self.key_password)
