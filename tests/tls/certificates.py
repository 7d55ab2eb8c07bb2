"""Certificates for tests, in order and in every way out of it."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from raft_actors.transports.tls.credentials import CertificateFiles

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
BOTH = (SERVER, CLIENT)
DAY = timedelta(days=1)


@functools.cache
def key_number(_number: int) -> ec.EllipticCurvePrivateKey:
    """A key; the same for the same number, because they take a while to make in numbers."""
    return ec.generate_private_key(ec.SECP256R1())


def pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@attrs.frozen
class Issuer:
    """A CA, on its own or below another."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...] = ()
    """Its own certificate and those above, without the topmost: what goes with the certificates that it issues."""

    @classmethod
    def make(
        cls, name: str = "test CA", above: Issuer | None = None, key: int = 0, path_length: int | None = None
    ) -> Issuer:
        private = key_number(key)
        issuer, signer = (named(name), private) if above is None else (above.certificate.subject, above.key)
        made = (
            builder(named(name), issuer, private, signer)
            .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
            .add_extension(_SIGNS_CERTIFICATES, critical=True)
            .sign(signer, SHA256())
        )
        return cls(made, private, () if above is None else (made, *above.chain))

    def issue(
        self,
        *uris: str,
        dns: tuple[str, ...] = (),
        common_name: str = "node",
        uses: tuple[x509.ObjectIdentifier, ...] = BOTH,
        starts: timedelta = -DAY,
        ends: timedelta = 100 * DAY,
        key: int = 1,
    ) -> Leaf:
        private = key_number(key)
        made = builder(named(common_name), self.certificate.subject, private, self.key, starts, ends)
        names = [*map(x509.UniformResourceIdentifier, uris), *map(x509.DNSName, dns)]
        if names:
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if uses:
            made = made.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        return Leaf((made.sign(self.key, SHA256()), *self.chain), private)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


@attrs.frozen
class Leaf:
    """A certificate with its chain, and its key."""

    chain: tuple[x509.Certificate, ...]
    key: ec.EllipticCurvePrivateKey

    def write(self, folder: Path, name: str, *trusted: Issuer) -> CertificateFiles:
        """Write it, its key and the CAs that it trusts; return where."""
        files = CertificateFiles(
            certificate=folder / f"{name}.pem", key=folder / f"{name}.key", ca=folder / f"{name}.ca.pem"
        )
        assert files.ca is not None
        files.certificate.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in self.chain))
        files.key.touch(0o600)
        files.key.write_bytes(pem_of_key(self.key))
        files.ca.write_bytes(b"".join(issuer.pem for issuer in trusted))
        return files


def builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    starts: timedelta = -DAY,
    ends: timedelta = 1000 * DAY,
) -> x509.CertificateBuilder:
    """With what RFC 5280 asks for and, from Python 3.13 on, `ssl.create_default_context` insists on."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + starts)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )


@functools.cache
def authority() -> Issuer:
    """The CA that tests trust."""
    return Issuer.make()


@functools.cache
def stranger() -> Issuer:
    """One that they don't."""
    return Issuer.make("stranger", key=2)


def name_of(node: str, cluster: str = "test") -> str:
    return f"raft://{cluster}/{node}"


def node_files(folder: Path, node: str, *, cluster: str = "test", key: int = 1) -> CertificateFiles:
    """A node's files as they should be."""
    return authority().issue(name_of(node, cluster), key=key).write(folder, node, authority())
