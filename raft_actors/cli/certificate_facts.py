"""What a person wants to know of a certificate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
from cryptography import x509

from raft_actors.records import frozen
from raft_actors.transports.tls.today import date_of


@frozen
class CertificateFacts:
    """What one certificate says; moments in seconds since 1970."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    uses: tuple[str, ...]
    is_ca: bool
    starts_at: float
    expires_at: float

    def as_json(self) -> dict[str, Any]:
        """What `certs show --json` prints."""
        return attrs.asdict(self)

    def lines(self, days_left: float) -> Iterator[str]:
        """What `certs show` prints."""
        yield f"issued by {self.issuer}" + (", itself a CA" if self.is_ca else "")
        if self.names:
            yield "for " + ", ".join(self.names)
        if self.uses:
            yield "to be used as " + ", ".join(self.uses)
        yield f"valid from {date_of(self.starts_at)}"
        yield f"valid until {date_of(self.expires_at)}: " + (
            f"{days_left:.0f} days" if days_left > 0 else "it has ended"
        )


def facts_of(pem: bytes) -> list[CertificateFacts]:
    """What the certificates in a PEM file say.

    Raises:
        ValueError: there are none, or one is damaged.
    """
    return [_facts(certificate) for certificate in x509.load_pem_x509_certificates(pem)]


def _facts(certificate: x509.Certificate) -> CertificateFacts:
    extensions = certificate.extensions
    names: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    is_ca = False
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            names = tuple(map(_name, value))
        elif isinstance(value, x509.ExtendedKeyUsage):
            uses = tuple(_use(use.dotted_string) for use in value)
        elif isinstance(value, x509.BasicConstraints):
            is_ca = value.ca
    return CertificateFacts(
        certificate.subject.rfc4514_string(),
        certificate.issuer.rfc4514_string(),
        names,
        uses,
        is_ca,
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
    )


_USES: dict[str, str] = {"1.3.6.1.5.5.7.3.1": "server", "1.3.6.1.5.5.7.3.2": "client"}


def _use(number: str) -> str:
    return _USES.get(number, number)


def _name(name: x509.GeneralName) -> str:
    kinds: dict[type[x509.GeneralName], str] = {
        x509.DNSName: "DNS",
        x509.UniformResourceIdentifier: "URI",
        x509.IPAddress: "IP",
    }
    return f"{kinds.get(type(name), type(name).__name__)}:{name.value}"
