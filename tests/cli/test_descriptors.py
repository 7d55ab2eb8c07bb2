"""How many clients there is room for, within the limit of open files."""

from __future__ import annotations

import pytest

from raft_actors import ConfigurationError
from raft_actors.cli.descriptors import RESERVE, STRANGERS, room_for_clients

resource = pytest.importorskip("resource")
OTHERS = RESERVE + STRANGERS + 4 * 2


@pytest.mark.parametrize(
    ("soft", "hard", "granted", "raised_to"),
    [
        (100_000, 100_000, 1000, None),
        (1024, 100_000, 1000, 1000 + OTHERS),
        (1024, resource.RLIM_INFINITY, 1000, 1000 + OTHERS),
        (1024, 1024, 1024 - OTHERS, 1024),
        (256, 512, 512 - OTHERS, 512),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 1000, None),
    ],
)
def test_room(soft: int, hard: int, granted: int, raised_to: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised.append(limits))
    assert room_for_clients(1000, peers=2) == granted
    assert raised == ([] if raised_to is None else [(raised_to, hard)])


def test_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
    monkeypatch.setattr(resource, "setrlimit", lambda _, __: None)
    with pytest.raises(ConfigurationError, match=r"may open 100 files.*ulimit -n"):
        room_for_clients(1000, peers=2)
