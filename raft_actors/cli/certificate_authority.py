"""A small CA for the nodes of one's own clusters: its files, and what stands in the certificates it issues.

`cryptography` makes keys and certificates; nothing here is cryptography of our own. Whoever has the CA's key can make a
certificate for any node: it belongs neither on the nodes nor in their backups.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from raft_actors.cli.replacing import replace_file
from raft_actors.errors import ConfigurationError, RaftError
from raft_actors.records import frozen
from raft_actors.transports.tls.naming import NameRule
from raft_actors.transports.tls.today import date_of, now_s

_CLOCKS_DIFFER_BY = timedelta(minutes=10)
"""A certificate is valid from so long ago on: the node that gets it may have a clock that is behind."""
_LONGEST_COMMON_NAME = 64  # RFC 5280, ub-common-name; counted in bytes here
_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@frozen
class AuthorityFiles:
    """Where a CA is: `ca.pem`, which every node needs, and `ca.key`, which none may have."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """The certificate."""
        return self.folder / "ca.pem"

    @property
    def key(self) -> Path:
        """The key."""
        return self.folder / "ca.key"


@frozen
class Authority:
    """A CA that can issue certificates."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = attrs.field(repr=False)

    @classmethod
    def create(cls, files: AuthorityFiles, name: str, days: int) -> Authority:
        """Make a CA and its files.

        Raises:
            ConfigurationError: there is one already, or the name can't be one.
        """
        for path in (files.certificate, files.key):
            if path.exists():
                raise ConfigurationError(f"{path} is there already: choose another folder for another CA")
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(name)
        made = (
            _builder(subject, subject, key.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage("key_cert_sign", "crl_sign"), critical=True)
            .sign(key, SHA256())
        )
        files.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(files.key, _pem(key))
        replace_file(files.certificate, made.public_bytes(Encoding.PEM), mode=0o644)
        return cls(made, key)

    @classmethod
    def open(cls, files: AuthorityFiles) -> Authority:
        """Open a CA.

        Raises:
            RaftError: there is none, or its files are damaged.
        """
        try:
            certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
            key = load_pem_private_key(files.key.read_bytes(), None)
        except OSError as error:
            raise RaftError(
                f"{error.filename}: {error.strerror}: is this the folder that 'certs init' made?"
            ) from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it is encrypted
            raise RaftError(f"{files.folder}: ca.pem and ca.key are not as 'certs init' made them: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise RaftError(f"{files.key} is not the key of {files.certificate}")
        return cls(certificate, key)


@frozen(kw_only=True)
class Order:
    """A node's certificate to be made.

    Attributes:
        cluster, node: whose it is.
        hosts: names and numbers at which Redis clients reach it: they compare these.
        rule: how the node's name is written.
        days: how long it is valid. It never outlives its CA.
    """

    cluster: str
    node: str
    hosts: Sequence[str]
    rule: NameRule
    days: int


def issue(authority: Authority, order: Order, folder: Path, *, renew: bool) -> tuple[Path, Path]:
    """Make a certificate and its key, and return their files: `NODE.pem` and `NODE.key`.

    A node that runs takes new files as they are put in place, the key first.

    Raises:
        ConfigurationError: they are there already, and are not to be renewed; or a name can't stand in a certificate.
        RaftError: the CA has ended.
    """
    stem = "".join(character if character.isalnum() or character in "-_." else "_" for character in order.node)
    certificate_file, key_file = folder / f"{stem}.pem", folder / f"{stem}.key"
    if not renew:
        for path in (certificate_file, key_file):
            if path.exists():
                raise ConfigurationError(f"{path} is there already: add --renew to put a new one in its place")
    key = ec.generate_private_key(ec.SECP256R1())
    made = _sign(authority, order, key.public_key())
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(key_file, _pem(key))
    replace_file(certificate_file, made.public_bytes(Encoding.PEM), mode=0o644)
    return certificate_file, key_file


def _sign(authority: Authority, order: Order, public_key: ec.EllipticCurvePublicKey) -> x509.Certificate:
    name = order.rule.name_of(order.cluster, order.node)
    shown = order.node.encode()[:_LONGEST_COMMON_NAME].decode(errors="ignore")  # the name that counts is elsewhere
    subject = _subject(name if order.rule.kind == "cn" else shown)
    issuer = authority.certificate
    if issuer.not_valid_after_utc.timestamp() <= now_s():
        raise RaftError(
            f"the CA's certificate has ended, on {date_of(issuer.not_valid_after_utc.timestamp())}: make another CA "
            "('certs init'), and give its ca.pem to all nodes beside the old one before you issue from it"
        )
    builder = (
        _builder(subject, issuer.subject, public_key, order.days, issuer.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage("digital_signature"), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(_key_identifier(issuer, authority.key), critical=False)
    )
    names = list(_alternative_names(order, name))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(authority.key, SHA256())


def _key_identifier(issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    try:
        found = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:  # a CA that others made may have none
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found.value)


def _alternative_names(order: Order, name: str) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    try:
        if order.rule.kind == "uri":
            found.append(x509.UniformResourceIdentifier(name))
        elif order.rule.kind == "dns":
            found.append(x509.DNSName(name))
        for host in order.hosts:
            try:
                found.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                found.append(x509.DNSName(host))
    except ValueError as error:
        raise ConfigurationError(f"a certificate can't hold one of the names: {error}") from error
    return found


def _subject(name: str) -> x509.Name:
    try:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    except ValueError as error:
        raise ConfigurationError(f"{name!r} can't be the name in a certificate: {error}") from error


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    days: int,
    latest: datetime | None = None,
) -> x509.CertificateBuilder:
    now = datetime.fromtimestamp(now_s(), UTC).replace(microsecond=0)
    end = now + timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER_BY)
        .not_valid_after(end if latest is None else min(end, latest))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*allowed: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{usage: usage in allowed for usage in _USAGES})


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
