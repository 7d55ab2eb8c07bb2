"""A client hears at a follower what is proposed at the leader: `python -m examples.live_feed`."""

from __future__ import annotations

import json
from functools import partial

import trio
from trio_websocket import open_websocket_url, serve_websocket

from examples.counter.counter import Add, Counter
from examples.live_feed.feed import feed
from examples.three_nodes import follower_of, leader_of, three_nodes


async def main() -> None:
    """Serve, listen, propose."""
    async with three_nodes(Counter) as nodes, trio.open_nursery() as nursery:
        handler = partial(feed, follower_of(nodes))
        server = await nursery.start(partial(serve_websocket, handler, "127.0.0.1", 0, None))
        async with open_websocket_url(f"ws://127.0.0.1:{server.port}/") as socket:
            print(await socket.get_message())
            for number, amount in enumerate((5, 3, -1), 1):
                await leader_of(nodes).propose(Add("anna", number, amount))
            await leader_of(nodes).propose(Add("anna", 3, -1))  # comes a second time, and does not count
            for _ in range(4):
                heard = json.loads(await socket.get_message())
                print(f"{heard['client']} added {heard['added']}: {heard['result']}")
        nursery.cancel_scope.cancel()


trio.run(main)
