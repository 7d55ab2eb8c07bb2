"""For whom a certificate speaks: which of its names is a node's, by one rule for the whole cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from raft_actors.errors import ConfigurationError
from raft_actors.records import frozen
from raft_actors.transports.tls.failures import TlsFailure, Trouble

DEFAULT_RULE = "uri:raft://{cluster}/{node}"

_KINDS = ("uri", "dns", "cn")
_EXAMPLES = "write 'uri:raft://{cluster}/{node}', 'dns:{node}.raft.example.org' or 'cn:{node}', say"
_MOST_SHOWN = 3


@frozen
class NameRule:
    """How the name of a node is written in its certificate.

    Attributes:
        kind: where it stands: `uri` and `dns` are kinds of subject alternative names, `cn` the subject's common name.
        pattern: what it is, with `{node}` and `{cluster}` for the ids. Percent signs stand for what an URI can't hold.
    """

    kind: str
    pattern: str

    @classmethod
    def parse(cls, text: str) -> NameRule:
        """Take a rule apart: a kind, a colon and a pattern.

        Raises:
            ConfigurationError: it is no rule, or one by which every node would have the same name.
        """
        kind, colon, pattern = text.partition(":")
        if not colon or kind not in _KINDS:
            raise ConfigurationError(f"rule for names {text!r} begins with none of {', '.join(_KINDS)}: {_EXAMPLES}")
        rest = pattern.replace("{cluster}", "").replace("{node}", "")
        if "{node}" not in pattern or "{" in rest or "}" in rest:
            raise ConfigurationError(
                f"rule for names {text!r} must have {{node}}, and may have {{cluster}}: {_EXAMPLES}"
            )
        return cls(kind, pattern)

    def __str__(self) -> str:
        """Return the rule as `parse` takes it."""
        return f"{self.kind}:{self.pattern}"

    def name_of(self, cluster: str, node: str) -> str:
        """The name that this node's certificate has to have."""
        if self.kind == "uri":
            # Quoted, a slash in an id can't make one node's name another's.
            cluster, node = quote(cluster, safe=""), quote(node, safe="")
        # In one pass: an id may be "{node}".
        parts = [part.replace("{cluster}", cluster) for part in self.pattern.split("{node}")]
        return node.join(parts)

    def check(self, certificate: Mapping[str, Any], cluster: str, node: str) -> None:
        """See that a certificate speaks for a node.

        Args:
            certificate: as `ssl.SSLSocket.getpeercert` tells it.
            cluster, node: whose it should be.

        Raises:
            TlsFailure: it does not: NO_CERTIFICATE, NO_NAME, OTHER_CLUSTER or OTHER_NODE.
        """
        if not certificate:
            raise TlsFailure(Trouble.NO_CERTIFICATE)
        if self.speaks_for(certificate, cluster, node):
            return
        wanted = self._folded(self.name_of(cluster, node))
        names = list(names_in(certificate, self.kind))
        shown = ", ".join(map(repr, names[:_MOST_SHOWN])) + (", …" if len(names) > _MOST_SHOWN else "")
        if not names:
            raise TlsFailure(Trouble.NO_NAME, f"none of the kind {self.kind!r}, and {wanted!r} was expected")
        trouble = Trouble.OTHER_NODE if self.fits(names, cluster) else Trouble.OTHER_CLUSTER
        raise TlsFailure(trouble, f"it is for {shown}, and {wanted!r} was expected")

    def speaks_for(self, certificate: Mapping[str, Any], cluster: str, node: str) -> bool:
        """Whether a certificate is this node's."""
        wanted = self._folded(self.name_of(cluster, node))
        return any(self._folded(name) == wanted for name in names_in(certificate, self.kind))

    def check_cluster(self, certificate: Mapping[str, Any], cluster: str) -> None:
        """See that a certificate has a name of this cluster, be it a node's or not, as far as the pattern tells.

        Raises:
            TlsFailure: it has none: NO_CERTIFICATE, NO_NAME or OTHER_CLUSTER.
        """
        if not certificate:
            raise TlsFailure(Trouble.NO_CERTIFICATE)
        names = list(names_in(certificate, self.kind))
        if not names:
            raise TlsFailure(Trouble.NO_NAME, f"none of the kind {self.kind!r}")
        if not self.fits(names, cluster):
            raise TlsFailure(Trouble.OTHER_CLUSTER, f"none of them is one of cluster {cluster!r} by the rule {self}")

    def check_any(self, certificate: Mapping[str, Any]) -> None:
        """See that a certificate has the name of a node, of whichever cluster, as far as the pattern tells.

        Raises:
            TlsFailure: it has none: NO_CERTIFICATE or NO_NAME.
        """
        if not certificate:
            raise TlsFailure(Trouble.NO_CERTIFICATE)
        starts, ends = self._folded(self.pattern.partition("{")[0]), self._folded(self.pattern.rpartition("}")[2])
        names = map(self._folded, names_in(certificate, self.kind))
        if not any(name.startswith(starts) and name.endswith(ends) for name in names):
            raise TlsFailure(Trouble.NO_NAME, f"none of them is a node's by the rule {self}")

    def exactness(self, cluster: str) -> int:
        """How much of a name the pattern lays down, in characters: of two that fit one, the more exact is meant."""
        return len(self.name_of(cluster, ""))

    def fits(self, names: Iterable[str], cluster: str) -> bool:
        """Whether one of these names could be a node's of this cluster, as far as the pattern tells."""
        before, _, after = self.pattern.partition("{node}")
        if self.kind == "uri":
            cluster = quote(cluster, safe="")
        starts, ends = (self._folded(part.replace("{cluster}", cluster)) for part in (before, after))
        return any(self._folded(name).startswith(starts) and self._folded(name).endswith(ends) for name in names)

    def _folded(self, name: str) -> str:
        return name.lower() if self.kind == "dns" else name


def names_in(certificate: Mapping[str, Any], kind: str) -> Iterator[str]:
    """The names of a kind (see `NameRule`) that a certificate has."""
    if kind == "cn":
        for part in certificate.get("subject", ()):
            for key, value in part:
                if key == "commonName":
                    yield value
    else:
        for key, value in certificate.get("subjectAltName", ()):
            if key.lower() == kind:
                yield value
