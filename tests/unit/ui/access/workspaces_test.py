"""Workspaces and their quotas: who may see and set them, what they refuse, and what they let through."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from drillyard.evaluator.v1 import evaluator_service_pb2
from drillyard.feedback.v1 import feedback_service_pb2
from drillyard.notice.v1 import notice_service_pb2
from drillyard.registry.v1 import registry_service_pb2
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2, test_runner_service_pb2_grpc, transcript_pb2
from drillyard.trainer.v1 import trainer_service_pb2
from drillyard.usage.v1 import usage_service_pb2, usage_service_pb2_grpc
from starlette.testclient import TestClient

from services.chassis.calls import CallLimit
from services.chassis.errors import FailedPrecondition, NotFound, QuotaExceeded, Unavailable
from services.chassis.machine.parent import ServiceToken
from services.chassis.server import Server
from services.chassis.telemetry import Telemetry
from tests.machine import free_port
from tests.unit.chassis.jobs.memory_store import MemoryJobStore
from ui.gateway.access.caller import EVERY_SCOPE, Caller, ask_for
from ui.gateway.access.workspaces.quotas import Quotas
from ui.gateway.access.workspaces.workspace import USES, Workspace
from ui.gateway.app import create_app
from ui.gateway.clients import Clients, open_clients
from ui.gateway.errors import service_error_response
from ui.gateway.settings import GatewaySettings
from ui.openai.errors import told_error

ADMIN_KEY = "first-key-of-a-test-that-is-long-enough"
ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}
ORIGIN = {"Origin": "http://127.0.0.1:7860"}
LAB = Workspace("lab", "key:boss", datetime(2026, 5, 1, tzinfo=UTC), max_jobs=2, max_tokens=1000)
MAKING = ("Create", "Resume", "Revise", "Run", "Generate")
SERVICES = (
    registry_service_pb2,
    test_runner_service_pb2,
    evaluator_service_pb2,
    trainer_service_pb2,
    feedback_service_pb2,
    notice_service_pb2,
)


def test_every_rpc_that_makes_something_says_which_quotas_bound_it() -> None:
    methods = {
        method.name
        for file in SERVICES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert {name for name in methods if name.startswith(MAKING)} == set(USES)


class _Workspaces:
    """Workspaces of which there are the default one and one more."""

    def __init__(self, *known: Workspace) -> None:
        self._known = {workspace.workspace_id: workspace for workspace in known}

    async def get(self, workspace_id: str) -> Workspace:
        if workspace_id not in self._known:
            raise NotFound(f"There is no workspace '{workspace_id}'.")
        return self._known[workspace_id]


class _Services(test_runner_service_pb2_grpc.TestRunnerServiceServicer, usage_service_pb2_grpc.UsageServiceServicer):
    """A service with jobs in memory; of tokens it has used what it is told."""

    def __init__(self) -> None:
        self.jobs, self.num_tokens = MemoryJobStore(), 0

    async def CreateTestRun(self, request: Any, context: Any) -> test_run_pb2.CreateTestRunResponse:
        job = await self.jobs.create("test_run", request.request_id, {})
        return test_run_pb2.CreateTestRunResponse(test_run=test_run_pb2.TestRun(test_run_id=job.job_id))

    async def Generate(self, request: Any, context: Any) -> AsyncIterator[transcript_pb2.GenerateResponse]:
        yield transcript_pb2.GenerateResponse(text_delta="Hello.")

    async def GetUsage(self, request: Any, context: Any) -> usage_service_pb2.GetUsageResponse:
        use = usage_service_pb2.WorkspaceUsage(workspace_id="lab", num_tokens=self.num_tokens)
        use.num_jobs = len((await self.jobs.list("test_run"))[0])
        return usage_service_pb2.GetUsageResponse(workspaces=[use])


@asynccontextmanager
async def _gateway(folder: Path, services: _Services) -> AsyncIterator[Clients]:
    token = ServiceToken.make(folder / "token")
    server = Server(Telemetry(), CallLimit(64, 2), token)
    server.add_servicer(test_runner_service_pb2_grpc.add_TestRunnerServiceServicer_to_server, services, "a.Runner")
    server.add_servicer(usage_service_pb2_grpc.add_UsageServiceServicer_to_server, services, "a.Usage")
    address = f"127.0.0.1:{server.bind('127.0.0.1', 0, reflection=False)}"
    await server.start()
    known: Any = _Workspaces(LAB, Workspace("default", "", LAB.create_time))
    quotas = Quotas(known)
    settings = GatewaySettings(
        data_dir=folder,
        token_file=folder / "token",
        authentication="on",
        admin_key_file=folder / "token",
        test_runner_address=address,
    )
    try:
        async with open_clients(settings, quotas) as clients:
            quotas.services = {"test_runner": quotas.services["test_runner"]}
            yield clients
    finally:
        await server.drain(0)


async def _run(clients: Clients, request_id: str) -> str:
    request = test_run_pb2.CreateTestRunRequest(request_id=request_id)
    return (await clients.test_runner.CreateTestRun(request)).test_run.test_run_id


async def test_of_many_that_come_at_once_as_many_are_let_in_as_there_is_room_and_a_repeat_is_found(
    tmp_path: Path,
) -> None:
    services = _Services()
    async with _gateway(tmp_path, services) as clients:
        ask_for(Caller("key:ci", EVERY_SCOPE, "lab"))
        made = await asyncio.gather(*(_run(clients, f"r{number}") for number in range(8)), return_exceptions=True)
        refused = [error for error in made if isinstance(error, QuotaExceeded)]
        assert len(refused) == 6
        problem = "The workspace lab has 2 of 2 jobs at work or waiting."
        assert {error.problem for error in refused} == {problem}
        assert "cancel one, or ask an admin" in refused[0].next_step
        by_id = {made[number]: f"r{number}" for number in range(8) if isinstance(made[number], str)}
        for job in (await services.jobs.list("test_run"))[0]:
            assert (job.workspace_id, job.caller) == ("lab", "key:ci")
            assert await _run(clients, job.request_id) == job.job_id
            assert by_id[job.job_id] == job.request_id
        ask_for(Caller("key:other", EVERY_SCOPE))
        await _run(clients, "of the default workspace, which has no quota")


async def test_who_has_used_up_the_tokens_of_the_month_generates_no_more(tmp_path: Path) -> None:
    services = _Services()
    async with _gateway(tmp_path, services) as clients:
        ask_for(Caller("key:ci", EVERY_SCOPE, "lab"))
        stream: Any = clients.test_runner.Generate(transcript_pb2.GenerateRequest())
        assert [piece.text_delta async for piece in stream] == ["Hello."]
        services.num_tokens = 1000
        with pytest.raises(QuotaExceeded, match="used 1,000 of 1,000 tokens of this month"):
            await anext(aiter(clients.test_runner.Generate(transcript_pb2.GenerateRequest())))
        with pytest.raises(QuotaExceeded, match="tokens"):
            await _run(clients, "r")
        ask_for(Caller("key:left", EVERY_SCOPE, "deleted"))
        with pytest.raises(FailedPrecondition, match="no workspace 'deleted'"):
            await _run(clients, "r")


def test_a_quota_is_refused_by_429_and_openai_clients_know_it() -> None:
    error = QuotaExceeded("The workspace lab has used all.", "Ask an admin.")
    assert service_error_response(error).status_code == 429
    told = told_error(error)
    assert (told.status, told.code) == (429, "insufficient_quota")


class _Usage:
    async def GetUsage(self, _request: Any) -> Any:
        use = {"num_jobs": 3, "num_tokens": 70_000, "num_bytes": 2_000_000}
        return SimpleNamespace(workspaces=[SimpleNamespace(workspace_id="lab", **use)])


class _Away:
    async def GetUsage(self, _request: Any) -> Any:
        raise Unavailable("The registry does not answer.")


@pytest.fixture
def http(tmp_path: Path) -> Iterator[TestClient]:
    (tmp_path / "key").write_text(ADMIN_KEY)
    settings = GatewaySettings(
        data_dir=tmp_path,
        authentication="on",
        admin_key_file=tmp_path / "key",
        registry_address=f"127.0.0.1:{free_port()}",
    )
    app: Any = create_app(settings, Telemetry())
    with TestClient(app, base_url="http://127.0.0.1:7860") as client:
        while not hasattr(app, "state"):
            app = app._app
        app.state.quotas.services = {"registry": _Usage(), "trainer": _Usage()}
        client.quotas = app.state.quotas  # type: ignore[attr-defined]
        yield client


def test_admins_set_quotas_and_members_see_those_of_their_workspace(http: Any) -> None:
    quotas = {"max_jobs": 2, "max_tokens": 50_000, "max_bytes": 0}
    made = http.put("/api/v1/workspaces/lab", json=quotas, headers=ADMIN).json()["workspace"]
    assert made.items() >= {"workspace_id": "lab", "creator": "key:initial-admin", **quotas}.items()
    key = {"key_id": "ci", "scopes": ["read", "test"], "workspace_id": "lab"}
    assert http.post("/api/v1/api-keys", json={**key, "workspace_id": "none"}, headers=ADMIN).status_code == 404
    text = http.post("/api/v1/api-keys", json=key, headers=ADMIN).json()["key"]
    member = {"Authorization": f"Bearer {text}"}
    assert http.get("/api/v1/caller", headers=member).json()["caller"]["workspace_id"] == "lab"
    (own,) = http.get("/api/v1/workspaces", headers=member).json()["workspaces"]
    assert own["use"] == {"num_jobs": 6, "num_tokens": 140_000, "num_bytes": 4_000_000}
    all_of_them = http.get("/api/v1/workspaces", headers=ADMIN).json()["workspaces"]
    assert [item["workspace_id"] for item in all_of_them] == ["default", "lab"]
    assert all_of_them[0]["use"] == {"num_jobs": 0, "num_tokens": 0, "num_bytes": 0}
    assert http.put("/api/v1/workspaces/lab", json=quotas, headers=member).status_code == 403
    for name in ("A b", "-x", "x" * 41):
        assert http.put(f"/api/v1/workspaces/{name}", json=quotas, headers=ADMIN).status_code == 400, name
    changed = http.put("/api/v1/workspaces/lab", json={"max_bytes": 7}, headers=ADMIN).json()["workspace"]
    assert changed == {**made, "max_jobs": 0, "max_tokens": 0, "max_bytes": 7}
    refused = http.delete("/api/v1/workspaces/lab", headers=ADMIN)
    assert (refused.status_code, "key:ci" in refused.json()["problem"]) == (409, True)
    assert http.delete("/api/v1/workspaces/default", headers=ADMIN).status_code == 409
    http.post("/api/v1/api-keys/ci/revoke", headers=ADMIN)
    assert http.delete("/api/v1/workspaces/lab", headers=ADMIN).status_code == 200
    assert http.delete("/api/v1/workspaces/lab", headers=ADMIN).status_code == 404


def test_the_page_shows_use_and_sets_quotas(http: Any) -> None:
    http.post("/login", data={"secret": ADMIN_KEY}, headers=ORIGIN, follow_redirects=False)

    def send(**form: Any) -> Any:
        return http.post("/settings", data=form, headers=ORIGIN)

    page = send(action="set-workspace", workspace_id="lab", max_jobs="8", max_tokens="1000000", max_bytes="").text
    assert "6 of 8" in page and "140,000 of 1,000,000" in page and "4.0 MB" in page
    user = {"user_id": "ann", "role": "viewer", "password": "correct horse battery"}
    assert "<td>lab</td>" in send(action="create-user", workspace_id="lab", **user).text
    assert send(action="set-workspace", workspace_id="lab", max_jobs="-1").status_code == 400
    assert send(action="delete-workspace", workspace_id="lab").status_code == 409
    http.quotas.services = {"registry": _Away()}
    assert "not known now" in http.get("/settings").text
    http.cookies.clear()
    login = {"name": "ann", "secret": user["password"]}
    assert http.post("/login", data=login, headers=ORIGIN, follow_redirects=False).status_code == 303
    page = http.get("/settings").text
    assert "<b>lab</b>" in page and "of 1,000,000" in page
    assert "Set quotas" not in page and "API keys" not in page
