#!/usr/bin/env bash
# `load_cert_chain` on an SSLContext in use: one that fails takes the old certificate away, one that succeeds may leave it in use.
#
# Seen with:  the ssl module of CPython 3.11.7, OpenSSL 3.0.19, Linux (trustme 1.2.1 makes the certificates)
# What it does:  a server's context is given a new certificate by another call of `load_cert_chain`, as is often advised for a rotation
# without a restart. (1) The new certificate is there and its key is not yet: the call raises KEY_VALUES_MISMATCH, as it should. But the old
# pair is of no use any more either, and every handshake fails from then on. (2) The old pair is of an elliptic curve and the new one is RSA:
# nothing is raised, and clients are still shown the old certificate: OpenSSL keeps one pair of each kind, and shows a client the kind that
# it prefers, which is the elliptic curve by default. The other way round the new one is shown.
# Why it surprises:  "the new files are of no use, the old ones stay" is what a program has in mind that catches the error and goes on. It has
# cut itself off instead, by two files that were replaced one after the other. And in the second case the rotation is reported
# as done, `openssl x509` on the file agrees, and the cluster stops on the day when the old certificate expires. What is safe is a new context
# for each load, which takes the old one's place once it is known to work.
#
# Output seen:
#   a new certificate with the old key: KEY_VALUES_MISMATCH; a handshake before: old, after: NO_SHARED_CIPHER
#   from ECDSA to ECDSA: no error; a handshake before: old, after: new
#   from ECDSA to RSA: no error; a handshake before: old, after: old
#   from RSA to ECDSA: no error; a handshake before: old, after: new
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check trustme==1.2.1

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import ssl
import sys
from pathlib import Path

import trustme

FOLDER = Path(sys.argv[1])
AUTHORITY = trustme.CA()
ECDSA, RSA = trustme.KeyType.ECDSA, trustme.KeyType.RSA


def issue(name, kind):
    issued = AUTHORITY.issue_cert("localhost", common_name=name, key_type=kind)
    certificate, key = FOLDER / f"{name}.pem", FOLDER / f"{name}.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return certificate, key


def shown(for_server):
    """The name in the certificate that a client is shown, or why the handshake fails."""
    for_client = ssl.create_default_context()
    AUTHORITY.configure_trust(for_client)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = for_client.wrap_bio(back, there, server_hostname="localhost")
    server = for_server.wrap_bio(there, back, server_side=True)
    for end in (client, server, client):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            return error.reason
    return dict(part for (part,) in client.getpeercert()["subject"])["commonName"]


def rotate(title, before, after, keep_the_key=False):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*issue("old", before))
    first = shown(context)
    certificate, key = issue("new", after)
    try:
        context.load_cert_chain(certificate, FOLDER / "old.key" if keep_the_key else key)
        raised = "no error"
    except ssl.SSLError as error:
        raised = error.reason
    second = shown(context)
    print(f"{title}: {raised}; a handshake before: {first}, after: {second}")
    return raised, first, second


outcomes = [
    rotate("a new certificate with the old key", ECDSA, ECDSA, keep_the_key=True),
    rotate("from ECDSA to ECDSA", ECDSA, ECDSA),
    rotate("from ECDSA to RSA", ECDSA, RSA),
    rotate("from RSA to ECDSA", RSA, ECDSA),
]
expected = [
    ("KEY_VALUES_MISMATCH", "old", "NO_SHARED_CIPHER"),
    ("no error", "old", "new"),
    ("no error", "old", "old"),
    ("no error", "old", "new"),
]
sys.exit(outcomes != expected)
PYTHON
