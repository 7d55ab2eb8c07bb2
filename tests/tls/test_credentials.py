"""Files are taken whole or not at all, and what is wrong with them is said with the file's name."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from raft_actors.errors import CertificateError
from raft_actors.transports.tls.credentials import CertificateFiles, Credentials
from tests.tls.certificates import (
    CLIENT,
    DAY,
    SERVER,
    Issuer,
    authority,
    builder,
    key_number,
    name_of,
    named,
    node_files,
    pem_of_key,
    stranger,
)


def test_files_in_order_are_taken(tmp_path: Path) -> None:
    credentials = Credentials.load(node_files(tmp_path, "n1"))
    assert credentials.certificate["subjectAltName"] == (("URI", "raft://test/n1"),)
    assert credentials.expires_at == ssl.cert_time_to_seconds(credentials.certificate["notAfter"])
    for context in (credentials.server, credentials.client):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert credentials.server.num_tickets == 0
    assert not credentials.exposed_key


def spoil_key(files: CertificateFiles) -> None:
    files.key.write_bytes(b"no key")


def other_key(files: CertificateFiles) -> None:
    files.key.write_bytes(pem_of_key(key_number(7)))


def encrypted_key(files: CertificateFiles) -> None:
    secret = BestAvailableEncryption(b"secret")
    files.key.write_bytes(key_number(1).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))


def torn_certificate(files: CertificateFiles) -> None:
    files.certificate.write_bytes(files.certificate.read_bytes()[:200])


def no_ca(files: CertificateFiles) -> None:
    assert files.ca is not None
    files.ca.unlink()


def empty_ca(files: CertificateFiles) -> None:
    assert files.ca is not None
    files.ca.write_bytes(b"")


def leaf_as_ca(files: CertificateFiles) -> None:
    assert files.ca is not None
    files.ca.write_bytes(files.certificate.read_bytes())


def folder_as_key(files: CertificateFiles) -> None:
    files.key.unlink()
    files.key.mkdir()


SPOILERS: dict[Callable[[CertificateFiles], None], str] = {
    spoil_key: r"n1.pem and .*n1.key: no PEM that OpenSSL takes",
    other_key: r"n1.key is not the key of .*n1.pem",
    encrypted_key: r"n1.key: the key is encrypted: give its password",
    torn_certificate: r"n1.pem and .*n1.key: no PEM",
    no_ca: r"n1.ca.pem: No such file",
    empty_ca: r"n1.ca.pem: no PEM",
    leaf_as_ca: r"n1.ca.pem has certificates, and none of them is a CA's",
    folder_as_key: r"n1.key: Is a directory",
}


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_damage_is_told_by_the_name_of_the_file(tmp_path: Path, spoil: Callable[[CertificateFiles], None]) -> None:
    files = node_files(tmp_path, "n1")
    spoil(files)
    with pytest.raises(CertificateError, match=SPOILERS[spoil]):
        Credentials.load(files)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: authority().issue(name_of("n1"), ends=-DAY / 2), "has expired"),
        (lambda: authority().issue(name_of("n1"), starts=DAY), "is not valid yet"),
        (lambda: stranger().issue(name_of("n1")), "was not issued by a CA that this side trusts"),
        (lambda: authority().issue(name_of("n1"), uses=(SERVER,)), "is not for this use"),
        (lambda: authority().issue(name_of("n1"), uses=(CLIENT,)), "is not for this use"),
    ],
    ids=["expired", "not yet valid", "wrong CA", "only server", "only client"],
)
def test_a_certificate_that_others_would_refuse_is_refused_at_home(
    tmp_path: Path, make: Callable[[], object], expected: str
) -> None:
    leaf = make()
    files = leaf.write(tmp_path, "n1", authority())  # type: ignore[attr-defined]
    with pytest.raises(CertificateError, match=rf"n1\.pem: its certificate {expected}.*the CAs are those of .*n1\.ca"):
        Credentials.load(files)


def test_an_intermediate_ca_comes_with_the_certificate(tmp_path: Path) -> None:
    below = Issuer.make("below", authority(), key=3)
    files = below.issue(name_of("n1")).write(tmp_path, "n1", authority())
    Credentials.load(files)
    without = attrs.evolve(below, chain=())
    with pytest.raises(CertificateError, match="not issued by a CA that this side trusts"):
        Credentials.load(without.issue(name_of("n1")).write(tmp_path, "n1", authority()))


def test_a_key_with_a_password(tmp_path: Path) -> None:
    files = node_files(tmp_path, "n1")
    encrypted_key(files)
    Credentials.load(attrs.evolve(files, key_password="secret"))
    with pytest.raises(CertificateError, match="no PEM"):
        Credentials.load(attrs.evolve(files, key_password="wrong"))
    assert "secret" not in repr(attrs.evolve(files, key_password="secret"))


def test_a_key_that_anybody_can_read_is_told(tmp_path: Path) -> None:
    files = node_files(tmp_path, "n1")
    files.key.chmod(0o604)
    assert Credentials.load(files).exposed_key


def test_without_a_ca_others_are_not_asked_for_certificates(tmp_path: Path) -> None:
    files = attrs.evolve(stranger().issue("a:b", uses=(SERVER,)).write(tmp_path, "n1"), ca=None)
    credentials = Credentials.load(files)
    assert credentials.server.verify_mode is ssl.CERT_NONE
    expired = stranger().issue("a:b", ends=-DAY / 2).write(tmp_path, "n2")
    with pytest.raises(CertificateError, match="has expired"):
        Credentials.load(attrs.evolve(expired, ca=None))


def test_a_ca_with_a_name_that_is_no_text_is_taken_as_openssl_takes_it(tmp_path: Path) -> None:
    files = node_files(tmp_path, "n1")
    assert files.ca is not None
    uri = b"http://\xff/"
    key = key_number(5)
    alternative = bytes([0x30, len(uri) + 2, 0x86, len(uri)]) + uri
    odd = (
        builder(named("odd"), named("odd"), key, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), alternative), critical=False)
        .sign(key, SHA256())
    )
    files.ca.write_bytes(files.ca.read_bytes() + odd.public_bytes(Encoding.PEM))
    assert len(Credentials.load(files).client.get_ca_certs(binary_form=True)) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pem: "Bag Attributes\n    friendlyName: Jörg\n".encode() + pem,
        lambda pem: pem.replace(b"CERTIFICATE-", b"X509 CERTIFICATE-"),
        lambda pem: b"-----END CERTIFICATE-----\n" + pem,
    ],
    ids=["text before it", "another word for it", "an end before it"],
)
@pytest.mark.parametrize("with_ca", [True, False], ids=["with a CA", "without"])
def test_what_openssl_takes_for_a_certificate_is_one(
    tmp_path: Path, spoil: Callable[[bytes], bytes], with_ca: bool
) -> None:
    files = node_files(tmp_path, "n1")
    files.certificate.write_bytes(spoil(files.certificate.read_bytes()))
    Credentials.load(files if with_ca else attrs.evolve(files, ca=None))


def test_whatever_goes_wrong_with_files_is_told_by_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = node_files(tmp_path, "n1")
    impossible = attrs.evolve(files, key=Path("no\0path"))
    impossible.look()
    with pytest.raises(CertificateError, match=r"n1\.pem or no\0path or .*n1\.ca\.pem: ValueError: embedded null"):
        Credentials.load(impossible)

    def fail(_time: str) -> int:
        raise LookupError("no such month")

    monkeypatch.setattr(ssl, "cert_time_to_seconds", fail)
    with pytest.raises(CertificateError, match=r"n1\.pem or .*n1\.key or .*n1\.ca\.pem: LookupError: no such month"):
        Credentials.load(files)


def test_a_file_that_changes_or_goes_looks_different(tmp_path: Path) -> None:
    files = node_files(tmp_path, "n1")
    looks = {files.look(), files.look()}
    assert len(looks) == 1
    files.key.write_bytes(b"longer than it was before, or at least another length")
    looks.add(files.look())
    files.key.unlink()
    looks.add(files.look())
    assert len(looks) == 3
