"""A Redis for the tests that compare with it."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

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
