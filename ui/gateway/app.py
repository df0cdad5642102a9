"""The gateway's application: REST under `/api/v1`, OpenAI's routes under `/v1`, pages, and one door in front of all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from services.chassis.artifacts import ArtifactStore
from services.chassis.artifacts.garbage import ArtifactGarbage
from services.chassis.machine.garbage import GarbageCollector, Place
from services.chassis.telemetry import Telemetry
from services.chassis.waiting import keep_going
from ui.comparisons import routes as comparisons
from ui.diagnoses import routes as diagnoses
from ui.evaluations import routes as evaluations
from ui.evaluations.feedback import routes as feedback
from ui.gateway import reference
from ui.gateway.access import routes as access
from ui.gateway.access import settings_page
from ui.gateway.access.door import Door
from ui.gateway.access.login import routes as login
from ui.gateway.access.opening import open_access
from ui.gateway.access.workspaces import routes as workspaces
from ui.gateway.access.workspaces.quotas import Quotas
from ui.gateway.clients import open_clients
from ui.gateway.errors import PROBLEM_RESPONSE, install_error_responses
from ui.gateway.middleware.headers import SecurityHeaders
from ui.gateway.middleware.limits import RequestLimits
from ui.gateway.middleware.loopback import LoopbackOnly
from ui.gateway.middleware.outside import Outside
from ui.gateway.middleware.telemetry import HttpTelemetry
from ui.gateway.pages import Pages, PagesMount
from ui.gateway.settings import GatewaySettings
from ui.gateway.storage import routes as storage
from ui.gateway.uploads import Uploads
from ui.loops import routes as loops
from ui.loops.schedules import routes as schedules
from ui.models import routes as models
from ui.models.exports import routes as exports
from ui.models.model_uploads import ModelUploads
from ui.openai import errors as openai_errors
from ui.openai import routes as openai_routes
from ui.openai.served import ServedModels
from ui.openai.shadowing.answers import ShadowAnswers
from ui.openai.shadowing.shadows import Shadows
from ui.shared.events import EventStreams
from ui.shipping.deployments import routes as deployments
from ui.shipping.notices import routes as notices
from ui.shipping.shipments import routes as shipments
from ui.test_runs import routes as test_runs
from ui.test_suites import routes as test_suites
from ui.training_jobs import routes as training_jobs
from ui.training_jobs.datasets import routes as datasets

_PLACES = ("data_dir", "database_url", "artifacts_url", "gc_hours", "upload_hours", "shadow_days")
_DESCRIPTION = (
    "Test a language model on a fixed suite, see why it fails, train it on what failed, and test it again. "
    "Documents are protobuf's JSON form with snake_case names; 64-bit integers are strings. "
    "Errors are problem documents that say what is wrong and what to do next."
)


def create_app(settings: GatewaySettings, telemetry: Telemetry) -> ASGIApp:
    """Return the whole gateway as one ASGI application; its lifespan opens and closes the channels."""
    app = FastAPI(
        title="Drillyard",
        version="1",
        description=_DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.settings, app.state.access = settings, None
    folder = settings.data_dir.resolve() / "gateway"
    app.state.shadows = Shadows(telemetry, ShadowAnswers(folder / "shadows", settings.shadow_days))
    install_error_responses(app)
    app.add_exception_handler(HTTPException, openai_errors.on_http_error)
    # First what pages ask for: looking through the routes of the APIs takes longer than most answers.
    for router in (reference.router, login.router, settings_page.router):
        app.include_router(router)
    app.state.pages = Pages(app)
    app.router.routes.append(PagesMount("/", app.state.pages))
    app.include_router(_api(), prefix="/api/v1")
    app.include_router(openai_routes.router, prefix="/v1")
    return SecurityHeaders(HttpTelemetry(_guarded(app, settings), telemetry, openai_routes.ROUTES))


def _guarded(app: FastAPI, settings: GatewaySettings) -> ASGIApp:
    outside = settings.outside
    door: ASGIApp = app
    if settings.authentication == "on":
        # Innermost, where each request is seen as the browser sent it.
        door = Door(app, lambda: app.state.access, settings.calls_per_minute, outside.origin if outside else "")
    limited = RequestLimits(Outside(door, outside) if outside else door, settings)
    return limited if settings.authentication == "on" else LoopbackOnly(limited, outside)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: GatewaySettings = app.state.settings
    async with AsyncExitStack() as stack:
        app.state.access = await stack.enter_async_context(open_access(settings))
        app.state.quotas = Quotas(app.state.access.workspaces) if app.state.access else None
        app.state.clients = await stack.enter_async_context(open_clients(settings, app.state.quotas))
        app.state.served_models = ServedModels(app.state.clients)
        app.state.event_streams = EventStreams(settings.max_event_streams)
        folder = settings.data_dir.resolve() / "gateway"
        url = settings.artifacts_url or (folder / "artifacts").as_uri()
        store = ArtifactStore(url, cache_dir=folder / "artifacts")
        app.state.uploads, app.state.model_uploads = Uploads(store), ModelUploads(folder / "uploads", store)
        app.state.garbage = _garbage(url, app.state.model_uploads, settings)
        app.state.garbage.add(app.state.shadows.pairs.garbage)
        await stack.enter_async_context(app.state.pages.served())
        if settings.gc_hours:
            collecting = asyncio.create_task(keep_going("collect_garbage", app.state.garbage.keep_collecting))
            stack.callback(collecting.cancel)
        yield


def _garbage(url: str, models: ModelUploads, settings: GatewaySettings) -> GarbageCollector:
    folder = settings.data_dir.resolve() / "gateway"
    place = Place("gateway", folder, settings.resolved_database_url, url, settings, _PLACES)
    uploads, collector = ArtifactGarbage(url), GarbageCollector("gateway", settings.gc_hours, place)
    collector.add(uploads.half_written, partial(uploads.handed_over, "upload", settings.upload_hours))
    collector.add(partial(models.garbage, settings.upload_hours))
    return collector


def _api() -> APIRouter:
    api = APIRouter(responses={"default": PROBLEM_RESPONSE})
    before = (access.router, models.router, exports.router, diagnoses.router, test_suites.router, datasets.router)
    testing = (workspaces.router, storage.router, test_runs.router, test_runs.transcripts, evaluations.router)
    said = (feedback.router, comparisons.router)
    leaving = (shipments.router, deployments.router, notices.router)
    for router in (*before, *testing, *said, training_jobs.router, loops.router, schedules.router, *leaving):
        api.include_router(router)
    return api
