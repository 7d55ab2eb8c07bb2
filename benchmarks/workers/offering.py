"""Proposals that come by the clock, whatever becomes of those before them."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

import trio

from benchmarks.workers.wire import Reply, Request, Window, clock, payload_of
from raft_actors import Node, Overloaded, PendingProposal, StateMachine

_TICK_S = 0.001


async def offer(node: Node[StateMachine[bytes, int]], request: Request) -> Reply:
    """Propose so often a second, without waiting, and note when the answers come."""
    window, payload, rate = Window.of(request), payload_of(request), request["rate"]
    propose_nowait = node.propose_nowait
    waiting: deque[tuple[float, PendingProposal[Any]]] = deque()
    offered, longest_retry_s, causes, at_work = 0, 0.0, Counter[str](), True

    async def take_answers() -> None:
        while at_work or waiting:
            if not waiting:
                await trio.sleep(_TICK_S)
                continue
            started, pending = waiting[0]
            if not pending.done:
                await pending.wait()
            pending.result_nowait()
            waiting.popleft()
            window.count(started, 1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_answers)
        began = clock()
        while (now := clock()) < window.ends:
            while offered < (now - began) * rate:
                offered += 1
                try:
                    waiting.append((clock(), propose_nowait(payload)))
                except Overloaded as refusal:
                    causes[refusal.cause.name] += 1
                    longest_retry_s = max(longest_retry_s, refusal.retry_after_s)
            await trio.sleep(_TICK_S)
        at_work = False
    return {
        **await trio.to_thread.run_sync(window.result),
        "offered": offered / (window.ends - began),
        "refused": causes.total(),
        "causes": dict(causes),
        "longest_retry_s": longest_retry_s,
    }
