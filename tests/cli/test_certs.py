"""`raft-actors certs` makes a CA and certificates that nodes take, in files that are their owner's alone."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from raft_actors.cli.certificate_facts import facts_of
from raft_actors.cli.main import main
from raft_actors.transports.tls.credentials import CertificateFiles, Credentials
from raft_actors.transports.tls.naming import NameRule
from raft_actors.transports.tls.today import DAY_S, now_s
from tests.tls.certificates import named, pem_of_key

OF_AN_OLD_CURVE = """
MIGBAgEAMBMGByqGSM49AgEGCCqGSM49AwEEBGcwZQIBAQQeHET7xYXv5XpiIN4z
MKVUee8n9LMOovZqiQMkyjPboUADPgAEK71dk3tqFFQuJrsZN72JD+qJUvR/98dZ
+dXjxm30XZ48wS/YkMx3/w2gsfP5P+djmrN8g3WxHXFmRyF8
"""  # prime239v1, which cryptography doesn't know


def issue(folder: Path, *more: str) -> int:
    return main(["certs", "issue", str(folder / "ca"), "--cluster=orders", f"--out={folder}", *more])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert main(["certs", "init", str(tmp_path / "ca")]) == 0
    return tmp_path


def files(folder: Path, node: str) -> CertificateFiles:
    return CertificateFiles(certificate=folder / f"{node}.pem", key=folder / f"{node}.key", ca=folder / "ca" / "ca.pem")


def test_what_is_issued_is_what_a_node_takes(folder: Path) -> None:
    assert issue(folder, "--node=n1", "--host=10.0.0.1", "--host=db1.example.org") == 0
    credentials = Credentials.load(files(folder, "n1"))
    NameRule.parse("uri:raft://{cluster}/{node}").check(credentials.certificate, "orders", "n1")
    names = credentials.certificate["subjectAltName"]
    assert set(names) == {("URI", "raft://orders/n1"), ("IP Address", "10.0.0.1"), ("DNS", "db1.example.org")}


@pytest.mark.parametrize("rule", ["dns:{node}.raft.example.org", "cn:{node}@{cluster}"])
def test_other_rules_for_names(folder: Path, rule: str) -> None:
    assert issue(folder, "--node=n1", f"--names={rule}") == 0
    NameRule.parse(rule).check(Credentials.load(files(folder, "n1")).certificate, "orders", "n1")


def test_ids_of_any_kind(folder: Path) -> None:
    node = "Zürich/1 " + 200 * "x"
    assert issue(folder, f"--node={node}") == 0
    (certificate,) = folder.glob("Z*.pem")
    credentials = Credentials.load(files(folder, certificate.stem))
    NameRule.parse("uri:raft://{cluster}/{node}").check(credentials.certificate, "orders", node)


def test_keys_are_their_owners_alone(folder: Path) -> None:
    assert issue(folder, "--node=n1") == 0
    for key in (folder / "ca" / "ca.key", folder / "n1.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "ca").stat().st_mode) == 0o700


def test_nothing_is_replaced_unasked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert issue(folder, "--node=n1") == 0
    before = (folder / "n1.key").read_bytes()
    assert issue(folder, "--node=n1") == 2
    assert "add --renew" in capsys.readouterr().err
    assert main(["certs", "init", str(folder / "ca")]) == 2
    assert (folder / "n1.key").read_bytes() == before
    assert issue(folder, "--node=n1", "--renew") == 0
    assert (folder / "n1.key").read_bytes() != before
    Credentials.load(files(folder, "n1"))


def test_a_certificate_does_not_outlive_its_ca(tmp_path: Path) -> None:
    assert main(["certs", "init", str(tmp_path / "ca"), "--days=3"]) == 0
    assert issue(tmp_path, "--node=n1") == 0
    ((ca,), (n1,)) = (facts_of((tmp_path / name).read_bytes()) for name in ("ca/ca.pem", "n1.pem"))
    assert ca.expires_at == n1.expires_at
    assert issue(tmp_path, "--node=n2", "--days=2") == 0
    (n2,) = facts_of((tmp_path / "n2.pem").read_bytes())
    assert n2.expires_at < ca.expires_at


def test_a_ca_that_has_ended_issues_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["certs", "init", str(tmp_path / "ca"), "--days=1"]) == 0
    began = now_s()
    for passed_s in (DAY_S, 3 * DAY_S):
        monkeypatch.setattr("raft_actors.cli.certificate_authority.now_s", lambda now=began + passed_s: now)
        assert issue(tmp_path, "--node=n1") == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "the CA's certificate has ended, on 20" in line
    assert not (tmp_path / "n1.key").exists()


def test_a_ca_of_others_may_have_no_key_identifier(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name, start = named("another"), datetime.fromtimestamp(now_s() - DAY_S, UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "ca.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (tmp_path / "ca" / "ca.key").write_bytes(pem_of_key(key))
    assert issue(tmp_path, "--node=n1") == 0
    Credentials.load(files(tmp_path, "n1"))


def test_a_key_of_a_kind_that_nobody_uses_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "ca" / "ca.key").write_text(
        f"-----BEGIN PRIVATE KEY-----\n{OF_AN_OLD_CURVE}\n-----END PRIVATE KEY-----\n"
    )
    assert issue(folder, "--node=n1") == 1
    assert "are not as 'certs init' made them" in capsys.readouterr().err


def test_what_a_certificate_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    issue(folder, "--node=n1", "--days=30")
    capsys.readouterr()
    assert main(["certs", "show", str(folder / "n1.pem"), str(folder / "ca" / "ca.pem")]) == 0
    said = capsys.readouterr().out
    for words in ("CN=n1", "URI:raft://orders/n1", "server, client", "30 days", "itself a CA"):
        assert words in said
    assert main(["certs", "show", "--json", str(folder / "n1.pem")]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["names"] == ["URI:raft://orders/n1"]
    assert 29 < facts["days_left"] <= 30


def test_faults_are_told_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certs", "show", str(folder / "ca" / "ca.key")]) == 2
    assert main(["certs", "issue", str(folder), "--cluster=x", "--node=y"]) == 1
    assert issue(folder, "--node=n1", "--names=everybody") == 2
    assert issue(folder, "--node=n1", "--host=not a host ü") == 2
    (folder / "ca" / "ca.key").write_text("torn")
    assert issue(folder, "--node=n1") == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("raft-actors: ") for line in lines)
