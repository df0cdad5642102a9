"""A query parameter that a route does not know is refused, since a mistyped filter would let everything through."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, Query
from fastapi.testclient import TestClient

from ui.gateway.errors import install_error_responses
from ui.shared.rpc import RpcRouter


class Filters:
    def __init__(self, kind: str = "", most: Annotated[int, Query(alias="limit")] = 5) -> None:
        self.kind, self.most = kind, most


def test_the_error_names_the_parameters_that_there_are() -> None:
    app, router = FastAPI(), RpcRouter()
    install_error_responses(app)

    @router.get("/things/{name}")
    async def things(name: str, filters: Annotated[Filters, Depends()], tag: str = "") -> dict[str, object]:
        return {"kind": filters.kind, "limit": filters.most, "tag": tag}

    app.include_router(router)
    client = TestClient(app)
    assert client.get("/things/a?kind=x&limit=2&tag=t").json() == {"kind": "x", "limit": 2, "tag": "t"}
    refused = client.get("/things/a?knd=x")
    assert refused.status_code == 400
    assert "no query parameter 'knd'" in refused.text and "Use kind, limit, tag." in refused.text
