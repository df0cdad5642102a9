"""The page of datasets counts tokens by a model's tokenizer, and imports files whose wrong lines it names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr
from drillyard.registry.v1.artifact_pb2 import Artifact
from drillyard.registry.v1.dataset_pb2 import (
    CreateDatasetVersionResponse,
    DatasetFault,
    DatasetVersion,
    GetDatasetMixResponse,
    ValidateDatasetResponse,
)
from drillyard.trainer.v1.method_pb2 import TRAINING_METHOD_DPO
from drillyard.trainer.v1.preflight_pb2 import PreflightTrainingJobResponse, TokenLengths, TrainingPreflight

from ui.shared.cache import ServiceCache
from ui.training_jobs.datasets.import_box import ImportBox
from ui.training_jobs.datasets.page import _Page


async def test_tokens_are_shown_beside_what_a_version_is_made_of() -> None:
    requests: list[Any] = []

    async def mix(request: Any, **_: Any) -> GetDatasetMixResponse:
        return GetDatasetMixResponse(num_pairs=3, dataset_version=DatasetVersion(dataset_version_id="mine@1"))

    async def preflight(request: Any, **_: Any) -> PreflightTrainingJobResponse:
        requests.append(request.spec)
        lengths = TokenLengths(min=5, max=90, median=20, p95=80, limit=4096, num_trained_tokens=1234)
        return PreflightTrainingJobResponse(
            preflight=TrainingPreflight(num_rows=10, num_checked_rows=4, lengths=lengths)
        )

    clients = SimpleNamespace(
        registry=SimpleNamespace(GetDatasetMix=mix), trainer=SimpleNamespace(PreflightTrainingJob=preflight)
    )
    application: Any = SimpleNamespace(state=SimpleNamespace(clients=clients))
    form: Any = None
    page = _Page(ServiceCache(application), form)
    html = await page._mix("mine@1", "", "tiny@1")
    assert "1,234" in html and "4 of about 10" in html
    (spec,) = requests
    assert (spec.model_version_id, spec.dataset_version_id, spec.method) == ("tiny@1", "mine@1", TRAINING_METHOD_DPO)
    assert "Trained tokens" not in await page._mix("mine@1", "", "") and len(requests) == 1


async def test_a_file_is_imported_when_all_rows_can_be_used_and_else_the_lines_are_named() -> None:
    faults = [DatasetFault(line=7, problem="messages are <missing>.")]
    made: list[Any] = []

    async def validate(request: Any, **_: Any) -> ValidateDatasetResponse:
        return ValidateDatasetResponse(num_rows=9, num_faults=len(faults), faults=faults)

    async def create(request: Any, **_: Any) -> CreateDatasetVersionResponse:
        made.append(request)
        return CreateDatasetVersionResponse(dataset_version=DatasetVersion(dataset_version_id="mine@1"))

    async def keep(content: bytes) -> Artifact:
        return Artifact(uri="file:///x", size_bytes=len(content))

    registry = SimpleNamespace(ValidateDataset=validate, CreateDatasetVersion=create)
    state = SimpleNamespace(clients=SimpleNamespace(registry=registry), uploads=SimpleNamespace(keep=keep))
    application: Any = SimpleNamespace(state=state)
    with gr.Blocks():
        box = ImportBox(ServiceCache(application))
    fields = box._fields.components
    values: dict[Any, Any] = {component: component.value for component in fields.values()}
    values |= {box._file: None, box._name: "mine"}
    assert "There is no file" in await box.check(values)
    values[box._file] = b"{}"
    html, chosen = await box.register(values)
    assert "Nothing is registered" in html and "Line 7: messages are &lt;missing&gt;." in html and not made
    values[fields["skips_wrong_rows"]] = True
    _, chosen = await box.register(values)
    assert chosen == "mine@1" and made[0].source.skips_wrong_rows and made[0].artifact.size_bytes == 2
    faults.clear()
    assert "9 rows can be used" in await box.check(values)
