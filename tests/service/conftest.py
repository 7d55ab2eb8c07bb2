"""A Redis for the tests that compare with it, and passwords for those in simulated time."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from raft_actors.service.users import PasswordHash
from tests.service.real_redis import Redis
from tests.service.support import tool


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    folder: Path = tmp_path_factory.mktemp("redis")
    arguments = ["--port", "0", "--unixsocket", "s", "--save", "", "--appendonly", "no", "--databases", "1"]
    with subprocess.Popen([tool("redis-server"), *arguments], cwd=folder, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if b"ready to accept connections" in line.lower():
                break
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(folder / "s"))
            yield Redis(folder / "s", connection)
        process.terminate()
        process.communicate()


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare passwords without a thread, of which simulated time knows nothing."""

    async def compare(expected: PasswordHash, password: bytes, _limiter: trio.CapacityLimiter) -> bool:
        await trio.lowlevel.checkpoint()
        return expected.matches(password)

    monkeypatch.setattr("raft_actors.service.logins._in_a_thread", compare)
