"""What a client may do, by the names in its certificate."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import quote

import attrs

from raft_actors.errors import ConfigurationError
from raft_actors.transports.conversation import Right
from raft_actors.transports.tls.naming import names_in

CLIENT_NAME = "uri:raft-client://{cluster}/"
"""How the names of clients begin by default: none of them is a node's, nor an operator's."""

DEFAULT_CLIENTS: Mapping[str, Collection[str]] = {f"{CLIENT_NAME}*": ("read", "write")}

_KINDS = ("uri", "dns", "cn")


@attrs.frozen
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
        if self.kind == "uri":
            cluster = quote(cluster, safe="")
        before, star, after = self._folded(self.pattern.replace("{cluster}", cluster)).partition("*")
        for name in names_in(certificate, self.kind):
            folded = self._folded(name)
            fits = folded.startswith(before) and folded.endswith(after) and len(folded) > len(before) + len(after)
            if fits if star else folded == before:
                return name
        return None

    def _folded(self, name: str) -> str:
        return name.lower() if self.kind == "dns" else name


def client_rules(clients: Mapping[str, Iterable[str]]) -> tuple[ClientRule, ...]:
    """The rules as settings give them. Raises as `ClientRule.parse`."""
    return tuple(ClientRule.parse(name, rights) for name, rights in clients.items())


def rights_of(
    certificate: Mapping[str, Any], cluster: str, rules: Iterable[ClientRule]
) -> tuple[str, frozenset[Right]] | None:
    """Who a client is by its certificate, and what it may do by the first rule that is about it; None: none is."""
    for rule in rules:
        name = rule.find(certificate, cluster)
        if name is not None:
            return name, frozenset(rule.rights)
    return None
