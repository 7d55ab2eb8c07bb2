"""`serve` listens for the world only over TLS, or where it is told that the world is trusted."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from raft_actors.cli import serve
from raft_actors.cli.main import main, make_parser
from raft_actors.cli.serve_security import is_loopback
from raft_actors.errors import ConfigurationError
from raft_actors.service.users import PasswordHash, Rights, User, lines_of
from tests.cli.serving import serving
from tests.transports.support import free_port

NODE = ["serve", "--id=n1", "--cluster=test", "--data=x.db"]
TLS = ["--tls-cert=c", "--tls-key=k", "--tls-ca=a"]
CLIENTS = ["--client-cert=c", "--client-key=k"]


def settings(*arguments: str, node: str = "n1=127.0.0.1:7000,127.0.0.1:6379") -> serve.Settings:
    return serve.settings_of(make_parser().parse_args([*NODE, f"--node={node}", *arguments]))


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["--listen=0.0.0.0"], "0.0.0.0:7000 can be reached.*--tls-cert, --tls-key and --tls-ca, or --insecure"),
        (["--listen=[::]"], "--insecure"),
        (["--listen=192.0.2.1:7000,127.0.0.1:6379"], "192.0.2.1:7000"),
        (["--listen=127.0.0.1:7000,192.0.2.1:6379"], "clients would be .*--client-cert and --client-key"),
        (["--listen=0.0.0.0", *TLS], "--client-cert"),
        (["--listen=0.0.0.0", *CLIENTS], "--tls-cert"),
    ],
)
def test_without_tls_the_world_is_refused_in_one_line(arguments: list[str], remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy) as caught:
        settings(*arguments)
    assert "\n" not in str(caught.value)


def test_an_address_of_a_node_counts_where_nothing_else_is_said() -> None:
    with pytest.raises(ConfigurationError, match=r"192\.0\.2\.1:7000"):
        settings(node="n1=192.0.2.1:7000,192.0.2.1:6379")


def test_what_is_secure_or_said_to_be_is_served() -> None:
    assert settings().tls is None
    assert settings("--listen=0.0.0.0", "--insecure").tls is None
    secured = settings("--listen=0.0.0.0", *TLS, *CLIENTS, "--tls-plain=sent", "--tls-names=cn:{node}", "--users=u")
    assert secured.tls is not None
    assert (secured.tls.plain, str(secured.tls.names)) == ("sent", "cn:{node}")
    assert secured.service.tls is not None
    assert secured.service.users == Path("u")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tls-cert=c"], "--tls-key and --tls-ca missing"),
        (["--client-key=k"], "--client-cert missing"),
        (["--client-ca=a"], "--client-ca needs --client-cert"),
        (["--tls-plain=sent"], "--tls-plain is for nodes"),
        ([*TLS, "--tls-names=everybody"], "begins with none of uri, dns, cn"),
    ],
)
def test_options_that_contradict_each_other_are_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        settings(*arguments)


def test_nodes_certificates_alone_make_no_clients(tmp_path: Path) -> None:
    nodes, clients, both = tmp_path / "nodes" / "ca.pem", tmp_path / "clients" / "ca.pem", tmp_path / "both.pem"
    for file in (nodes, clients):
        assert main(["certs", "init", str(file.parent)]) == 0
    both.write_bytes(clients.read_bytes() + nodes.read_bytes())
    given = ["--tls-cert=c", "--tls-key=k", f"--tls-ca={nodes}", *CLIENTS]
    for ca in (nodes, both):
        with pytest.raises(ConfigurationError, match=r"--client-ca a CA other than those of --tls-ca"):
            settings(*given, f"--client-ca={ca}")
        assert settings(*given, f"--client-ca={ca}", "--users=u").service.tls is not None
    for other in (clients, tmp_path / "none"):
        assert settings(*given, f"--client-ca={other}").service.tls is not None


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.0.2.1")))


def test_a_node_over_tls_with_users(tmp_path: Path) -> None:
    assert main(["certs", "init", str(tmp_path / "ca")]) == 0
    issued = ["certs", "issue", str(tmp_path / "ca"), "--cluster=test", "--node=n1", "--host=127.0.0.1"]
    assert main([*issued, f"--out={tmp_path}"]) == 0
    users = tmp_path / "users"
    alice = User("alice", Rights.READ | Rights.WRITE, PasswordHash.of(b"secret"))
    users.write_text("\n".join(lines_of({"alice": alice})))
    with ExitStack() as stack:
        raft, port = (stack.enter_context(free_port()) for _ in range(2))
        files = [f"cert={tmp_path}/n1.pem", f"key={tmp_path}/n1.key"]
        stack.enter_context(
            serving(
                [
                    *["serve", "--id=n1", "--cluster=test", f"--data={tmp_path}/n1.db", f"--users={users}"],
                    f"--node=n1=127.0.0.1:{raft},127.0.0.1:{port}",
                    *(f"--{who}-{file}" for who in ("tls", "client") for file in files),
                    f"--tls-ca={tmp_path}/ca/ca.pem",
                ]
            )
        )

        def client(**more: Any) -> redis.Redis:
            return redis.Redis("127.0.0.1", port, ssl=True, ssl_ca_certs=f"{tmp_path}/ca/ca.pem", **more)

        known, unknown = client(username="alice", password="secret"), client()
        assert known.execute_command("RAFT.WAIT", "LEADER") == b"n1"  # type: ignore[no-untyped-call]
        assert known.set("k", "v") is True
        with pytest.raises(redis.AuthenticationError):
            unknown.get("k")
        known.close()
        unknown.close()


def test_files_of_no_use_keep_a_node_from_starting(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with ExitStack() as stack:
        raft, port = (stack.enter_context(free_port()) for _ in range(2))
        arguments = ["serve", "--id=n1", "--cluster=test", f"--data={tmp_path}/n1.db"]
        arguments += [f"--node=n1=127.0.0.1:{raft},127.0.0.1:{port}"]
        assert main([*arguments, f"--users={tmp_path}/none"]) == 2
        assert main([*arguments, *(f"--tls-{name}={tmp_path}/none" for name in ("cert", "key", "ca"))]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert [line.startswith(f"raft-actors: {tmp_path}/none: No such file") for line in lines] == [True, True]
