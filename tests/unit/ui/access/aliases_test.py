"""Who may do what an event or a route does beside: move an alias, delete a version; no service runs behind."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from drillyard.feedback.v1 import feedback_service_pb2
from drillyard.feedback.v1.loop_pb2 import LoopSpec
from drillyard.feedback.v1.schedule_pb2 import ScheduleSpec
from drillyard.registry.v1.model_pb2 import DeleteModelVersionRequest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message_factory import GetMessageClass
from gradio.context import LocalContext
from starlette.requests import Request
from starlette.testclient import TestClient

from services.chassis.errors import PermissionDenied, Unavailable
from services.chassis.telemetry import Telemetry
from tests.machine import free_port
from ui.gateway.access.caller import CALL_KEY, ROLES, Call, Caller
from ui.gateway.app import create_app
from ui.gateway.clients import alias_of, open_clients
from ui.gateway.settings import GatewaySettings
from ui.loops.page import _Page as LoopPage
from ui.loops.schedules.page import _Page as SchedulePage
from ui.shared.cache import ServiceCache

ADMIN_KEY = "first-key-of-a-test-that-is-long-enough"
LOOP = LoopSpec(candidate_alias="champion")
SENTENCE = "asks for the scope publish, which"


@pytest.fixture
def settings(tmp_path: Path) -> GatewaySettings:
    (tmp_path / "key").write_text(ADMIN_KEY)
    away = f"127.0.0.1:{free_port()}"
    return GatewaySettings(
        data_dir=tmp_path,
        authentication="on",
        admin_key_file=tmp_path / "key",
        feedback_address=away,
        registry_address=away,
    )


def test_a_route_moves_an_alias_only_for_who_may_publish(settings: GatewaySettings) -> None:
    bodies = {"loops": {"candidate_alias": "champion"}, "schedules": {"loop": {"candidate_alias": "champion"}}}
    with TestClient(create_app(settings, Telemetry()), base_url="http://127.0.0.1:7860") as http:

        def post(path: str, key: str, body: Any) -> Any:
            return http.post(f"/api/v1/{path}", json=body, headers={"Authorization": f"Bearer {key}"})

        key = post("api-keys", ADMIN_KEY, {"key_id": "ci", "scopes": ["read", "train"]}).json()["key"]
        for path, body in bodies.items():
            refused = post(path, key, body)
            assert refused.status_code == 403
            assert f"'champion' {SENTENCE} key:ci does not have" in refused.json()["problem"]
            # The service, which is away, is asked by those who may.
            assert [post(path, key, {}).status_code, post(path, ADMIN_KEY, body).status_code] == [503, 503]


@pytest.fixture
def signed_in() -> Iterator[Any]:
    def sign_in(role: str) -> None:
        call = Call(Caller("user:ann", ROLES[role]), "")
        LocalContext.request.set(gr.Request(request=Request({"type": "http", "headers": [], CALL_KEY: call})))

    yield sign_in
    LocalContext.request.set(None)


async def test_an_event_of_a_page_moves_an_alias_only_for_who_may_publish(
    settings: GatewaySettings, signed_in: Any
) -> None:
    async with open_clients(settings) as clients:
        app: Any = SimpleNamespace(state=SimpleNamespace(clients=clients))
        cache = ServiceCache(app)
        loops: Any = SimpleNamespace(spec=lambda _values: LOOP)
        schedules: Any = SimpleNamespace(spec=lambda _values: ScheduleSpec(loop=LOOP))
        for event in (LoopPage(cache, loops).start, SchedulePage(cache, schedules).create):
            signed_in("trainer")
            assert SENTENCE in (await event({}))[1]
            signed_in("publisher")
            assert SENTENCE not in (await event({}))[1]


async def test_whatever_event_asks_for_it_a_version_is_deleted_only_for_who_may_train(
    settings: GatewaySettings, signed_in: Any
) -> None:
    async with open_clients(settings) as clients:
        app: Any = SimpleNamespace(state=SimpleNamespace(clients=clients))
        cache = ServiceCache(app)
        for role, error in (("viewer", PermissionDenied), ("reviewer", PermissionDenied), ("trainer", Unavailable)):
            signed_in(role)
            with pytest.raises(error):
                await cache.clients.registry.DeleteModelVersion(DeleteModelVersionRequest(model_version_id="small@1"))


def test_each_request_that_holds_a_loop_and_creates_something_is_looked_at() -> None:
    def fill(message: Any, descriptor: Descriptor) -> bool:
        if descriptor is LoopSpec.DESCRIPTOR:
            message.CopyFrom(LOOP)
            return True
        parts = [field for field in descriptor.fields if field.message_type and not field.is_repeated]
        return sum(fill(getattr(message, field.name), field.message_type) for field in parts) > 0

    service = feedback_service_pb2.DESCRIPTOR.services_by_name["FeedbackService"]
    requests = {method.name: GetMessageClass(method.input_type)() for method in service.methods}
    holding = {name for name, request in requests.items() if fill(request, request.DESCRIPTOR)}
    # A plan starts nothing.
    assert {name for name in holding if alias_of(requests[name])} == holding - {"PlanLoop"}
    assert holding == {"PlanLoop", "CreateLoop", "CreateSchedule"}
