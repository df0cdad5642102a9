"""The page Deployments: what its buttons ask for, and the evidence beside a rollback."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from drillyard.evaluator.v1 import evaluation_pb2
from drillyard.registry.v1 import deployment_pb2 as pb

from services.chassis.errors import FailedPrecondition, Unavailable
from tests.unit.ui.commands.promotion_test import ALIAS, CANDIDATE, CHAMPION, NO_SHADOWS, Services
from ui.shared.cache import ServiceCache
from ui.shipping.deployments import actions
from ui.shipping.deployments.form import DeploymentForm, deployment_form
from ui.shipping.deployments.page import _Page


class Registry(Services):
    """Aliases with a version before; everything that was asked for is kept."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.requests: list[Any] = []

    async def ListAliases(self, _: Any) -> Any:
        return pb.ListAliasesResponse(aliases=[self.alias] if self.alias else [])

    async def RollbackAlias(self, request: pb.RollbackAliasRequest) -> Any:
        self.requests.append(request)
        assert self.alias and request.expected_revision == self.alias.revision
        self.alias = pb.Alias(alias_id=ALIAS, model_version_id=CHAMPION, revision=5, evaluation_ids=[CHAMPION])
        return pb.RollbackAliasResponse(alias=self.alias)

    async def DeleteAlias(self, request: pb.DeleteAliasRequest) -> Any:
        self.alias = None
        return pb.DeleteAliasResponse()

    async def CreateDeployment(self, request: Any) -> Any:
        self.requests.append(request)
        if request.spec.backend == pb.DEPLOYMENT_BACKEND_KUBERNETES_VLLM:
            raise FailedPrecondition("This installation serves by worker.", "Name another backend.", field="backend")
        return await super().CreateDeployment(request)

    async def DeleteDeployment(self, request: Any) -> Any:
        raise FailedPrecondition(f"{request.deployment_id} answers to the alias {ALIAS}.", "Point it elsewhere.")


@pytest.fixture
def services() -> Registry:
    alias = pb.Alias(
        alias_id=ALIAS,
        model_version_id=CANDIDATE,
        previous_model_version_id=CHAMPION,
        revision=4,
        evaluation_ids=[CANDIDATE, CHAMPION],
    )
    return Registry(alias=alias)


@pytest.fixture
async def page(services: Registry) -> _Page:
    # The page framework makes event loops that nobody closes where none runs.
    state = SimpleNamespace(clients=services.clients, shadows=SimpleNamespace(pairs=NO_SHADOWS))
    application: Any = SimpleNamespace(state=state)
    with gr.Blocks():
        form, _ = deployment_form()
    return _Page(ServiceCache(application), form)


def filled(form: DeploymentForm, **values: Any) -> dict[Any, Any]:
    """Return what the form holds when a person has filled in these fields."""
    return {item: item.value for item in form.components()} | {
        getattr(form, name): value for name, value in values.items()
    }


def click(value: str) -> gr.EventData:
    return gr.EventData(None, {"value": value})


async def test_a_rollback_shows_the_rates_of_both_versions_before_and_after_it(page: _Page) -> None:
    _, aliases, _, _ = await page.refresh(None, {})
    assert "tiny@2: 60 % conforming" in aliases and "tiny@1: 50 % conforming" in aliases
    done = await page.act(click(f"rollback {ALIAS}"))
    assert "is tiny@1 again" in done and "Left: tiny@2: 60 %" in done and "Now: tiny@1: 50 %" in done


async def test_what_was_not_measured_or_cannot_be_read_is_said_and_ends_no_rollback(
    page: _Page, services: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert services.alias
    del services.rates[CHAMPION], services.alias.evaluation_ids[1]
    _, aliases, _, _ = await page.refresh(None, {})
    assert "tiny@1: nothing was measured on roo_xml/smoke@1." in aliases

    async def away(_: Any) -> evaluation_pb2.GetEvaluationResponse:
        raise Unavailable("The evaluator does not answer.", "Start it.")

    monkeypatch.setattr(services, "GetEvaluation", away)
    done = await page.act(click(f"rollback {ALIAS}"))
    assert "is tiny@1 again" in done and "The evaluator does not answer." in done


async def test_a_rollback_waits_only_briefly_for_what_was_measured(
    page: _Page, services: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(actions, "_EVIDENCE_SECONDS", 0.01)
    monkeypatch.setattr(services, "GetEvaluation", hang)
    done = await page.act(click(f"rollback {ALIAS}"))
    assert "is tiny@1 again" in done and "Now: tiny@1: evaluator did not answer within 0.01 s." in done


async def test_an_alias_without_evidence_shows_what_was_measured_elsewhere(page: _Page, services: Registry) -> None:
    assert services.alias
    del services.alias.evaluation_ids[:]
    _, aliases, _, _ = await page.refresh(None, {})
    assert "tiny@2: 60 % conforming" in aliases and "tiny@1: 50 % conforming" in aliases


async def test_a_promotion_takes_what_decides_from_the_form_and_begins_anew_after_a_refusal(page: _Page) -> None:
    _, message = await page.start(filled(page._form, model=CANDIDATE))
    assert "There is no alias." in message
    values = filled(page._form, model=CHAMPION, alias="tiny:other", minimum=0.9)
    candidate, message = await page.start(values)
    assert (candidate.minimum_rate, candidate.margin) == (0.9, 0.1) and "is tried out" in message
    promotion, *_ = await page.refresh(candidate, {})
    assert "refused" in promotion and "90 % were asked for" in promotion
    again, _ = await page.start(values)
    assert again.attempt and not candidate.attempt


async def test_a_version_is_deployed_with_the_settings_of_the_form(page: _Page, services: Registry) -> None:
    fields = page._form.settings.components
    values = filled(page._form, model=CHAMPION) | {fields["num_ctx"]: 512}
    assert "is being deployed" in await page.deploy(values)
    (request,) = services.requests
    assert (request.spec.model_version_id, request.spec.num_ctx) == (CHAMPION, 512)
    values |= {fields["backend"]: "DEPLOYMENT_BACKEND_KUBERNETES_VLLM"}
    assert 'data-blames="deployment-backend"' in await page.deploy(values)
    assert "No version is chosen." in await page.deploy(filled(page._form))
    settings = {field.name for field in pb.DeploymentSpec.DESCRIPTOR.fields} - {"model_version_id"}
    assert settings == set(fields), "what REST and the command take, the page takes too"
    assert ALIAS in await page.delete(click("d-1"))


async def test_an_alias_is_pointed_by_hand_and_removed(page: _Page, services: Registry) -> None:
    values = filled(page._form, model=CHAMPION, alias=ALIAS, shadow=CANDIDATE)
    assert "Nothing was tested." in await page.point(values)
    assert services.alias and services.alias.shadow_model_version_id == CANDIDATE
    assert (services.alias.model_version_id, services.alias.revision) == (CHAMPION, 5)
    assert "is removed" in await page.act(click(f"remove {ALIAS}")) and services.alias is None
