"""The boxes that export and publish: what is at work can be cancelled, each behind its own scope."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from drillyard.job.v1.job_pb2 import JOB_STATE_CANCELLED, JOB_STATE_RUNNING, Job
from drillyard.registry.v1 import export_pb2, publication_pb2

from services.chassis.errors import AlreadyExists, FailedPrecondition
from ui.gateway.access.caller import Scope
from ui.gateway.access.events import EVENTS
from ui.models.exports import box as exports_box
from ui.models.exports.box import _Box
from ui.models.exports.place import PlaceForm
from ui.shared.cache import ServiceCache, field_id
from ui.shared.fields import FieldForm
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

    async def CreateExport(self, request: Any) -> Any:
        self.export = export_pb2.Export(export_id="export-2", spec=request.spec, job=_running("export-2"))
        return export_pb2.CreateExportResponse(export=self.export)

    async def CreatePublication(self, request: Any) -> Any:
        if not request.spec.destination.replace:
            raise AlreadyExists("me/roo is there.", "Replace it.", field="spec.destination.hub_id")
        one = publication_pb2.Publication(publication_id="publication-3", spec=request.spec)
        self.publications.append(one)
        return publication_pb2.CreatePublicationResponse(publication=one)

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


def _box(cache: ServiceCache) -> _Box:
    with gr.Blocks():
        fields = FieldForm("ship", export_pb2.ExportSpec)
        fields.add("model_id", "profile_id", "num_ctx", "renderer", "parser")
        return _Box(cache, gr.State(""), gr.Dropdown(["gguf:Q8_0"]), fields, PlaceForm("ship", "To", "Such as hf:a/b."))


async def test_the_settings_of_a_form_and_of_a_place_are_sent(cache: ServiceCache) -> None:
    box, registry = _box(cache), cache.clients.registry
    own = box._fields.components
    values: dict[Any, Any] = {item: item.value for item in {*own.values(), *box._place.components()}}
    values |= {box._chosen: "", box._form: "ollama:Q8_0"}
    assert "No version is open." in await box.export(values) and "No version is open." in await box.publish(values)
    values |= {
        box._chosen: "tuned@1",
        own["num_ctx"]: 512,
        own["renderer"]: "qwen3-coder",
        own["profile_id"]: "roo_xml",
    }
    assert "The export of tuned@1 as ollama:Q8_0 has begun." in await box.export(values)
    spec = (await registry.ListExports(None)).exports[0].spec
    assert (spec.num_ctx, spec.renderer, spec.profile_id, spec.model_id) == (512, "qwen3-coder", "roo_xml", "")
    assert 'data-blames="ship-destination"' in await box.publish(values), "no place is named"
    secret, replace = (box._place._fields.components[name] for name in ("secret", "replace"))
    values |= {box._place._text: "hf:me/roo", secret: "hub"}
    assert 'data-blames="ship-destination"' in await box.publish(values)
    values |= {replace: True}
    assert "The publication of tuned@1 to hf:me/roo has begun." in await box.publish(values)
    assert registry.publications[-1].spec.destination.secret == "hub"
    assert field_id("ship", "destination.secret") == secret.elem_id


async def test_the_box_shows_what_can_be_set(cache: ServiceCache) -> None:
    with gr.Blocks() as blocks:
        exports_box.build(cache, gr.State(""))
    shown = {getattr(block, "elem_id", None) for block in blocks.blocks.values()}
    names = ("name", "profile", "num-ctx", "renderer", "parser", "destination", "destination-secret")
    assert {f"ship-{name}" for name in names} <= shown


async def test_an_export_and_a_publication_of_a_model_are_cancelled_where_they_are_shown(cache: ServiceCache) -> None:
    box = _box(cache)
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
