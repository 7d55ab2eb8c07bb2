"""Files that a command writes anew: whole or not at all, and as much their owner's as they were."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
from pathlib import Path

from raft_actors.errors import RaftError

_ACCESS_LIST = "system.posix_acl_access"  # the extended attribute of Linux


def replace_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Put a file in place. One that is there keeps owner, group and mode; of a symbolic link the target changes.

    Args:
        path: where.
        data: what it is to hold.
        mode: of a file that is new, as far as the umask lets it.

    Raises:
        RaftError: it can't be written, or not with the owner and group that it has: nothing was changed.
    """
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    old = _look_at(target)
    if old is not None and not stat.S_ISREG(old.st_mode):
        raise RaftError(f"{path} is no regular file: nothing was changed")
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode if old is None else 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if old is not None:
                _give_rights(descriptor, target, old)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        beside.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError) and error.filename is None:  # a full disk, say
            raise RaftError(f"{path}: {error.strerror}: nothing was changed") from error  # noqa: ASYNC104
        raise


def _look_at(file: Path) -> os.stat_result | None:
    try:
        return file.stat()
    except FileNotFoundError:
        return None


def _give_rights(descriptor: int, target: Path, old: os.stat_result) -> None:
    """Make a new file, which is the caller's alone so far, as much others' as the old one.

    Raises:
        RaftError: the caller may not.
    """
    if sys.platform == "win32":  # where a file has the rights of its folder
        return
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(descriptor, old.st_uid, old.st_gid)
        except PermissionError as error:
            raise RaftError(
                f"{target} belongs to user {old.st_uid} and group {old.st_gid}, and you may not make a file that does: "
                "nothing was changed; do it as that user, or as root"
            ) from error
    if sys.platform == "linux" and _ACCESS_LIST in _attributes(target):
        # First: with a list, the mode's bits for the group are a bound on it, and may be more than the group has.
        os.setxattr(descriptor, _ACCESS_LIST, os.getxattr(target, _ACCESS_LIST))
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _attributes(file: Path) -> list[str]:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a file system without them
            return os.listxattr(file)
    return []
