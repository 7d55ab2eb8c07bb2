"""`raft-actors users`: the file of those who may use the service."""

from __future__ import annotations

import argparse
import getpass
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raft_actors.cli.replacing import replace_file
from raft_actors.errors import ConfigurationError, RaftError
from raft_actors.service import users
from raft_actors.service.users import MAX_PASSWORD_BYTES, PasswordHash, Rights, User

if TYPE_CHECKING:
    Subcommands = argparse._SubParsersAction[Any]  # pyright: ignore[reportPrivateUsage]

_DESCRIPTION = """
Write the file that 'serve --users FILE' reads. A running node loads changes within seconds, and disconnects users
whose password or rights have changed. A client that has not logged in is the user 'default': if there is none, every
client has to send AUTH.
"""


def add_to(subcommands: Subcommands) -> None:
    """Add this subcommand."""
    parser: argparse.ArgumentParser = subcommands.add_parser(
        "users", help="say who may use the service", description=_DESCRIPTION
    )
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    for run, description in ((set_, "add a user, or change one"), (remove, "remove a user"), (list_, "list users")):
        action = actions.add_parser(run.__name__.rstrip("_"), help=description, description=run.__doc__)
        action.add_argument("file", type=Path, metavar="FILE", help="the file of users")
        if run is not list_:
            action.add_argument("name", type=_name, metavar="NAME", help="the user's name")
        if run is set_:
            _add_settings(action)
        action.set_defaults(run=run)


def _add_settings(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--rights",
        required=True,
        type=_rights,
        metavar="RIGHTS",
        help="any of read, write and operate, with commas between; or - for none",
    )
    how = action.add_mutually_exclusive_group()
    how.add_argument("--password-stdin", action="store_true", help="read the password from a line of standard input")
    how.add_argument("--no-password", action="store_true", help="accept any password, or none")


def _name(text: str) -> str:
    if not users.is_name(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name: take up to 255 printable characters without blanks")
    return text


def _rights(text: str) -> Rights:
    try:
        return users.parse_rights(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def set_(options: argparse.Namespace) -> int:
    """Add a user, or change one. It asks for the password, because others could see it on a command line."""
    found = _read(options.file)
    password = None if options.no_password else PasswordHash.of(_password(options))
    found[options.name] = User(options.name, options.rights, password)
    _write(options.file, found)
    return 0


def remove(options: argparse.Namespace) -> int:
    """Remove a user."""
    found = _read(options.file)
    if found.pop(options.name, None) is None:
        raise RaftError(f"{options.file}: there is no user {options.name}")
    _write(options.file, found)
    return 0


def list_(options: argparse.Namespace) -> int:
    """List users and their rights."""
    for user in users.read_users(options.file).values():
        name, rights, _ = str(user).split(" ")
        print(f"{name:<20} {rights:<20} {'password' if user.password else 'no password' if user.enabled else 'off'}")
    return 0


def _password(options: argparse.Namespace) -> bytes:
    try:
        data = (_password_of_a_line() if options.password_stdin else _password_asked_for()).encode()
    except UnicodeError as error:  # not told: its message has bytes of the password
        raise ConfigurationError("the password is no UTF-8: nothing was changed") from error
    if not 1 <= len(data) <= MAX_PASSWORD_BYTES:
        raise ConfigurationError(f"a password has 1 to {MAX_PASSWORD_BYTES} bytes, not {len(data)}")
    return data


def _password_of_a_line() -> str:
    try:
        line = sys.stdin.readline()
    except OSError as error:
        raise RaftError(f"can't read the password from standard input: {error.strerror or error}") from error
    if not line:
        raise RaftError("standard input is closed or empty: with --password-stdin it has the password, in a line")
    return line.rstrip("\r\n")


def _password_asked_for() -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # it would be shown, or comes from no terminal
            password, again = (getpass.getpass(prompt) for prompt in ("password: ", "again: "))
    except (EOFError, OSError, getpass.GetPassWarning) as error:
        raise RaftError(
            "no terminal to ask for the password at: with --password-stdin it is a line of standard input"
        ) from error
    if password != again:
        raise RaftError("the two are not the same: nothing was changed")
    return password


def _read(file: Path) -> dict[str, User]:
    return users.read_users(file) if file.exists() else {}


def _write(file: Path, found: dict[str, User]) -> None:
    replace_file(file, "".join(f"{line}\n" for line in users.lines_of(found)).encode())
