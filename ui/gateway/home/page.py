"""The first page."""

from __future__ import annotations

import shutil
from typing import Any

import gradio as gr

from ui.gateway.home.actions import read_home
from ui.gateway.home.views import home_view
from ui.shared import parts
from ui.shared.cache import ServiceCache, html_or_notice
from ui.shared.environment import render


def build(cache: ServiceCache) -> None:
    """Build the page."""
    parts.frame("Home", "What is at work, what waits for you, what was reached.")
    page, shown = _Page(cache), gr.State({})
    home = parts.area("home", waits=True)
    parts.keep_fresh(cache, page.refresh, [shown], [home, shown], seconds=2 * parts.TICK_SECONDS, on_load=True)


class _Page:
    def __init__(self, cache: ServiceCache) -> None:
        self._cache = cache

    async def refresh(self, shown: dict[str, int]) -> list[Any]:
        return [*parts.changed(shown, home=await html_or_notice(self._home())), shown]

    async def _home(self) -> str:
        read, problems = await self._cache.read(read_home)
        free_bytes = shutil.disk_usage(self._cache.app.state.settings.data_dir).free
        return render("home/home", home=home_view(read, free_bytes=free_bytes, problems=problems))
