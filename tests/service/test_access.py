"""Who gets into the service, over TLS and with passwords, and what each may do there."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import redis
import trio

from raft_actors.service.connection import ServiceConfig
from raft_actors.service.users import PasswordHash, Rights, User, lines_of
from raft_actors.transports.tls.credentials import CertificateFiles
from tests.service.support import ADDRESSES, LoneReplica, Served, receive_all, receive_exactly, request, serve, tool
from tests.tls.certificates import SERVER, Issuer, Leaf, authority, stranger
from tests.transports.support import wait_until

HASH = PasswordHash.of(b"secret", cost=4)
ADMIN, READER, WRITER = (
    User("admin", Rights.ALL, HASH),
    User("reader", Rights.READ, HASH),
    User("writer", Rights.WRITE, HASH),
)


NOAUTH = b"-NOAUTH Authentication required.\r\n"


def users_file(folder: Path, *users: User) -> Path:
    file = folder / "users"
    file.write_text("\n".join(lines_of({user.name: user for user in users})))
    return file


def certificate(folder: Path, ends: Any = None) -> CertificateFiles:
    leaf = authority().issue(dns=("localhost",), uses=(SERVER,))
    return attrs.evolve(leaf.write(folder, "service", authority()), ca=None)


@asynccontextmanager
async def serving(**settings: Any) -> AsyncGenerator[Served]:
    node = LoneReplica()
    async with serve(node, node.machine, ServiceConfig(addresses=ADDRESSES, **settings)) as served:
        yield served


@attrs.define
class Client:
    """Talks to the service in bytes."""

    stream: trio.SocketStream

    async def ask(self, *words: str, expect: bytes) -> None:
        await self.stream.send_all(request(*words))
        assert await receive_exactly(self.stream, len(expect)) == expect


async def test_without_a_user_nothing_is_done(tmp_path: Path) -> None:
    async with serving(users=users_file(tmp_path, ADMIN)) as served:
        client = Client(await served.connect())
        for words in (
            ("GET", "k"),
            ("SET", "k", "v"),
            ("PING",),
            ("INFO",),
            ("MULTI",),
            ("RAFT.WAIT", "LEADER"),
            ("CLIENT", "ID"),
        ):
            await client.ask(*words, expect=NOAUTH)
        await client.ask("NOSUCH", expect=b"-ERR unknown command 'NOSUCH'")
        await receive_exactly(client.stream, len(", with args beginning with: \r\n"))
        await client.ask("HELLO", "3", expect=b"-NOAUTH HELLO must be called with the client already authenticated")
        assert served.service.context.statistics.denied_commands == 7


async def test_a_client_is_who_it_logs_in_as_until_it_resets(tmp_path: Path) -> None:
    async with serving(users=users_file(tmp_path, ADMIN)) as served:
        client = Client(await served.connect())
        await client.ask("AUTH", "admin", "secret", expect=b"+OK\r\n")
        await client.ask("SET", "k", "v", expect=b"+OK\r\n")
        await client.ask("AUTH", "a", "b", "c", expect=b"-ERR syntax error\r\n")
        await client.ask("RESET", expect=b"+RESET\r\n")
        await client.ask("GET", "k", expect=NOAUTH)


async def test_a_wrong_password_changes_nothing(tmp_path: Path, inline: None, autojump_clock: object) -> None:
    async with serving(users=users_file(tmp_path, ADMIN)) as served:
        client = Client(await served.connect())
        await client.ask("AUTH", "admin", "secret", expect=b"+OK\r\n")
        wrong = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
        await client.ask("AUTH", "admin", "Secret", expect=wrong)
        await client.ask("AUTH", "nobody", "secret", expect=wrong)
        await client.ask("AUTH", "secret", expect=wrong)  # as the default user, which there is not
        await client.ask("SET", "k", "v", expect=b"+OK\r\n")
        assert served.service.context.logins.failed == 3


async def test_who_is_turned_away_is_told_so_and_not_that_the_password_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raft_actors.service.logins._MOST_WAITING", 0)
    async with serving(users=users_file(tmp_path, ADMIN)) as served:
        for words in (("AUTH", "admin", "secret"), ("HELLO", "3", "AUTH", "admin", "secret")):
            client = Client(await served.connect())
            await client.ask(*words, expect=b"-ERR too many clients are logging in")


async def test_the_default_user_is_as_redis_has_it(tmp_path: Path) -> None:
    async with serving(users=users_file(tmp_path, User("default", Rights.READ), ADMIN)) as served:
        client = Client(await served.connect())
        await client.ask("GET", "k", expect=b"$-1\r\n")
        denied = b"-NOPERM User default has no permissions to run the 'set' command\r\n"
        await client.ask("SET", "k", "v", expect=denied)
        await client.ask("AUTH", "x", expect=b"-ERR AUTH <password> called without any password configured")
    async with serving(users=users_file(tmp_path, User("default", Rights.ALL, HASH))) as served:
        client = Client(await served.connect())
        await client.ask("GET", "k", expect=NOAUTH)
        await client.ask("AUTH", "secret", expect=b"+OK\r\n")
        await client.ask("GET", "k", expect=b"$-1\r\n")


async def test_without_a_file_everybody_may_do_all() -> None:
    async with serving() as served:
        client = Client(await served.connect())
        await client.ask("SET", "k", "v", expect=b"+OK\r\n")
        await client.ask("AUTH", "x", expect=b"-ERR AUTH <password> called without any password configured")


async def test_reading_and_writing_are_two_rights(tmp_path: Path) -> None:
    async with serving(users=users_file(tmp_path, READER, WRITER)) as served:
        reader, writer = Client(await served.connect()), Client(await served.connect())
        await reader.ask("AUTH", "reader", "secret", expect=b"+OK\r\n")
        await writer.ask("AUTH", "writer", "secret", expect=b"+OK\r\n")
        await writer.ask("SET", "k", "v", expect=b"+OK\r\n")
        for words in (("GET", "k"), ("KEYS", "*"), ("RAFT.LOCAL", "GET", "k")):
            name = words[0].lower().encode()
            denied = b"-NOPERM User writer has no permissions to run the '%b' command\r\n" % name
            await writer.ask(*words, expect=denied)
        await reader.ask("GET", "k", expect=b"$1\r\nv\r\n")
        # In a pipeline and in a transaction, too.
        denied = b"-NOPERM User reader has no permissions to run the 'del' command\r\n"
        await reader.stream.send_all(request("GET", "k") + request("DEL", "k") + request("GET", "k"))
        wanted = b"$1\r\nv\r\n" + denied + b"$1\r\nv\r\n"
        assert await receive_exactly(reader.stream, len(wanted)) == wanted
        await reader.ask("MULTI", expect=b"+OK\r\n")
        await reader.ask("DEL", "k", expect=denied)
        await reader.ask("EXEC", expect=b"-EXECABORT")


async def test_who_has_not_logged_in_may_send_little(tmp_path: Path) -> None:
    async with serving(users=users_file(tmp_path, ADMIN)) as served:
        stranger_ = await served.connect()
        await stranger_.send_all(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n")
        assert (await receive_all(stranger_)).startswith(b"-NOAUTH Authentication required: log in before")
        client = Client(await served.connect())
        # What comes behind the log-in may be large, also in one go with it.
        await client.stream.send_all(request("AUTH", "admin", "secret") + request("SET", "k", "v" * 100_000))
        assert await receive_exactly(client.stream, 10) == b"+OK\r\n+OK\r\n"


async def test_who_does_not_log_in_leaves(tmp_path: Path, inline: None, autojump_clock: object) -> None:
    async with serving(users=users_file(tmp_path, ADMIN), login_timeout_s=10.0) as served:
        client, idle = Client(await served.connect()), await served.connect()
        await client.ask("AUTH", "admin", "secret", expect=b"+OK\r\n")
        assert await receive_all(idle) == b""
        await trio.sleep(100)
        await client.ask("PING", expect=b"+PONG\r\n")
        assert served.service.context.statistics.rejected_by_cause == {"LOGIN_TIMEOUT": 1}


async def test_strangers_make_room_for_those_who_come_after(tmp_path: Path) -> None:
    async with serving(users=users_file(tmp_path, ADMIN), max_connections=2) as served:
        first = Client(await served.connect())
        await first.ask("AUTH", "admin", "secret", expect=b"+OK\r\n")
        idle = await served.connect()
        second = Client(await served.connect())
        await second.ask("AUTH", "admin", "secret", expect=b"+OK\r\n")
        assert await receive_all(idle) == b""
        await first.ask("PING", expect=b"+PONG\r\n")
        # Those who have logged in make none.
        assert (await receive_all(await served.connect())).startswith(b"-ERR max number of clients")


async def test_strangers_of_one_address_make_room_for_each_other_alone(tmp_path: Path) -> None:
    config = ServiceConfig(addresses=ADDRESSES, users=users_file(tmp_path, ADMIN), max_handshakes_per_address=2)
    node = LoneReplica()
    async with serve(node, node.machine, config) as served:
        client = Client(await served.connect())
        await client.ask("AUTH", "admin", "secret", expect=b"+OK\r\n")
        flood = [await served.connect() for _ in range(2)]
        for stream in flood:
            await Client(stream).ask("PING", expect=NOAUTH)
        late = Client(await served.connect())
        assert await receive_all(flood[0]) == b""
        await Client(flood[1]).ask("PING", expect=NOAUTH)
        await late.ask("AUTH", "admin", "secret", expect=b"+OK\r\n")
        await client.ask("PING", expect=b"+PONG\r\n")
        assert served.service.context.statistics.rejected_by_cause == {"MAX_HANDSHAKES_PER_ADDRESS": 1}


async def test_connections_of_one_address_are_bounded() -> None:
    async with serving(max_connections_per_address=2) as served:
        clients = [Client(await served.connect()) for _ in range(2)]
        for client in clients:
            await client.ask("PING", expect=b"+PONG\r\n")
        assert (await receive_all(await served.connect())).startswith(b"-ERR max number of clients")
        await clients[0].ask("QUIT", expect=b"+OK\r\n")
        assert await receive_all(clients[0].stream) == b""
        await Client(await served.connect()).ask("PING", expect=b"+PONG\r\n")
        assert served.service.context.statistics.rejected_by_cause == {"MAX_CONNECTIONS_PER_ADDRESS": 1}


async def test_a_changed_file_disconnects_whom_it_concerns(
    tmp_path: Path, inline: None, autojump_clock: object
) -> None:
    async with serving(users=users_file(tmp_path, READER, WRITER)) as served:
        reader, writer = Client(await served.connect()), Client(await served.connect())
        await reader.ask("AUTH", "reader", "secret", expect=b"+OK\r\n")
        await writer.ask("AUTH", "writer", "secret", expect=b"+OK\r\n")
        users_file(tmp_path, READER)
        assert await receive_all(writer.stream) == b""
        (tmp_path / "users").write_text("torn")
        await trio.sleep(10)
        await reader.ask("GET", "k", expect=b"$-1\r\n")
        again = Client(await served.connect())
        await again.ask("AUTH", "reader", "secret", expect=b"+OK\r\n")


# --- TLS -----------------------------------------------------------------------------------------------------


def ask_with_redis(port: int, folder: Path, **settings: Any) -> list[Any]:
    """What redis-py gets, which checks the service's certificate for its name."""
    (folder / "trusted.pem").write_bytes(authority().pem)
    client = redis.Redis(
        "localhost", port, ssl=True, ssl_ca_certs=str(folder / "trusted.pem"), ssl_check_hostname=True, **settings
    )
    try:
        return [client.set("k", "v"), client.get("k"), client.set("large", "x" * 3_000_000), client.strlen("large")]
    finally:
        client.close()


