"""The page of datasets counts tokens by a model's tokenizer, names wrong lines, and imports by a job."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr
from drillyard.job.v1.job_pb2 import JOB_STATE_RUNNING, JOB_STATE_SUCCEEDED, Job, JobProgress
from drillyard.registry.v1.artifact_pb2 import Artifact
from drillyard.registry.v1.dataset_import_pb2 import (
    CancelDatasetImportResponse,
    CreateDatasetImportResponse,
    DatasetImport,
    ListDatasetImportsResponse,
)
from drillyard.registry.v1.dataset_pb2 import (
    DatasetFault,
    DatasetVersion,
    GetDatasetMixResponse,
    ValidateDatasetResponse,
)
from drillyard.trainer.v1.method_pb2 import TRAINING_METHOD_DPO
from drillyard.trainer.v1.preflight_pb2 import (
    PreflightTrainingJobResponse,
    RowToken,
    RowTokens,
    TokenLengths,
    TrainingPreflight,
)

from ui.shared.cache import ServiceCache
from ui.training_jobs.datasets.import_box import ImportBox
from ui.training_jobs.datasets.page import _Page


async def test_tokens_are_shown_beside_what_a_version_is_made_of() -> None:
    requests: list[Any] = []

    async def mix(request: Any, **_: Any) -> GetDatasetMixResponse:
        return GetDatasetMixResponse(num_pairs=3, dataset_version=DatasetVersion(dataset_version_id="mine@1"))

    async def preflight(request: Any, **_: Any) -> PreflightTrainingJobResponse:
        requests.append(request.spec)
        tokens = [RowToken(text="Hi"), RowToken(text="!", span=1)]
        lengths = TokenLengths(min=5, max=90, median=20, p95=80, limit=4096, num_trained_tokens=1234)
        return PreflightTrainingJobResponse(
            preflight=TrainingPreflight(
                num_rows=10,
                num_checked_rows=4,
                lengths=lengths,
                row=RowTokens(line=request.line, num_tokens=2, tokens=tokens),
            )
        )

    clients = SimpleNamespace(
        registry=SimpleNamespace(GetDatasetMix=mix), trainer=SimpleNamespace(PreflightTrainingJob=preflight)
    )
    application: Any = SimpleNamespace(state=SimpleNamespace(clients=clients))
    unused: Any = None
    page = _Page(ServiceCache(application), unused, unused, unused)
    html = await page._mix("mine@1", "", "tiny@1", 7)
    assert "1,234" in html and "4 of about 10" in html
    mask = await page._mask("mine@1", "tiny@1", 7)
    assert "Line 7" in mask and mask.count('class="trained"') == 1
    assert "Choose above" in await page._mask("mine@1", "", 7) and await page._mask("mine@1", "tiny@1", 0) == ""
    (spec,) = requests
    assert (spec.model_version_id, spec.dataset_version_id, spec.method) == ("tiny@1", "mine@1", TRAINING_METHOD_DPO)
    assert "Trained tokens" not in await page._mix("mine@1", "", "", 0) and len(requests) == 1


async def test_a_file_is_checked_by_its_lines_and_imported_by_a_job_that_shows_how_far_it_is() -> None:
    faults = [DatasetFault(line=7, problem="messages are <missing>.")]
    jobs: list[DatasetImport] = []

    async def validate(request: Any, **_: Any) -> ValidateDatasetResponse:
        return ValidateDatasetResponse(num_rows=9, num_faults=len(faults), faults=faults)

    async def create(request: Any) -> CreateDatasetImportResponse:
        progress = JobProgress(phase="read", num_done=4000, unit="rows")
        job = Job(kind="dataset_import", state=JOB_STATE_RUNNING, progress=progress)
        jobs.append(
            DatasetImport(dataset_import_id="i1", dataset_id=request.dataset_id, source=request.source, job=job)
        )
        return CreateDatasetImportResponse(dataset_import=jobs[-1])

    async def cancel(request: Any) -> CancelDatasetImportResponse:
        (found,) = (job for job in jobs if job.dataset_import_id == request.dataset_import_id)
        return CancelDatasetImportResponse(dataset_import=found)

    async def listed(request: Any) -> ListDatasetImportsResponse:
        return ListDatasetImportsResponse(dataset_imports=jobs)

    async def keep(content: bytes) -> Artifact:
        return Artifact(uri="file:///x", size_bytes=len(content))

    registry = SimpleNamespace(
        ValidateDataset=validate, CreateDatasetImport=create, CancelDatasetImport=cancel, ListDatasetImports=listed
    )
    state = SimpleNamespace(clients=SimpleNamespace(registry=registry), uploads=SimpleNamespace(keep=keep))
    application: Any = SimpleNamespace(state=state)
    with gr.Blocks():
        box = ImportBox(ServiceCache(application))
    fields = box._fields.components
    values: dict[Any, Any] = {component: component.value for component in fields.values()}
    values |= {box._file: None, box._name: "mine"}
    assert "There is no file" in await box.check(values) and "There is no file" in await box.start(values)
    values |= {box._file: b"{}", fields["skips_wrong_rows"]: True}
    assert "Line 7: messages are &lt;missing&gt;." in await box.check(values) and not jobs
    faults.clear()
    assert "9 rows can be used" in await box.check(values)
    assert "The import of mine has begun." in await box.start(values)
    assert jobs[0].source.skips_wrong_rows
    html = await box.html()
    assert "reading the rows · 4,000 rows" in html and 'data-select="i1"' in html
    event: Any = SimpleNamespace(_data={"value": "i1"})
    assert "The import of mine is cancelled." in await box.cancel(event)
    jobs[0].job.state, jobs[0].dataset_version_id, jobs[0].num_skipped = JOB_STATE_SUCCEEDED, "mine@1", 3
    box._cache.forget()
    html = await box.html()
    assert "datasets?dataset=mine%401" in html and "3 rows are left out" in html and "Cancel" not in html
