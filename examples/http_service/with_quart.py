"""The service behind Quart."""

from __future__ import annotations

from typing import Any

import quart
import quart_trio

from examples.http_service.service import Answer, Service

Reply = tuple[dict[str, Any], int, dict[str, str]]


def application(service: Service) -> quart_trio.QuartTrio:
    """`GET`, `PUT` and `DELETE /config/KEY`, and `/health`."""

    async def config(key: str) -> Reply:
        request = quart.request
        if request.method == "GET":
            return _reply(await service.get(key))
        if request.method == "DELETE":
            return _reply(await service.delete(key))
        match await request.get_json(silent=True):  # what is no JSON is None
            case {"value": str(value), "if_revision": int(if_revision)}:
                return _reply(await service.put(key, value, if_revision))
            case {"value": str(value), **others} if others.get("if_revision") is None:
                return _reply(await service.put(key, value, None))
            case _:
                return _reply(Answer(422, {"error": 'not a change: {"value": TEXT, "if_revision": NUMBER}'}))

    async def health() -> Reply:
        return _reply(await service.health())

    app = quart_trio.QuartTrio(__name__)
    app.add_url_rule("/config/<path:key>", view_func=config, methods=["GET", "PUT", "DELETE"])
    app.add_url_rule("/health", view_func=health)
    return app


def _reply(answer: Answer) -> Reply:
    return answer.body, answer.status, dict(answer.headers)
