"""`raft-actors users` writes the file that `serve --users` reads, and never a password."""

from __future__ import annotations

import io
import os
import stat
import subprocess
from pathlib import Path

import pytest

from raft_actors.cli.main import main
from raft_actors.service.users import Rights, read_users
from tests.cli.serving import CLI


def set_user(monkeypatch: pytest.MonkeyPatch, file: Path, *arguments: str, password: str = "secret\n") -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(password))
    return main(["users", "set", str(file), *arguments])


def test_a_user_is_added_changed_and_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "users"
    assert set_user(monkeypatch, file, "alice", "--rights=read,write", "--password-stdin") == 0
    assert set_user(monkeypatch, file, "default", "--rights=read", "--no-password") == 0
    alice = read_users(file)["alice"]
    assert alice.rights == Rights.READ | Rights.WRITE
    assert alice.password is not None
    assert alice.password.matches(b"secret")
    assert "secret" not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert main(["users", "list", str(file)]) == 0
    said = capsys.readouterr().out
    assert [line.split() for line in said.splitlines()] == [
        ["alice", "read,write", "password"],
        ["default", "read", "no", "password"],
    ]
    assert main(["users", "remove", str(file), "alice"]) == 0
    assert read_users(file).keys() == {"default"}


def test_a_password_is_asked_for_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["secret", "secret", "secret", "Secret"])
    monkeypatch.setattr("getpass.getpass", lambda _prompt: next(answers))
    file = tmp_path / "users"
    assert main(["users", "set", str(file), "alice", "--rights=-"]) == 0
    before = file.read_bytes()
    assert main(["users", "set", str(file), "alice", "--rights=read"]) == 1
    assert file.read_bytes() == before


def test_where_nobody_can_be_asked_for_a_password_the_way_without_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nobody(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", nobody)
    assert main(["users", "set", str(tmp_path / "users"), "alice", "--rights=read"]) == 1
    assert "--password-stdin" in capsys.readouterr().err


def test_faults_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "users"
    assert set_user(monkeypatch, file, "alice", "--rights=read", "--password-stdin", password="\n") == 2
    assert not file.exists()
    file.write_text("torn")
    assert main(["users", "list", str(file)]) == 2
    assert main(["users", "remove", str(tmp_path / "other"), "alice"]) == 1
    for arguments in (["a b", "--rights=read"], ["alice", "--rights=dance"]):
        with pytest.raises(SystemExit) as caught:
            main(["users", "set", str(file), *arguments])
        assert caught.value.code == 2
    assert "'dance' is no right" in capsys.readouterr().err


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_password_that_is_no_text_is_refused_in_one_line(tmp_path: Path, locale: str) -> None:
    file = tmp_path / "users"
    done = subprocess.run(
        [*CLI, "users", "set", str(file), "alice", "--rights=read", "--password-stdin"],
        input=b"\xff\n",
        stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": locale},
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, b"raft-actors: the password is no UTF-8: nothing was changed\n")
    assert not file.exists()


@pytest.mark.parametrize("how", ["--password-stdin", None])
@pytest.mark.parametrize("standard_input", ["<&-", "</dev/null", "0>/dev/null"])
def test_without_standard_input_the_refusal_is_one_line(tmp_path: Path, how: str | None, standard_input: str) -> None:
    set_alice = [*CLI, "users", "set", str(tmp_path / "users"), "alice", "--rights=read", *([how] if how else [])]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {standard_input}', "sh", *set_alice],
        stderr=subprocess.PIPE,
        start_new_session=True,  # without a terminal
        check=False,
    )
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert line.startswith("raft-actors: ")
    assert "--password-stdin" in line or "from standard input" in line
