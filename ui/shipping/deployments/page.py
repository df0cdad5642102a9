"""The page Deployments: what is served, what aliases point at, and promotion with its evidence."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import gradio as gr
from drillyard.registry.v1 import deployment_pb2 as pb

from services.chassis.errors import InvalidArgument, ServiceError
from ui.models.actions import read_models, read_suites
from ui.openai.shadowing.shadows import Shadows
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, html_or_notice, notice
from ui.shared.environment import render
from ui.shipping.deployments.actions import find_alias, read_aliases, read_deployments
from ui.shipping.deployments.promotion import SUITE, Candidate, promote
from ui.shipping.deployments.views import Promotion, shadow_pair_view

_MOST_ENDED = 1000
_NUM_PAIRS = 5


def build(cache: ServiceCache) -> None:
    """Build the page."""
    parts.frame(
        "Deployments", "What is served, and the names by which clients find it. A candidate proves itself first."
    )
    page = _Page(cache)
    candidate, shown = gr.State(None), gr.State({})
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            with gr.Column(elem_classes="dy-form"):
                model = gr.Dropdown([], label="Candidate", elem_id="promotion-model")
                alias = gr.Textbox(
                    label="Alias", placeholder="smollm2:champion", max_length=200, elem_id="promotion-alias-id"
                )
                suite = gr.Dropdown([], label="Suite that decides", elem_id="promotion-suite")
                start = gr.Button("Promote", variant="primary", elem_id="promotion-start")
                deploy = gr.Button("Only deploy", elem_id="promotion-deploy")
            message = parts.area("promotion-message")
        with gr.Column(scale=8, min_width=520):
            promotion = parts.area("promotion")
            aliases = parts.area("aliases", waits=True)
            deployments = parts.area("deployments")
    areas = [promotion, aliases, deployments, shown]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    parts.root().load(page.open, None, [model, suite], **quiet)
    parts.keep_fresh(cache, page.refresh, [candidate, shown], areas, on_load=True)
    start.click(page.start, [model, alias, suite], [candidate, message], **quiet)
    deploy.click(page.deploy, [model], [message], **quiet)
    aliases.select(page.rollback, None, [message], **quiet)
    deployments.select(page.delete, None, [message], **quiet)


class _Page:
    def __init__(self, cache: ServiceCache) -> None:
        self._cache = cache
        self._ended: dict[Candidate, Promotion] = {}

    async def open(self, request: gr.Request) -> list[Any]:
        try:
            versions = [model.model_version_id for model in await self._cache.read(read_models)]
            suites = [suite.test_suite_version_id for suite in await self._cache.read(read_suites)]
        except ServiceError:
            versions, suites = [], []
        smoke = next((suite for suite in suites if suite.startswith(f"{SUITE}@")), "")
        return [parts.choices(versions, parts.query(request, "model")), parts.choices(suites, smoke)]

    async def refresh(self, candidate: Candidate | None, shown: dict[str, int]) -> list[Any]:
        promotion = await html_or_notice(self._promotion(candidate), "promotion")
        aliases = await html_or_notice(self._aliases())
        deployments = await html_or_notice(self._deployments())
        return [*parts.changed(shown, promotion=promotion, aliases=aliases, deployments=deployments), shown]

    async def start(self, model: str, alias_id: str, suite: str) -> list[Any]:
        if not model or not alias_id.strip():
            field = "alias_id" if model else "model"
            problem = InvalidArgument("A candidate and an alias are needed.", "Give both.", field=field)
            return [None, notice(problem, "promotion")]
        candidate = Candidate(alias_id.strip(), model, suite or SUITE)
        former = self._ended.pop(candidate, None)
        if former is not None and former.step == "refused":
            candidate = replace(candidate, attempt=secrets.token_hex(4))
        self._cache.forget()
        return [candidate, done_notice(f"{model} is tried out before {candidate.alias_id} points at it.")]

    async def deploy(self, model: str) -> str:
        request = pb.CreateDeploymentRequest(spec=pb.DeploymentSpec(model_version_id=model or ""))
        try:
            deployment = (await self._cache.clients.registry.CreateDeployment(request)).deployment
        except ServiceError as error:
            return notice(error, "promotion")
        self._cache.forget()
        return done_notice(f"{deployment.deployment_id} is being deployed.")

    async def rollback(self, event: gr.EventData) -> str:
        try:
            alias = await find_alias(self._cache.clients, parts.picked(event))
            request = pb.RollbackAliasRequest(alias_id=alias.alias_id, expected_revision=alias.revision)
            moved = (await self._cache.clients.registry.RollbackAlias(request)).alias
        except ServiceError as error:
            return notice(error)
        self._cache.forget()
        return done_notice(f"{moved.alias_id} is {moved.model_version_id} again.", tone="warn")

    async def delete(self, event: gr.EventData) -> str:
        request = pb.DeleteDeploymentRequest(deployment_id=parts.picked(event))
        try:
            await self._cache.clients.registry.DeleteDeployment(request)
        except ServiceError as error:
            return notice(error)
        self._cache.forget()
        return done_notice(f"{request.deployment_id} is being taken down.", tone="warn")

    async def _promotion(self, candidate: Candidate | None) -> str:
        one = self._ended.get(candidate) if candidate else None
        if candidate and one is None:
            shadows: Shadows = self._cache.app.state.shadows
            one = await self._cache.read(promote, candidate, shadows.pairs)
            if one.is_final and len(self._ended) < _MOST_ENDED:
                self._ended[candidate] = one
        return render("deployments/promotion", one=one)

    async def _aliases(self) -> str:
        aliases = await self._cache.read(read_aliases)
        shadows: Shadows = self._cache.app.state.shadows
        pairs = {
            alias.alias_id: list(map(shadow_pair_view, await shadows.pairs.newest(alias.alias_id, _NUM_PAIRS)))
            for alias in aliases
            if alias.shadow_model_version_id
        }
        return render("deployments/aliases", aliases=aliases, pairs=pairs)

    async def _deployments(self) -> str:
        return render("deployments/deployments", deployments=await self._cache.read(read_deployments))
