"""The pages, made when the first of them is asked for."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import cast

from fastapi import FastAPI
from starlette.routing import Match, Mount
from starlette.types import Receive, Scope, Send

_APIS = ("/api/v1/", "/v1/")


class Pages:
    """An ASGI application that makes the pages at the first request and then passes all to them.

    What they are built with takes seconds and 100 MB, which a gateway that only programs use never needs.
    """

    def __init__(self, gateway: FastAPI) -> None:
        self._gateway = gateway
        self._request = asyncio.Event()
        self._site: asyncio.Future[FastAPI] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the first ones wait until the pages are made."""
        assert self._site is not None
        self._request.set()
        site = await asyncio.shield(self._site)
        await site(scope, receive, send)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """Answer requests for as long as the block lasts."""
        self._site = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._serve(self._site))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _serve(self, made: asyncio.Future[FastAPI]) -> None:
        while True:
            await self._request.wait()
            try:
                await self._serve_site(made)
            except Exception as error:
                # Each request that waits tells it; the next one has the pages made anew.
                made.set_exception(error)
                made = self._site = asyncio.get_running_loop().create_future()
                self._request.clear()

    async def _serve_site(self, made: asyncio.Future[FastAPI]) -> None:
        # Its locks belong to no loop until they are used, but are made only where one runs.
        site = await asyncio.to_thread(lambda: asyncio.run(make_site(self._gateway)))
        # Entered and left by the same task, as the page framework's own tasks ask for.
        async with site.router.lifespan_context(site):
            made.set_result(site)
            await asyncio.Event().wait()


class PagesMount(Mount):
    """Where the pages lie: everywhere but below the APIs."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether the pages answer a request."""
        is_of_api = scope["path"].removeprefix(scope.get("root_path", "")).startswith(_APIS)
        return (Match.NONE, {}) if is_of_api else super().matches(scope)


async def make_site(gateway: FastAPI) -> FastAPI:
    """Return the pages of a gateway."""
    # Where pyarrow is there, the page framework's pandas loads it: 35 MB that no page uses.
    sys.modules.setdefault("pyarrow", cast("ModuleType", None))
    from ui.gateway.site import mount_pages

    site = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    mount_pages(site, gateway)
    return site
