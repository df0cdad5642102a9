"""All pages together, mounted into the gateway."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio.state_holder import SessionState, StateHolder
from starlette.routing import Mount

from ui.comparisons import page as comparisons
from ui.diagnoses import page as diagnoses
from ui.evaluations.feedback import page as feedback
from ui.evaluations.feedback import session_page as sessions
from ui.gateway.access.events import PageEvents, event_of
from ui.gateway.home import page as home
from ui.gateway.theme import make_theme
from ui.loops import page as loops
from ui.loops.schedules import page as schedules
from ui.models import page as models
from ui.playground import page as playground
from ui.shared.cache import ServiceCache
from ui.shared.environment import script, stylesheet
from ui.shipping.deployments import page as deployments
from ui.shipping.shipments import page as shipments
from ui.test_runs import page as test_runs
from ui.test_suites import page as test_suites
from ui.training_jobs import page as training_jobs
from ui.training_jobs.datasets import page as datasets

_UPLOADS_KEPT_SECONDS = 3600
_FOLDER = Path(__file__).parent
# Besides the first one.
_PAGES: tuple[tuple[str, str, Any], ...] = (
    ("Models", "/models", models),
    ("Doctor", "/doctor", diagnoses),
    ("Test suites", "/test-suites", test_suites),
    ("Test runs", "/test-runs", test_runs),
    ("Comparisons", "/comparisons", comparisons),
    ("Playground", "/playground", playground),
    ("Feedback", "/feedback", feedback),
    ("Sessions", "/sessions", sessions),
    ("Datasets", "/datasets", datasets),
    ("Training jobs", "/training-jobs", training_jobs),
    ("Loops", "/loops", loops),
    ("Schedules", "/schedules", schedules),
    ("Shipments", "/shipments", shipments),
    ("Deployments", "/deployments", deployments),
)


class _Session(SessionState):
    """What the page framework remembers of an open page, less a copy of the settings of all pages' components.

    The copy is for the framework's own links to a page, which ours do without. It takes 1.2 MB, and is kept of 10,000
    pages that were ever opened.
    """

    def __init__(self, blocks: gr.Blocks) -> None:
        parts: Any = SimpleNamespace(default_config=blocks.default_config, blocks=())
        super().__init__(parts)


class PageSessions(StateHolder):
    """The sessions of all pages that were opened."""

    def __getitem__(self, session_id: str) -> SessionState:
        """Return a session, a new one where there is none."""
        if session_id not in self.session_data:
            self.session_data[session_id] = _Session(self.blocks)
        return super().__getitem__(session_id)


def mount_pages(app: FastAPI, gateway: FastAPI) -> None:
    """Mount the pages at the root of `app`; they ask the services by the channels of the gateway."""
    cache = ServiceCache(gateway)
    with gr.Blocks(
        title="Drillyard", analytics_enabled=False, delete_cache=(_UPLOADS_KEPT_SECONDS, _UPLOADS_KEPT_SECONDS)
    ) as site:
        home.build(cache)
    for title, path, page in _PAGES:
        with site.route(title, path):
            page.build(cache)
    if gateway.state.access is not None:
        functions = {number: block.fn for number, block in site.fns.items() if block.fn is not None}
        app.add_middleware(PageEvents, events={number: event_of(fn) for number, fn in functions.items()})
    # Readings are cached and cheap, so many pages may ask at once.
    site.queue(default_concurrency_limit=40, max_size=400, api_open=False)
    gr.mount_gradio_app(
        app,
        site,
        path="/",
        theme=make_theme(),
        css=stylesheet() + (_FOLDER / "static" / "pages.css").read_text(encoding="utf-8"),
        head=f"<script>{script()}</script>",
        favicon_path=str(_FOLDER / "static" / "favicon.svg"),
        show_error=False,
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        max_file_size=gateway.state.settings.max_body_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
    )
    # It is a connection of each open page's own, and a browser has six to a host: a sixth tab would wait for ever.
    site.config["connect_heartbeat"] = False
    sessions = PageSessions()  # type: ignore[no-untyped-call]
    sessions.set_blocks(site)
    for route in app.routes:
        if isinstance(route, Mount):
            route.app.state_holder = sessions  # type: ignore[attr-defined]
