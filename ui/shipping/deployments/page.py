"""The page Deployments: what is served, what aliases point at, and promotion with its evidence."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import gradio as gr
from drillyard.registry.v1 import deployment_pb2 as pb

from services.chassis.errors import ServiceError
from ui.models.actions import read_models, read_suites
from ui.openai.shadowing.shadows import Shadows
from ui.shared import parts
from ui.shared.cache import ServiceCache, done_notice, html_or_notice, notice
from ui.shared.environment import render
from ui.shared.fields import Values
from ui.shipping.deployments.actions import find_alias, read_alias, read_aliases, read_deployments
from ui.shipping.deployments.form import DeploymentForm, deployment_form
from ui.shipping.deployments.promotion import SUITE, Candidate, promote
from ui.shipping.deployments.views import Promotion, shadow_pair_view

_MOST_ENDED = 1000
_NUM_PAIRS = 5


def build(cache: ServiceCache) -> None:
    """Build the page."""
    parts.frame(
        "Deployments", "What is served, and the names by which clients find it. A candidate proves itself first."
    )
    candidate, shown = gr.State(None), gr.State({})
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            form, buttons = deployment_form()
            message = parts.area("promotion-message")
        with gr.Column(scale=8, min_width=520):
            promotion = parts.area("promotion")
            aliases = parts.area("aliases", waits=True)
            deployments = parts.area("deployments")
    page = _Page(cache, form)
    areas = [promotion, aliases, deployments, shown]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    parts.root().load(page.open, None, [form.model, form.suite, form.answers, form.shadow], **quiet)
    parts.keep_fresh(cache, page.refresh, [candidate, shown], areas, on_load=True)
    buttons.promote.click(page.start, form.components(), [candidate, message], **quiet)
    buttons.deploy.click(page.deploy, form.components(), [message], **quiet)
    buttons.point.click(page.point, form.components(), [message], **quiet)
    aliases.select(page.act, None, [message], **quiet)
    deployments.select(page.delete, None, [message], **quiet)


class _Page:
    def __init__(self, cache: ServiceCache, form: DeploymentForm) -> None:
        self._cache, self._form = cache, form
        self._ended: dict[Candidate, Promotion] = {}

    async def open(self, request: gr.Request) -> list[Any]:
        try:
            versions = [model.model_version_id for model in await self._cache.read(read_models)]
            suites = [suite.test_suite_version_id for suite in await self._cache.read(read_suites)]
            deployments = [item.deployment_id for item in await self._cache.read(read_deployments)]
        except ServiceError:
            versions, suites, deployments = [], [], []
        smoke = next((suite for suite in suites if suite.startswith(f"{SUITE}@")), "")
        optional = [gr.Dropdown(choices=["", *names]) for names in (deployments, versions)]
        return [parts.choices(versions, parts.query(request, "model")), parts.choices(suites, smoke), *optional]

    async def refresh(self, candidate: Candidate | None, shown: dict[str, int]) -> list[Any]:
        promotion = await html_or_notice(self._promotion(candidate), "promotion")
        aliases = await html_or_notice(self._aliases())
        deployments = await html_or_notice(self._deployments())
        return [*parts.changed(shown, promotion=promotion, aliases=aliases, deployments=deployments), shown]

    async def start(self, values: Values) -> list[Any]:
        try:
            candidate = self._form.candidate(values)
        except ServiceError as error:
            return [None, notice(error, "promotion")]
        former = self._ended.pop(candidate, None)
        if former is not None and former.step == "refused":
            candidate = replace(candidate, attempt=secrets.token_hex(4))
        self._cache.forget()
        sentence = f"{candidate.model_version_id} is tried out before {candidate.alias_id} points at it."
        return [candidate, done_notice(sentence)]

    async def deploy(self, values: Values) -> str:
        try:
            request = pb.CreateDeploymentRequest(spec=self._form.deployment(values))
            deployment = (await self._cache.clients.registry.CreateDeployment(request)).deployment
        except ServiceError as error:
            return notice(error, "deployment")
        self._cache.forget()
        return done_notice(f"{deployment.deployment_id} is being deployed.")

    async def point(self, values: Values) -> str:
        """Point an alias by hand, wherever it points now."""
        try:
            request = self._form.move(values)
            request.expected_revision = (await find_alias(self._cache.clients, request.alias_id)).revision
            alias = (await self._cache.clients.registry.SetAlias(request)).alias
        except ServiceError as error:
            return notice(error, "promotion")
        self._cache.forget()
        return done_notice(f"{alias.alias_id} is {alias.model_version_id}.", "Nothing was tested.", tone="warn")

    async def act(self, event: gr.EventData) -> str:
        """Roll the alias back whose button was clicked, or remove it."""
        verb, _, alias_id = parts.picked(event).partition(" ")
        try:
            done = await (self._rollback if verb == "rollback" else self._remove)(alias_id)
        except ServiceError as error:
            return notice(error)
        self._cache.forget()
        return done

    async def _rollback(self, alias_id: str) -> str:
        alias = await self._cache.read(read_alias, alias_id)
        request = pb.RollbackAliasRequest(alias_id=alias_id, expected_revision=alias.revision)
        moved = (await self._cache.clients.registry.RollbackAlias(request)).alias
        left, now = alias.rollback_sentences
        return done_notice(f"{alias_id} is {moved.model_version_id} again.", f"Left: {left} Now: {now}", tone="warn")

    async def _remove(self, alias_id: str) -> str:
        await self._cache.clients.registry.DeleteAlias(pb.DeleteAliasRequest(alias_id=alias_id))
        return done_notice(f"The alias {alias_id} is removed; its version and deployment stay.", tone="warn")

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
