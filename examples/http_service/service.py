"""The web application. It is given its node; who opens and closes that is `__main__`'s affair."""

from __future__ import annotations

from typing import Any

import quart
import quart_trio
import trio

from examples.config_store.store import ConfigStore, Delete, RevisionDiffers, Set
from raft_actors import CommandFailed, Node, NotLeader, Overloaded, ProposalError

PATIENCE_S = 2.0
"""How long a request waits for an election or a commit."""

Reply = tuple[dict[str, Any], int] | tuple[dict[str, Any], int, dict[str, str]]


class Service:
    """`GET`, `PUT` and `DELETE /config/KEY`, at any node; and `/health` for a load balancer.

    A node that refuses because it does not lead sends clients to the one that does (307: the same request, there).
    """

    def __init__(self, node: Node[ConfigStore], addresses: dict[str, str]) -> None:
        """`addresses`: node id → where that node's process serves HTTP."""
        self._node = node
        self._addresses = addresses

    def application(self) -> quart_trio.QuartTrio:
        """The ASGI application."""
        app = quart_trio.QuartTrio(__name__)
        app.add_url_rule("/config/<path:key>", view_func=self.config, methods=["GET", "PUT", "DELETE"])
        app.add_url_rule("/health", view_func=self.health)
        return app

    async def config(self, key: str) -> Reply:
        """Read or change one key. What is answered with 200 is durable on a majority."""
        request = quart.request
        try:
            with trio.fail_after(PATIENCE_S):
                if request.method == "GET":
                    return await self._get(key)
                if request.method == "DELETE":
                    return {"revision": await self._node.propose(Delete(key))}, 200
                body = await request.get_json()
                return {"revision": await self._node.propose(Set(key, body["value"], body.get("if_revision")))}, 200
        except NotLeader as refusal:
            return self._elsewhere(refusal.leader, request.path)
        except CommandFailed as failure:
            status = 409 if isinstance(failure.__cause__, RevisionDiffers) else 500
            return {"error": str(failure.__cause__)}, status
        except Overloaded as error:
            return {"error": str(error)}, 503, {"Retry-After": "1"}
        except (ProposalError, trio.TooSlowError) as error:
            return {"error": f"it may have been done, or not: {error}"}, 504
        except (KeyError, TypeError) as error:
            return {"error": f"not a change: {error!r}"}, 400

    async def _get(self, key: str) -> Reply:
        value = await self._node.read(lambda store: store.values.get(key))
        if value is None:
            return {"error": f"there is no {key}"}, 404
        return {"value": value.text, "revision": value.revision}, 200

    def _elsewhere(self, leader: str | None, path: str) -> Reply:
        if leader is None or leader == self._node.node_id:
            return {"error": "no leader is known now"}, 503, {"Retry-After": "1"}
        return {"leader": leader}, 307, {"Location": f"http://{self._addresses[leader]}{path}"}

    async def health(self) -> Reply:
        """200 where a leader is known: this node can answer, or say who does."""
        status = self._node.status()
        state = {"role": str(status.role), "leader": status.leader, "applied_index": status.applied_index}
        return state, 200 if status.leader is not None else 503
