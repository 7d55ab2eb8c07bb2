"""A shop sells while the node that leads is lost: `python -m examples.remote_client`."""

from __future__ import annotations

import trio

from examples.remote_client.nodes import free_addresses, run_until_crash
from examples.remote_client.stock import Add, Left, Sell, Stock
from raft_actors import ClusterConfig, CommandFailed, Local, RaftClient, open_client


async def shop(client: RaftClient[Stock], name: str, sales: int, half_sold: trio.Event) -> None:
    """Sell one at a time. Whatever happens to nodes meanwhile, each sale counts once, and nothing need be caught."""
    for number in range(sales):
        await client.propose(Sell("tea", 1))
        if number == sales // 2:
            half_sold.set()
    print(f"{name} has sold {sales}")


async def main() -> None:
    """Run a cluster, and beside it a client that is told of one of its nodes."""
    addresses = free_addresses(3)
    cluster = ClusterConfig("shop", voters=dict(zip(("n1", "n2", "n3"), addresses, strict=True)))
    async with trio.open_nursery() as nursery:
        lives = {name: await nursery.start(run_until_crash, cluster, name) for name in cluster.voters}
        async with open_client(addresses[:1], Stock, cluster="shop") as client:
            leader = await client.wait_ready()
            print("in stock:", await client.propose(Add("tea", 300)))
            async with trio.open_nursery() as shops:
                half_sold = trio.Event()
                shops.start_soon(shop, client, "anna", 100, half_sold)
                shops.start_soon(shop, client, "bert", 100, half_sold)
                await half_sold.wait()
                lives.pop(leader).cancel()
            print("left, and nothing newer:", await client.read(Left("tea")))
            print("left, as some node knows:", (await client.read_result(Left("tea"), Local())).value)
            try:
                await client.propose(Sell("tea", 101))
            except CommandFailed as refusal:
                print("not sold:", refusal.__cause__)
        nursery.cancel_scope.cancel()


trio.run(main)
