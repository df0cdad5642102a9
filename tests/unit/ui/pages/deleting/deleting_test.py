"""The buttons that delete: what is open goes, or a notice names what refers to it."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest
from drillyard.feedback.v1.loop_pb2 import ListLoopsResponse, Loop, Round
from drillyard.registry.v1.dataset_pb2 import DatasetVersion

from tests.unit.ui.pages.deleting.dependants_test import clients
from ui.gateway.access.caller import Scope
from ui.gateway.access.events import EVENTS
from ui.models.page import _Page as ModelsPage
from ui.shared.cache import ServiceCache
from ui.shared.environment import render
from ui.test_suites.page import _Page as SuitesPage
from ui.test_suites.views import SuiteDetailView
from ui.training_jobs.page import _Page as TrainingPage

DATASETS = [
    DatasetVersion(dataset_version_id=name, num_train_examples=400, produced_by="loop:loop-1")
    for name in ("d@9", "d@1")
]


class _Rpcs:
    """Takes what is deleted, and has empty lists."""

    def __init__(self, **rpcs: Any) -> None:
        self.deleted: list[str] = []
        self.__dict__.update(rpcs)

    def __getattr__(self, name: str) -> Any:
        async def answer(request: Any) -> Any:
            if name.startswith("Delete"):
                self.deleted += [value for _, value in request.ListFields()]
            kept = [version for version in DATASETS if version.dataset_version_id not in self.deleted]
            return SimpleNamespace(model_versions=[], imports=[], dataset_versions=kept, next_page_token="")

        return answer


@pytest.fixture
def services() -> Any:
    services, _ = clients()
    namespace: Any = services
    namespace.registry, namespace.trainer = _Rpcs(), _Rpcs(**vars(namespace.trainer))
    return namespace


def cache_of(services: Any) -> ServiceCache:
    return ServiceCache(cast(Any, SimpleNamespace(state=SimpleNamespace(clients=services))))


def click(value: str) -> gr.EventData:
    return gr.EventData(None, {"value": value})


async def test_a_model_version_is_deleted_unless_something_refers_to_it(services: Any) -> None:
    page = ModelsPage(cache_of(services))
    _, message = await page.delete("m@1", click("m@1"))
    assert services.registry.deleted == [] and "the test run run-1" in message
    chosen, message = await page.delete("m@9", click("m@9"))
    assert (chosen, services.registry.deleted) == ("", ["m@9"]) and "m@9 is deleted" in message
    assert EVENTS["ui.models.page:_Page.delete"] is Scope.TRAIN


async def test_the_model_version_on_the_card_is_deleted_while_another_one_opens(services: Any) -> None:
    shown = SimpleNamespace(model_version_id="m@9", architecture="llama", context_length=2048)
    card = render("models/model", one=shown, facts=())
    (value,) = re.findall(r'<button class="deed bad" data-select="([^"]*)"', card)
    chosen, message = await ModelsPage(cache_of(services)).delete("m@8", click(value))
    assert services.registry.deleted == ["m@9"] and "m@9 is deleted" in message
    assert chosen == gr.skip(), "m@8 stays open"


async def test_a_suite_version_is_deleted_unless_something_refers_to_it(services: Any) -> None:
    page = SuitesPage(cache_of(services), cast(Any, None))
    assert "the test run run-1" in (await page.delete("s@1"))[-1]
    chosen, *_, message = await page.delete("s@9")
    assert (chosen, services.registry.deleted) == ("", ["s@9"]) and "s@9 is deleted" in message


@pytest.mark.parametrize("built_in", [True, False])
def test_a_suite_of_the_product_offers_no_delete(built_in: bool) -> None:
    suite = SuiteDetailView("s@1", 0, built_in, {}, {}, {}, ())
    assert ('data-select="delete"' in render("test_suites/suite", suite=suite)) is not built_in


async def test_a_training_job_is_deleted_unless_a_loop_refers_to_it(services: Any) -> None:
    areas: Any = {name: name for name in ("chosen", "message", "fork_notice")}
    page = TrainingPage(cache_of(services), cast(Any, None), **areas)
    services.feedback.ListLoops = _listing_loop_of("train-2")
    assert "the loop loop-1" in (await page.act("train-2", click("delete")))["message"]
    told = await page.act("train-1", click("delete"))
    assert (told["chosen"], services.trainer.deleted) == ("", ["train-1"])
    assert "the version that it made stays" in told["message"]


async def test_a_dataset_version_is_deleted_unless_something_refers_to_it(services: Any) -> None:
    page = TrainingPage(cache_of(services), cast(Any, None), **dict.fromkeys(("chosen", "message", "fork_notice")))
    shown = render("training_jobs/datasets", datasets=DATASETS)
    assert 'data-select="d@1"' in shown and "400 to train" in shown
    for name, user in (("d@1", "the training job train-1"), ("d@2", "the loop loop-1")):
        _, message = await page.drop_dataset(click(name))
        assert user in message and services.registry.deleted == []
    datasets, message = await page.drop_dataset(click("d@9"))
    assert services.registry.deleted == ["d@9"] and "d@9 is deleted" in message
    assert [value for _, value in datasets.choices] == ["d@1"]


def _listing_loop_of(training_job_id: str) -> Any:
    async def answer(request: Any) -> ListLoopsResponse:
        return ListLoopsResponse(loops=[Loop(loop_id="loop-1", rounds=[Round(training_job_id=training_job_id)])])

    return answer
