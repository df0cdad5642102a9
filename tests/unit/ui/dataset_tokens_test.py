"""The page of datasets counts tokens by the tokenizer of the model that a person names, and says how far it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from drillyard.registry.v1.dataset_pb2 import DatasetVersion, GetDatasetMixResponse
from drillyard.trainer.v1.method_pb2 import TRAINING_METHOD_DPO
from drillyard.trainer.v1.preflight_pb2 import PreflightTrainingJobResponse, TokenLengths, TrainingPreflight

from ui.shared.cache import ServiceCache
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
