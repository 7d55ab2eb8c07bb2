"""What a client may do, by the names in its certificate."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

from raft_actors.errors import ConfigurationError
from raft_actors.records import frozen
from raft_actors.transports.conversation import Caller, Right
from raft_actors.transports.tls.naming import NameRule, names_in

CLIENT_RULE = "uri:raft-client://{cluster}/{node}"
OPERATOR_RULE = "uri:raft-operator://{cluster}/{node}"
"""How clients and operators are named by default, as `NameRule` writes it: none of those names is a node's."""

DEFAULT_CLIENTS: Mapping[str, Collection[str]] = {
    CLIENT_RULE.replace("{node}", "*"): ("read", "write"),
    OPERATOR_RULE.replace("{node}", "*"): ("read", "write", "operate"),
}

_KINDS = ("uri", "dns", "cn")


@frozen
class ClientRule:
    """Which clients it is about, and what they may do.

    Attributes:
        kind: where their name stands, as in `NameRule`.
        pattern: the name, with `{cluster}` for the cluster's id, and one `*` for any text at most.
        rights: what they may do.
    """

    kind: str
    pattern: str
    rights: tuple[Right, ...]

    @classmethod
    def parse(cls, name: str, rights: Iterable[str]) -> ClientRule:
        """Take a rule as settings give it.

        Raises:
            ConfigurationError: it is none.
        """
        kind, colon, pattern = name.partition(":")
        if not colon or kind not in _KINDS or not pattern or pattern.count("*") > 1:
            raise ConfigurationError(
                f"clients {name!r}: write 'uri:raft-client://{{cluster}}/billing', 'dns:*.clients.example.org' or "
                "'cn:reports', with one * at most"
            )
        if isinstance(rights, str):
            raise ConfigurationError(f"the rights of clients {name!r} are several: write ({rights!r},)")
        try:
            return cls(kind, pattern, tuple(map(Right, rights)))
        except ValueError as error:
            raise ConfigurationError(
                f"the rights of clients {name!r} are of {', '.join(right.value for right in Right)}: {error}"
            ) from error

    def find(self, certificate: Mapping[str, Any], cluster: str) -> str | None:
        """The name by which a certificate is one that this is about; None: it is not."""
        before, star, after = self._parts(cluster)
        for name in names_in(certificate, self.kind):
            folded = self._folded(name)
            fits = folded.startswith(before) and folded.endswith(after) and len(folded) > len(before) + len(after)
            if fits if star else folded == before:
                return name
        return None

    def is_meant_for_nodes(self, name: str, cluster: str, nodes: NameRule) -> bool:
        """Whether a name that fits here is a node's all the same: it fits their rule, which is the more exact one."""
        before, star, after = self._parts(cluster)
        if not star or self.kind != nodes.kind or not nodes.fits([name], cluster):
            return False
        return len(before) + len(after) <= nodes.exactness(cluster)

    def _parts(self, cluster: str) -> tuple[str, str, str]:
        """What is before the star, the star, if there is one, and what is after it."""
        if self.kind == "uri":
            cluster = quote(cluster, safe="")
        return self._folded(self.pattern.replace("{cluster}", cluster)).partition("*")

    def _folded(self, name: str) -> str:
        return name.lower() if self.kind == "dns" else name


def client_rules(clients: Mapping[str, Iterable[str]]) -> tuple[ClientRule, ...]:
    """The rules as settings give them. Raises as `ClientRule.parse`."""
    return tuple(ClientRule.parse(name, rights) for name, rights in clients.items())


def caller_of(
    certificate: Mapping[str, Any], cluster: str, rules: Iterable[ClientRule], nodes: NameRule, named: str
) -> Caller:
    """Who somebody is by its certificate, and what it may do.

    That is what the first rule says that is about it, or else all, if it has a node's name. A node's name, also one
    that a rule with `*` happens to fit, gives rights only while that node is a member (`Caller.speaks_for`).

    Args:
        certificate: as `ssl.SSLSocket.getpeercert` tells it.
        cluster: which one this is.
        rules: of clients.
        nodes: how nodes are named.
        named: what to call one that has a node's name.

    Raises:
        TlsFailure: it has no name of this cluster: NO_CERTIFICATE, NO_NAME or OTHER_CLUSTER.
    """
    speaks_for = partial(nodes.speaks_for, certificate, cluster)
    for rule in rules:
        name = rule.find(certificate, cluster)
        if name is not None:
            is_node = rule.is_meant_for_nodes(name, cluster, nodes)
            return Caller(name, frozenset(rule.rights), speaks_for if is_node else None)
    nodes.check_cluster(certificate, cluster)
    return Caller(named, speaks_for=speaks_for)
