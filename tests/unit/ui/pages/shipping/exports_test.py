"""The boxes that export and publish: what is at work can be cancelled, each behind its own scope."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from drillyard.job.v1.job_pb2 import JOB_STATE_CANCELLED, JOB_STATE_RUNNING, Job
from drillyard.registry.v1 import export_pb2, publication_pb2

from services.chassis.errors import FailedPrecondition
from ui.gateway.access.caller import Scope
from ui.gateway.access.events import EVENTS
from ui.models.exports.box import _Box
from ui.shared.cache import ServiceCache
from ui.training_jobs.datasets.publish_box import PublishBox


class Registry:
    """Has an export and two publications at work, until they are cancelled."""

    def __init__(self) -> None:
        spec = export_pb2.ExportSpec(model_version_id="tuned@1", form=export_pb2.EXPORT_FORM_GGUF, number_type="Q8_0")
        self.export = export_pb2.Export(export_id="export-1", spec=spec, job=_running("export-1"))
        place = publication_pb2.Destination(hub_id="me/roo")
        versions = ({"model_version_id": "tuned@1"}, {"dataset_version_id": "mine@1"})
        self.publications = [
            publication_pb2.Publication(publication_id=name, spec={"destination": place, **version}, job=_running(name))
            for name, version in zip(("publication-1", "publication-2"), versions, strict=True)
        ]

    async def ListExports(self, _: Any) -> Any:
        return export_pb2.ListExportsResponse(exports=[self.export])

    async def ListPublications(self, _: Any) -> Any:
        return publication_pb2.ListPublicationsResponse(publications=self.publications)

    async def CancelExport(self, request: Any) -> Any:
        if request.export_id != self.export.export_id:
            raise FailedPrecondition("It has ended.", "")
        self.export.job.state = JOB_STATE_CANCELLED
        return export_pb2.CancelExportResponse(export=self.export)

    async def CancelPublication(self, request: Any) -> Any:
        (one,) = (item for item in self.publications if item.publication_id == request.publication_id)
        one.job.state = JOB_STATE_CANCELLED
        return publication_pb2.CancelPublicationResponse(publication=one)


def _running(job_id: str) -> Job:
    return Job(job_id=job_id, state=JOB_STATE_RUNNING)


def _click(value: str) -> gr.EventData:
    return gr.EventData(None, {"value": value})


@pytest.fixture
def cache() -> ServiceCache:
    clients = SimpleNamespace(registry=Registry())
    application: Any = SimpleNamespace(state=SimpleNamespace(clients=clients))
    return ServiceCache(application)


async def test_an_export_and_a_publication_of_a_model_are_cancelled_where_they_are_shown(cache: ServiceCache) -> None:
    box = _Box(cache)
    exports, publications, shown = await box.refresh({})
    assert 'data-select="export-1"' in exports and "publication-1" not in exports
    assert 'data-select="publication-1"' in publications and "publication-2" not in publications
    assert "The export of tuned@1 as gguf:Q8_0 is cancelled." in await box.cancel_export(_click("export-1"))
    assert "The publication of tuned@1 to hf:me/roo is cancelled." in await box.cancel_publication(
        _click("publication-1")
    )
    exports, publications, _ = await box.refresh(shown)
    assert "cancelled" in exports and "data-select" not in exports + publications
    assert "It has ended." in await box.cancel_export(_click("export-2"))


async def test_a_publication_of_a_dataset_is_cancelled_on_the_page_of_datasets(cache: ServiceCache) -> None:
    with gr.Blocks():
        box = PublishBox(cache)
    assert 'data-select="publication-2"' in await box.html()
    assert "The publication of mine@1 to hf:me/roo is cancelled." in await box.cancel(_click("publication-2"))
    assert "data-select" not in await box.html()


def test_who_may_not_publish_cancels_no_publication() -> None:
    box = "ui.models.exports.box:_Box"
    assert EVENTS[f"{box}.cancel_export"] is Scope.TRAIN
    assert EVENTS[f"{box}.cancel_publication"] is Scope.PUBLISH
    assert EVENTS["ui.training_jobs.datasets.publish_box:PublishBox.cancel"] is Scope.PUBLISH