@pytest.mark.parametrize("protocol", [2, 3])
async def test_redis_py_over_tls_with_a_password(tmp_path: Path, protocol: int) -> None:
    async with serving(tls=certificate(tmp_path), users=users_file(tmp_path, ADMIN)) as served:

        def ask() -> list[Any]:
            return ask_with_redis(served.port, tmp_path, username="admin", password="secret", protocol=protocol)

        assert await trio.to_thread.run_sync(ask) == [True, b"v", True, 3_000_000]


async def test_redis_cli_over_tls_with_a_password(tmp_path: Path) -> None:
    program = tool("redis-cli")
    (tmp_path / "trusted.pem").write_bytes(authority().pem)
    async with serving(tls=certificate(tmp_path), users=users_file(tmp_path, ADMIN)) as served:
        command = [
            program,
            "-h",
            "localhost",
            "-p",
            str(served.port),
            "--tls",
            "--cacert",
            str(tmp_path / "trusted.pem"),
        ]
        for login, said in ((["--user", "admin"], b"OK\n"), ([], b"NOAUTH Authentication required.\n\n")):
            environment = {**os.environ, "REDISCLI_AUTH": "secret"} if login else None
            done = await trio.run_process(
                [*command, *login, "SET", "k", "v"],
                capture_stdout=True,
                capture_stderr=True,
                env=environment,
                check=False,
            )
            assert done.stdout == said, done.stderr


