#!/usr/bin/env bash
# Who refuses a certificate under Trio or asyncio sends no alert: the other side meets the end of the connection, and no reason.
#
# Seen with:  trio 0.35.0 and the asyncio and ssl modules of CPython 3.11.7, OpenSSL 3.0.19, Linux (trustme 1.2.1 makes the certificates)
# What it does:  a server asks for client certificates. A client shows one of another authority, and is refused: the server's handshake
# raises SSLCertVerificationError. With a plain socket of `ssl` the client reads "tlsv1 alert unknown ca", as TLS has it. With
# `trio.SSLStream` and with `asyncio.start_server` the alert stays in the memory buffer into which OpenSSL wrote it: with TLS 1.3 the
# client's handshake succeeds, and its first read is an end of file like any other; with TLS 1.2 its handshake meets the end.
# It is the same the other way round, where a client refuses the server.
# Why it surprises:  RFC 8446 (6.2) has an endpoint that meets a fatal error send the alert, and the same ssl module does it. Without it an
# expired or foreign certificate looks like a peer that crashes as soon as one has connected: who operates that node is told
# nothing, and a client that tries again at once does so for ever. Only the log of the side that refused has the reason.
#
# Output seen:
#   TLS 1.3, a server of plain sockets: the client is told TLSV1_ALERT_UNKNOWN_CA
#   TLS 1.3, a server of asyncio: the client is told the end of the file
#   TLS 1.3, a server of Trio: the client is told the end of the file
#   TLS 1.2, a server of plain sockets: the client is told TLSV1_ALERT_UNKNOWN_CA
#   TLS 1.2, a server of asyncio: the client is told UNEXPECTED_EOF_WHILE_READING
#   TLS 1.2, a server of Trio: the client is told UNEXPECTED_EOF_WHILE_READING
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check trio==0.35.0 trustme==1.2.1

"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import contextlib
import socket
import ssl
import sys
import threading

import trio
import trustme

AUTHORITY, STRANGER = trustme.CA(), trustme.CA()


def contexts(version):
    for_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("localhost").configure_cert(for_server)
    AUTHORITY.configure_trust(for_server)
    for_server.verify_mode = ssl.CERT_REQUIRED
    for_client = ssl.create_default_context()
    AUTHORITY.configure_trust(for_client)
    STRANGER.issue_cert("client").configure_cert(for_client)
    for_server.maximum_version = for_client.maximum_version = version
    return for_server, for_client


def ask(port, context):
    """A client of plain sockets, the same for all servers: what it is told."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        try:
            with context.wrap_socket(connection, server_hostname="localhost") as secured:
                return "the end of the file" if secured.recv(100) == b"" else "that it is welcome"
        except ssl.SSLError as error:
            return error.reason


def plain_sockets(for_server, for_client):
    def serve():
        connection, _ = listener.accept()
        with connection, contextlib.suppress(ssl.SSLCertVerificationError):
            for_server.wrap_socket(connection, server_side=True).sendall(b"welcome")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        told = ask(listener.getsockname()[1], for_client)
        thread.join()
    return told


def of_asyncio(for_server, for_client):
    def serve(_, writer):
        writer.write(b"welcome")
        writer.close()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=for_server)
        async with server:
            return await asyncio.to_thread(ask, server.sockets[0].getsockname()[1], for_client)

    return asyncio.run(main())


def of_trio(for_server, for_client):
    async def serve(listener):
        async with trio.SSLStream(await listener.accept(), for_server, server_side=True) as stream:
            try:
                await stream.send_all(b"welcome")
            except trio.BrokenResourceError as error:
                if not isinstance(error.__cause__, ssl.SSLCertVerificationError):
                    raise

    async def main():
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listener, trio.open_nursery() as nursery:
            nursery.start_soon(serve, listener)
            return await trio.to_thread.run_sync(ask, listener.socket.getsockname()[1], for_client)

    return trio.run(main)


ALERT, END = "TLSV1_ALERT_UNKNOWN_CA", "UNEXPECTED_EOF_WHILE_READING"
SERVERS = {"plain sockets": plain_sockets, "asyncio": of_asyncio, "Trio": of_trio}
EXPECTED = {"TLS 1.3": (ALERT, "the end of the file", "the end of the file"), "TLS 1.2": (ALERT, END, END)}
VERSIONS = {"TLS 1.3": ssl.TLSVersion.TLSv1_3, "TLS 1.2": ssl.TLSVersion.TLSv1_2}
as_described = True
for version, expected in EXPECTED.items():
    told = tuple(serve(*contexts(VERSIONS[version])) for serve in SERVERS.values())
    for name, what in zip(SERVERS, told, strict=True):
        print(f"{version}, a server of {name}: the client is told {what}")
    as_described &= told == expected
sys.exit(not as_described)
PYTHON
