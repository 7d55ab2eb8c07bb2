"""The file of users: what it says, and that nothing in it is taken for something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from raft_actors.errors import ConfigurationError
from raft_actors.service.users import (
    MAX_FILE_BYTES,
    PasswordHash,
    Rights,
    User,
    lines_of,
    parse_rights,
    parse_users,
    read_users,
)

CHEAP = PasswordHash.of(b"secret", cost=4)


def test_a_password_is_recognized_by_its_hash_and_nothing_else_is() -> None:
    again = PasswordHash.parse(str(CHEAP))
    assert again == CHEAP
    assert again.matches(b"secret")
    for wrong in (b"", b"Secret", b"secret "):
        assert not again.matches(wrong)
    assert PasswordHash.of(b"secret", cost=4).hash != CHEAP.hash


def test_hashes_are_dear_unless_a_test_wants_them_cheap() -> None:
    made = PasswordHash.of(b"x")
    assert (made.cost, made.block) == (14, 8)


def test_a_file_is_read_as_it_was_written() -> None:
    users = {
        user.name: user
        for user in (
            User("default", Rights.READ),
            User("alice", Rights.READ | Rights.WRITE, CHEAP),
            User("root", Rights.ALL, CHEAP),
            User("old", Rights.NONE, enabled=False),
        )
    }
    assert parse_users("\n".join(lines_of(users)), "users") == users


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("alice", "it has not three words"),
        ("alice read nopass more", "it has not three words"),
        ("alice read,dance nopass", "'dance' is no right"),
        ("alice read,,write nopass", "'' is no right"),
        ("alice all nopass", "'all' is no right"),
        ("alice read secret", "the password's hash is none"),
        ("alice read scrypt:14:8:1:x:y", "the password's hash is none"),
        ("alice read scrypt:99:8:1:AAAAAAAAAAAAAAAAAAAAAA==:AAAA", "the password's hash is none"),
        ("alice read scrypt:14:8:1::", "the password's hash is none"),
        ("alice read nopass\nalice read nopass", "there are two users of that name"),
    ],
)
def test_a_line_that_is_none_is_named_and_not_shown(line: str, said: str) -> None:
    number = line.count("\n") + 2
    with pytest.raises(ConfigurationError, match=f"users, line {number}: {said}") as caught:
        parse_users(f"# remark\n{line}", "users")
    assert "secret" not in str(caught.value)


def test_no_secret_is_shown_by_a_user() -> None:
    shown = repr(User("alice", Rights.READ, CHEAP))
    assert repr(CHEAP.hash) not in shown
    assert repr(CHEAP.salt) not in shown


def test_rights() -> None:
    assert parse_rights("read,operate") == Rights.READ | Rights.OPERATE
    assert parse_rights("-") is Rights.NONE


def test_a_file_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "users"
    with pytest.raises(ConfigurationError, match="No such file"):
        read_users(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="it is no text"):
        read_users(file)
    file.write_bytes(b" " * (MAX_FILE_BYTES + 1))
    with pytest.raises(ConfigurationError, match="is no file of users"):
        read_users(file)
