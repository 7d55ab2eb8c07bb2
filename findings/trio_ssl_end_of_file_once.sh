#!/usr/bin/env bash
# trio.SSLStream with https_compatible tells the end of file once; who asks again gets an error.
#
# Seen with:  trio 0.35.0 (trustme 1.2.1 makes the certificates)
# What it does:  the other side closes the connection without `close_notify`, as HTTPS servers do and as
# `https_compatible=True` allows. The first `receive_some` returns b"", the end of file; the second one raises
# BrokenResourceError. Trio's SocketStream and its streams in memory return b"" each time.
# Why it surprises:  `trio.abc.ReceiveStream` describes b"" as the end of file, and code that is written against it (a buffered
# reader that is asked for another line after the last, two tasks of a protocol, `async for` begun again) works on every stream
# but this one, where an end that was clean turns into a broken connection.
#
# Output seen:
#   SSLStream, https_compatible: b'' BrokenResourceError
#   the stream beneath it, by itself: b'' b''
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check trio==0.35.0 trustme==1.2.1

"$folder/venv/bin/python" - <<'PYTHON'
import ssl
import sys

import trio
import trio.testing
import trustme


async def twice(stream):
    outcomes = []
    for _ in range(2):
        try:
            outcomes.append(repr(bytes(await stream.receive_some(100))))
        except trio.BrokenResourceError as error:
            outcomes.append(type(error).__name__)
    return outcomes


async def over_tls():
    authority = trustme.CA()
    for_server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(for_server)
    for_client = ssl.create_default_context()
    authority.configure_trust(for_client)
    left, right = trio.testing.memory_stream_pair()
    server = trio.SSLStream(left, for_server, server_side=True, https_compatible=True)
    client = trio.SSLStream(right, for_client, server_hostname="localhost", https_compatible=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.do_handshake)
        nursery.start_soon(client.do_handshake)
    await server.send_all(b"the answer")
    if await client.receive_some(100) != b"the answer":
        sys.exit("what was sent did not arrive")
    await server.aclose()
    return await twice(client)


async def plain():
    left, right = trio.testing.memory_stream_pair()
    await left.aclose()
    return await twice(right)


async def main():
    secured, bare = await over_tls(), await plain()
    print("SSLStream, https_compatible:", *secured)
    print("the stream beneath it, by itself:", *bare)
    return secured == ["b''", "BrokenResourceError"] and bare == ["b''", "b''"]


sys.exit(not trio.run(main))
PYTHON
