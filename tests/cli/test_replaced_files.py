"""Files that `users` and `certs --renew` write anew: as much their owner's as they were, and whole."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from raft_actors.cli.main import main

Write = Callable[[], int]
OTHERS = (12_345, 23_456)
LIST = "system.posix_acl_access"

posix = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes of POSIX")
as_root = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture(params=["users", "n1.key", "n1.pem"])
def written(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Write]:
    """A file, and what writes it, and did so once."""

    def write() -> int:
        if request.param == "users":
            monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
            return main(["users", "set", str(tmp_path / "users"), "alice", "--rights=read", "--password-stdin"])
        return main(
            ["certs", "issue", str(tmp_path / "ca"), "--cluster=o", "--node=n1", f"--out={tmp_path}", "--renew"]
        )

    assert main(["certs", "init", str(tmp_path / "ca")]) == 0
    assert write() == 0
    return tmp_path / request.param, write


@posix
def test_a_file_that_is_written_anew_keeps_its_mode(written: tuple[Path, Write]) -> None:
    file, write = written
    before = file.read_bytes()
    for mode in (0o640, 0o600, 0o400):
        file.chmod(mode)
        assert write() == 0
        assert stat.S_IMODE(file.stat().st_mode) == mode
    assert file.read_bytes() != before


@as_root
def test_a_file_that_is_written_anew_keeps_its_owner_and_group(written: tuple[Path, Write]) -> None:
    file, write = written
    file.chmod(0o640)
    os.chown(file, *OTHERS)
    assert write() == 0
    found = file.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (*OTHERS, 0o640)


@as_root
def test_who_may_not_give_a_file_to_its_owner_changes_nothing(
    written: tuple[Path, Write], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(*_: int) -> NoReturn:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    file, write = written
    os.chown(file, *OTHERS)
    before, beside = file.read_bytes(), sorted(file.parent.iterdir())
    capsys.readouterr()
    monkeypatch.setattr(os, "fchown", denied)
    assert write() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{file} belongs to user 12345 and group 23456" in line
    assert file.read_bytes() == before
    assert sorted(file.parent.iterdir()) == beside


@posix
def test_a_symbolic_link_stays_and_its_target_is_written(written: tuple[Path, Write]) -> None:
    file, write = written
    elsewhere = file.parent / "elsewhere"
    elsewhere.mkdir()
    target = file.rename(elsewhere / "target")
    file.symlink_to(Path("elsewhere") / "target")
    before = target.read_bytes()
    assert write() == 0
    assert file.is_symlink()
    assert target.read_bytes() != before
    assert list(elsewhere.iterdir()) == [target]


@pytest.mark.skipif(sys.platform != "linux", reason="access lists of Linux")
def test_a_file_that_is_written_anew_gives_its_group_no_more_than_its_access_list(written: tuple[Path, Write]) -> None:
    file, write = written
    entries = ((1, 6, -1), (2, 4, OTHERS[0]), (4, 0, -1), (16, 4, -1), (32, 0, -1))  # u::rw-, u:12345:r--, g::---
    access = (2).to_bytes(4, "little") + b"".join(
        tag.to_bytes(2, "little") + right.to_bytes(2, "little") + (who % 2**32).to_bytes(4, "little")
        for tag, right, who in entries
    )
    try:
        os.setxattr(file, LIST, access)
    except OSError as error:
        pytest.skip(f"no access lists here: {error}")
    assert write() == 0
    assert os.getxattr(file, LIST) == access


def test_a_full_disk_is_told_in_a_line_and_changes_nothing(
    written: tuple[Path, Write], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: int) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    file, write = written
    before, beside = file.read_bytes(), sorted(file.parent.iterdir())
    capsys.readouterr()
    monkeypatch.setattr(os, "fsync", full)
    assert write() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "No space left on device: nothing was changed" in line
    assert file.read_bytes() == before
    assert sorted(file.parent.iterdir()) == beside
