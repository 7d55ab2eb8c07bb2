"""Clients that are no members, under plans that are drawn as the simulator draws them; see `client_faults`."""

from __future__ import annotations

from tests.cluster.client_faults import clients_under_faults
from tests.cluster.support import seeds


@seeds(3)
async def test_all_that_clients_are_told_is_so_whatever_befalls_nodes_and_links(seed: int) -> None:
    clients = await clients_under_faults(seed, seconds=10.0)
    assert len(clients.results) > 50
    assert clients.reads > 50
