"""How many clients there is room for, within the limit of open files."""

from __future__ import annotations

import pytest

from raft_actors import ConfigurationError
from raft_actors.cli.descriptors import LET_IN_AT_ONCE, OPERATORS, RESERVE, STRANGERS, Clients, room_for_clients

resource = pytest.importorskip("resource")
OTHERS = RESERVE + STRANGERS + OPERATORS + LET_IN_AT_ONCE + 4 * 2
WANTED = Clients(1000, 1024)


@pytest.mark.parametrize(
    ("soft", "hard", "granted", "raised_to"),
    [
        (100_000, 100_000, WANTED, None),
        (1024, 100_000, WANTED, 2024 + OTHERS),
        (1024, resource.RLIM_INFINITY, WANTED, 2024 + OTHERS),
        (1024, 2000 + OTHERS, Clients(1000, 1000), 2000 + OTHERS),
        (1024, 1024, Clients(558, 186), 1024),
        (256, 512, Clients(174, 58), 512),
        (256, OTHERS + 2, Clients(1, 1), OTHERS + 2),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, WANTED, None),
    ],
)
def test_room(soft: int, hard: int, granted: Clients, raised_to: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised.append(limits))
    assert room_for_clients(WANTED, peers=2) == granted
    assert raised == ([] if raised_to is None else [(raised_to, hard)])


@pytest.mark.parametrize("limit", [100, OTHERS + 1])
def test_no_room(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    monkeypatch.setattr(resource, "setrlimit", lambda _, __: None)
    with pytest.raises(ConfigurationError, match=rf"may open {limit} files.*ulimit -n"):
        room_for_clients(WANTED, peers=2)
