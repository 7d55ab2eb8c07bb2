"""The service behind FastAPI, which on Hypercorn's Trio worker runs on Trio by way of AnyIO."""

from __future__ import annotations

from dataclasses import dataclass

import fastapi
from fastapi.responses import JSONResponse

from examples.http_service.service import Answer, Service


@dataclass(frozen=True)
class Change:
    """The body of a PUT; FastAPI refuses others with 422."""

    value: str
    if_revision: int | None = None


def application(service: Service) -> fastapi.FastAPI:
    """`GET`, `PUT` and `DELETE /config/KEY`, and `/health`; `/docs` describes them."""

    async def get(key: str) -> JSONResponse:
        return _response(await service.get(key))

    async def put(key: str, change: Change) -> JSONResponse:
        return _response(await service.put(key, change.value, change.if_revision))

    async def delete(key: str) -> JSONResponse:
        return _response(await service.delete(key))

    async def health() -> JSONResponse:
        return _response(await service.health())

    app = fastapi.FastAPI(title="configuration")
    app.add_api_route("/config/{key:path}", get, methods=["GET"])
    app.add_api_route("/config/{key:path}", put, methods=["PUT"])
    app.add_api_route("/config/{key:path}", delete, methods=["DELETE"])
    app.add_api_route("/health", health)
    return app


def _response(answer: Answer) -> JSONResponse:
    return JSONResponse(answer.body, answer.status, dict(answer.headers))
