"""Certificates as files, and what is made of them: contexts of the ssl module that were tried on each other.

A set of files is taken only whole: the key fits the certificate, the certificate is valid today, for this use, and
issued by one of the CAs, and two ends that hold it shake hands with each other. So a broken file, or a set that
somebody is just replacing piece by piece, is found before any connection needs it.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any, NoReturn

import attrs

from raft_actors.errors import CertificateError
from raft_actors.records import frozen
from raft_actors.transports.tls.failures import failure_of


def _path(value: str | os.PathLike[str]) -> Path:
    return Path(value)


def _path_or_none(value: str | os.PathLike[str] | None) -> Path | None:
    return None if value is None else Path(value)


@frozen(kw_only=True)
class CertificateFiles:
    """Where the certificates of one side are, all in PEM.

    Attributes:
        certificate: its certificate, and after it those of intermediate CAs, if any.
        key: the private key. Nobody but the user of the service should be able to read it.
        ca: the certificates of the CAs that others' certificates have to be issued by: while one CA follows another,
            both. None: others are not asked for certificates.
        key_password: of the key, where it is encrypted.
    """

    certificate: Path = attrs.field(converter=_path)
    key: Path = attrs.field(converter=_path)
    ca: Path | None = attrs.field(default=None, converter=_path_or_none)
    key_password: str | None = attrs.field(default=None, repr=False)

    def look(self) -> tuple[object, ...]:
        """What changes when a file does. A file that is not there is one that changed."""
        seen: list[object] = []
        for path in (self.certificate, self.key, self.ca):
            if path is not None:
                try:
                    found = path.stat()
                except OSError as error:
                    seen.append(error.errno)
                except ValueError as error:  # it can't be a path, which loading it tells
                    seen.append(str(error))
                else:
                    seen.append((found.st_mtime_ns, found.st_size, found.st_ino))
        return tuple(seen)


@frozen
class Credentials:
    """What one set of files has become.

    Attributes:
        server, client: contexts for connections that come in and go out. TLS 1.3; sessions are never resumed, so nobody
            gets in on what an older set of files allowed.
        certificate: what this side's certificate says, as `ssl.SSLSocket.getpeercert` tells it.
        expires_at: when it ends, in seconds since 1970.
        exposed_key: the key can be read by other users of this machine.
    """

    server: ssl.SSLContext = attrs.field(repr=False)
    client: ssl.SSLContext = attrs.field(repr=False)
    certificate: dict[str, Any]
    expires_at: float
    exposed_key: bool = False

    @classmethod
    def load(cls, files: CertificateFiles) -> Credentials:
        """Read the files and try them. Blocks; takes some milliseconds.

        Raises:
            CertificateError: they are of no use; it names the file and what is wrong.
        """
        try:
            server, client = make_contexts(files)
            certificate = _try(files, server, client)
            expires_at = float(ssl.cert_time_to_seconds(str(certificate["notAfter"])))
        except CertificateError:
            raise
        except Exception as error:
            # Files hold any bytes, and what Python makes of odd ones differs: nothing of it may end who has good ones.
            raise CertificateError(f"{_names(files)}: {type(error).__name__}: {error}") from error
        return cls(server, client, certificate, expires_at, _is_exposed(files.key))


def make_contexts(files: CertificateFiles) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The contexts for connections that come in and go out, not yet tried on each other.

    Raises:
        CertificateError: a file can't be read or does not fit another.
    """
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.num_tickets = 0
    for context in (server, client):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # names are checked by the rule of the cluster, in both directions
        _load_chain(context, files)
        if files.ca is None:
            context.verify_mode = ssl.CERT_NONE
        else:
            context.verify_mode = ssl.CERT_REQUIRED
            _load_ca(context, files.ca)
    return server, client


def _load_chain(context: ssl.SSLContext, files: CertificateFiles) -> None:
    for path in (files.certificate, files.key):
        _check_readable(path)

    def password() -> str:
        # Without this function OpenSSL would ask on the terminal.
        if files.key_password is None:
            raise CertificateError(f"{files.key}: the key is encrypted: give its password, or a key without one")
        return files.key_password

    try:
        context.load_cert_chain(files.certificate, files.key, password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificateError(
                f"{files.key} is not the key of {files.certificate}: take the two that were issued together"
            ) from error
        _refuse_files(f"{files.certificate} and {files.key}", error)
    except (ValueError, OSError) as error:  # a password that is too long; a file that has just gone
        _refuse_files(f"{files.certificate} and {files.key}", error)


def _load_ca(context: ssl.SSLContext, ca: Path) -> None:
    _check_readable(ca)
    try:
        context.load_verify_locations(ca)
        # As bytes: what a CA is called does not matter, and Python can't decode every name that OpenSSL takes.
        found = context.get_ca_certs(binary_form=True)
    except (ValueError, OSError) as error:  # ssl.SSLError is an OSError
        _refuse_files(str(ca), error)
    if not found:
        raise CertificateError(f"{ca} has certificates, and none of them is a CA's: name the file of the CA")


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}") from error


def _refuse_files(names: str, error: Exception) -> NoReturn:
    reason = error.reason if isinstance(error, ssl.SSLError) and error.reason else str(error)
    what = reason.lower().replace("_", " ")
    if isinstance(error, ssl.SSLError):
        what = f"no PEM that OpenSSL takes ({what})"
    raise CertificateError(f"{names}: {what}") from error


def _try(files: CertificateFiles, server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, Any]:
    """Have two ends with these certificates shake hands; return what the certificate says."""
    try:
        if files.ca is None:
            # Whoever connects knows the CA; here it is enough that the certificate is in order by itself.
            client = _trusting_alone(server)
        said: dict[str, Any] = dict(_shake_hands(server, client).getpeercert() or {})
    except (ssl.SSLError, ValueError) as error:
        found = failure_of(error) if isinstance(error, ssl.SSLError) else error
        raise CertificateError(f"{files.certificate}: {found}{_remedy(files)}") from error
    if not said:
        raise CertificateError(f"{files.certificate}: two ends that hold it show each other no certificate")
    return said


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """Have them shake hands; return the client's end."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller = client.wrap_bio(back, there, server_side=False)
    pending = [caller, server.wrap_bio(there, back, server_side=True)]
    for _ in range(10):  # it takes two rounds
        for end in tuple(pending):
            try:
                end.do_handshake()
                pending.remove(end)
            except ssl.SSLWantReadError:
                continue
    if pending:
        raise ValueError("two ends that hold it don't agree on TLS 1.3")
    return caller


def _trusting_alone(server: ssl.SSLContext) -> ssl.SSLContext:
    """A client that trusts the server's own certificate: as OpenSSL took it from the file, whatever else that holds."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    shown = _shake_hands(server, client).getpeercert(binary_form=True)
    client.verify_mode = ssl.CERT_REQUIRED
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cadata=shown or b"")
    return client


def _names(files: CertificateFiles) -> str:
    return " or ".join(str(path) for path in (files.certificate, files.key, files.ca) if path is not None)


def _remedy(files: CertificateFiles) -> str:
    return "" if files.ca is None else f"; the CAs are those of {files.ca}"


def _is_exposed(key: Path) -> bool:
    try:
        return os.name == "posix" and bool(key.stat().st_mode & 0o007)
    except OSError:
        return False
