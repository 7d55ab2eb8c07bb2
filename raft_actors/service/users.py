"""Who may use the service, and for what: a file of users, with passwords that are only kept as slow hashes.

A line for each user, blanks between its three words, `#` before remarks:

    alice    read,write  scrypt:14:8:1:SALT:HASH
    default  read        nopass

The rights are `read`, `write` and `operate`, or `-` for none. `nopass` takes any password; `off` takes none. The user
`default` is who every client is until it says otherwise, as in Redis: with a password, or without a line in the file,
nobody gets in without AUTH.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import hmac
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from raft_actors.errors import ConfigurationError
from raft_actors.records import frozen

DEFAULT_USER = "default"
MAX_PASSWORD_BYTES = 1024
MAX_FILE_BYTES = 1024 * 1024

_COST, _BLOCK, _PARALLEL = 14, 8, 1  # 2**14 rounds: 16 MiB and some 40 ms for each attempt
_MAX_COST, _MAX_BLOCK, _MAX_PARALLEL = 17, 16, 4
_SALT_BYTES, _HASH_BYTES = 16, 32


class Rights(enum.IntFlag):
    """What a user may do."""

    NONE = 0
    READ = 1
    """See data."""
    WRITE = 2
    """Change data."""
    OPERATE = 4
    """Change the cluster: its members, its leader."""
    ALL = 7


@frozen
class PasswordHash:
    """What is kept of a password: enough to recognize it, and dear to guess it from.

    Attributes:
        cost, block, parallel: of scrypt (RFC 7914): the logarithm of N, r and p.
    """

    cost: int
    block: int
    parallel: int
    salt: bytes = attrs.field(repr=False)
    hash: bytes = attrs.field(repr=False)

    @classmethod
    def of(cls, password: bytes, *, cost: int = _COST) -> PasswordHash:
        """Hash a password. Blocks for as long as one attempt to log in takes."""
        salt = secrets.token_bytes(_SALT_BYTES)
        return cls(cost, _BLOCK, _PARALLEL, salt, _scrypt(password, salt, cost, _BLOCK, _PARALLEL))

    @classmethod
    def parse(cls, text: str) -> PasswordHash:
        """Take `scrypt:COST:BLOCK:PARALLEL:SALT:HASH` apart.

        Raises:
            ValueError: it is none, or one that would take a node's memory or time.
        """
        kind, *numbers, salt, digest = text.split(":")
        cost, block, parallel = map(int, numbers)
        if kind != "scrypt" or not (
            1 <= cost <= _MAX_COST and 1 <= block <= _MAX_BLOCK and 1 <= parallel <= _MAX_PARALLEL
        ):
            raise ValueError("it is no scrypt hash of a bearable cost")
        found = cls(cost, block, parallel, *(base64.b64decode(part, validate=True) for part in (salt, digest)))
        if len(found.salt) < _SALT_BYTES or len(found.hash) < _HASH_BYTES:
            raise ValueError("its salt or hash is too short")
        return found

    def __str__(self) -> str:
        """Return the hash as `parse` takes it."""
        salt, digest = (base64.b64encode(part).decode() for part in (self.salt, self.hash))
        return f"scrypt:{self.cost}:{self.block}:{self.parallel}:{salt}:{digest}"

    def matches(self, password: bytes) -> bool:
        """Whether this is the password. Blocks."""
        found = _scrypt(password, self.salt, self.cost, self.block, self.parallel, len(self.hash))
        return hmac.compare_digest(found, self.hash)


def _scrypt(password: bytes, salt: bytes, cost: int, block: int, parallel: int, size: int = _HASH_BYTES) -> bytes:
    needed = 128 * block * (2**cost + parallel + 2)
    return hashlib.scrypt(password, salt=salt, n=2**cost, r=block, p=parallel, maxmem=needed + 1024 * 1024, dklen=size)


@frozen
class User:
    """One user.

    Attributes:
        password: its hash; None: any password will do, where `enabled`.
        enabled: whether it can log in.
    """

    name: str
    rights: Rights
    password: PasswordHash | None = None
    enabled: bool = True

    def __str__(self) -> str:
        """Return the user's line in the file."""
        names = ",".join(right.name.lower() for right in _SINGLE if right in self.rights and right.name) or "-"
        secret = str(self.password) if self.password else "nopass" if self.enabled else "off"
        return f"{self.name} {names} {secret}"


_SINGLE = (Rights.READ, Rights.WRITE, Rights.OPERATE)
EVERYBODY: Mapping[str, User] = {DEFAULT_USER: User(DEFAULT_USER, Rights.ALL)}
"""Where there is no file: whoever reaches the service may do all."""


def parse_rights(text: str) -> Rights:
    """Take `read,write,operate` apart.

    Raises:
        ValueError: one of them is no right.
    """
    rights = Rights.NONE
    for name in text.split(",") if text != "-" else ():
        try:
            rights |= Rights[name.upper()] if name.lower() in ("read", "write", "operate") else Rights["?"]
        except KeyError:
            raise ValueError(f"{name!r} is no right: write read, write or operate, with commas between") from None
    return rights


def is_name(text: str) -> bool:
    """Whether a user can be called that."""
    return 0 < len(text) <= 255 and text.isprintable() and not any(c.isspace() for c in text) and text[0] != "#"


def parse_users(text: str, where: str) -> dict[str, User]:
    """The users of a file, by name. `where`: what the file is called.

    Raises:
        ConfigurationError: a line is none; it is named, and no word of it is shown.
    """
    users: dict[str, User] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            user = _parse_user(*words)
        except TypeError:
            raise ConfigurationError(f"{where}, line {number}: it has not three words: NAME RIGHTS HASH") from None
        except ValueError as error:
            raise ConfigurationError(f"{where}, line {number}: {error}") from None
        if user.name in users:
            raise ConfigurationError(f"{where}, line {number}: there are two users of that name")
        users[user.name] = user
    return users


def _parse_user(name: str, rights: str, secret: str) -> User:
    allowed = parse_rights(rights)
    if not is_name(name):
        raise ValueError("a name has up to 255 printable characters")
    if secret in ("nopass", "off"):
        return User(name, allowed, enabled=secret == "nopass")  # noqa: S105 - a word of the file
    try:
        return User(name, allowed, PasswordHash.parse(secret))
    except ValueError:
        raise ValueError("the password's hash is none: make it with 'raft-actors users set'") from None


def read_users(file: Path) -> dict[str, User]:
    """Read a file of users.

    Raises:
        ConfigurationError: it can't be read, or a line of it is none.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ConfigurationError(f"{file}: more than {MAX_FILE_BYTES} bytes is no file of users")
        return parse_users(data.decode(), str(file))
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file}: it is no text") from error


def lines_of(users: Mapping[str, User]) -> Iterator[str]:
    """The file's lines."""
    yield "# NAME RIGHTS HASH: 'raft-actors users' writes this file, and says what may stand in it."
    yield from map(str, users.values())
