"""All pages together, mounted into the gateway."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from fastapi import FastAPI

from ui.markup.environment import FOLDER, stylesheet
from ui.pages import loops, models, test_runs, training_jobs
from ui.pages.desk import Desk
from ui.pages.theme import make_theme

_MAX_UPLOAD_BYTES = 1024
_OWN_SHEET = Path(__file__).parent / "pages.css"


def mount_pages(app: FastAPI) -> None:
    """Mount the pages at the root of the application, after all its other routes."""
    desk = Desk(app)
    with gr.Blocks(title="Drillyard", analytics_enabled=False) as site:
        models.build(desk)
    with site.route("Test", "/test"):
        test_runs.build(desk)
    with site.route("Train", "/train"):
        training_jobs.build(desk)
    with site.route("Improve", "/improve"):
        loops.build(desk)
    # Readings are cached and cheap, so many pages may ask at once.
    site.queue(default_concurrency_limit=40, max_size=400, api_open=False)
    gr.mount_gradio_app(
        app,
        site,
        path="/",
        theme=make_theme(),
        css=stylesheet() + _OWN_SHEET.read_text(encoding="utf-8"),
        favicon_path=str(FOLDER / "favicon.svg"),
        show_error=False,
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        max_file_size=_MAX_UPLOAD_BYTES,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
    )