def finds_ioredis() -> bool:
    """Whether node is here, and finds ioredis, as it does where NODE_PATH names a folder that npm has it in."""
    node = shutil.which("node")
    if node is None or "NODE_PATH" not in os.environ:
        return False
    return subprocess.run([node, "-e", "require.resolve('ioredis')"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not finds_ioredis(), reason="needs node, and NODE_PATH with ioredis: npm takes too long for a test")
async def test_ioredis_over_tls_with_a_password(tmp_path: Path) -> None:
    trusted, script = tmp_path / "trusted.pem", Path(__file__).with_name("ioredis_over_tls.cjs")
    trusted.write_bytes(authority().pem)
    async with serving(tls=certificate(tmp_path), users=users_file(tmp_path, ADMIN)) as served:
        command = ["node", str(script), str(served.port), str(trusted), "admin", "secret"]
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["replies"] == ["OK", "v", "OK", 3_000_000, [1, 2], ["OK", "1"]]
    assert "WRONGPASS" in said["wrong"]
    assert "NOAUTH" in said["none"]
    assert "CERT" in said["untrusted"] or "UNABLE_TO_VERIFY" in said["untrusted"]


async def test_a_plain_client_and_a_wrong_one_are_counted(tmp_path: Path) -> None:
    async with serving(tls=certificate(tmp_path)) as served:
        plain = await served.connect()
        await plain.send_all(request("PING"))
        await receive_all(plain)  # an alert
        idle = await served.connect()
        await idle.aclose()
        counted = served.service.context.statistics.rejected_by_cause
        await wait_until(lambda: len(counted) == 2)
        assert counted == {"NOT_TLS": 1, "ENDED": 1}
        assert not served.service.context.sessions


async def test_clients_show_certificates_where_that_is_asked(tmp_path: Path) -> None:
    def context_of(leaf: Leaf | None, folder: Path) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=authority().pem.decode())
        if leaf is not None:
            files = leaf.write(folder, "client")
            context.load_cert_chain(files.certificate, files.key)
        return context

    service = authority().issue(dns=("localhost",)).write(tmp_path, "service", authority())
    async with serving(tls=service) as served:
        for leaf, cause in ((None, "NO_CERTIFICATE"), (stranger().issue(), "UNKNOWN_CA"), (authority().issue(), None)):
            stream = trio.SSLStream(await served.connect(), context_of(leaf, tmp_path), server_hostname="localhost")
            try:
                await stream.send_all(request("PING"))
                answer = await receive_exactly(stream, 7)
            except trio.BrokenResourceError:
                answer = b""
            assert answer == (b"+PONG\r\n" if cause is None else b"")
            await trio.aclose_forcefully(stream)
            if cause is not None:
                counted = served.service.context.statistics.rejected_by_cause
                await wait_until(lambda counted=counted, cause=cause: counted == {cause: 1})  # type: ignore[misc]
                counted.clear()


async def test_a_new_certificate_is_shown_to_new_clients(tmp_path: Path) -> None:
    async with serving(tls=certificate(tmp_path)) as served:
        door = served.service._door
        assert door.keeper is not None
        newer = Issuer.make("newer", key=5)
        newer.issue(dns=("localhost",), uses=(SERVER,)).write(tmp_path, "service")
        await door.keeper.load()
        context = ssl.create_default_context(cadata=newer.pem.decode())
        stream = trio.SSLStream(await served.connect(), context, server_hostname="localhost")
        await stream.send_all(request("PING"))
        assert await receive_exactly(stream, 7) == b"+PONG\r\n"
        await trio.aclose_forcefully(stream)
