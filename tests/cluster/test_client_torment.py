"""Clients that are no members, under plans that are drawn as the simulator draws them; see `client_torment`."""

from __future__ import annotations

import pytest

from tests.cluster.client_torment import torment_clients


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_all_that_clients_are_told_is_so_whatever_befalls_nodes_and_links(seed: int) -> None:
    clients = await torment_clients(seed, seconds=10.0)
    assert len(clients.results) > 50
    assert clients.reads > 50
