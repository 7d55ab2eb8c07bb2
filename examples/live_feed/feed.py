"""The server of one node: each client gets every command that is applied, as JSON, with what came of it."""

from __future__ import annotations

import json
from typing import Any

from trio_websocket import ConnectionClosed, WebSocketRequest

from examples.counter.counter import Add, Counter
from raft_actors import AppliedCommand, AppliedSnapshot, Node


def message(item: AppliedCommand[Add] | AppliedSnapshot) -> dict[str, Any]:
    """What a client is sent for one entry of the log."""
    if isinstance(item, AppliedSnapshot):
        return {"missed_until": item.snapshot.index}  # so slow that the log is gone: it has to read the state anew
    return {"index": item.index, "client": item.command.client, "added": item.command.amount, "result": item.result}


async def feed(node: Node[Counter], request: WebSocketRequest) -> None:
    """Serve one client. One that is slow slows nobody: it is behind in the log, and nothing queues up for it."""
    socket = await request.accept()
    try:
        async with node.applied() as log, socket:
            await socket.send_message(json.dumps({"ready": True}))
            async for item in log:
                await socket.send_message(json.dumps(message(item)))
    except ConnectionClosed:
        return
