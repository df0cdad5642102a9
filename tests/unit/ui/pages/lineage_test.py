"""The graph of what a version was made from and what was made of it."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from drillyard.evaluator.v1.evaluation_pb2 import Evaluation
from drillyard.evaluator.v1.metrics_pb2 import Metrics, Rates
from drillyard.job.v1.job_pb2 import JOB_STATE_RUNNING, JOB_STATE_SUCCEEDED, Job
from drillyard.registry.v1.model_pb2 import MODEL_VERSION_KIND_ADAPTER, ModelVersion
from drillyard.trainer.v1.training_job_pb2 import TrainingJob
from drillyard.trainer.v1.training_spec_pb2 import TrainingJobSpec

from ui.models.lineage import NODE_SIZE, lineage_document, lineage_of, read_lineage
from ui.shared.environment import render

_RPCS = ("GetModelVersion", "ListModelVersions", "ListTrainingJobs", "ListEvaluations")


def _models(*pairs: tuple[str, str]) -> list[ModelVersion]:
    kind = MODEL_VERSION_KIND_ADAPTER
    oldest_first = [ModelVersion(model_version_id=name, base_model_version_id=base, kind=kind) for name, base in pairs]
    return oldest_first[::-1]


MODELS = _models(("a@1", ""), ("a@2", "a@1"), ("a@3", "a@2"), ("b@1", "a@1"), ("c@1", "a@2"), ("other@1", ""))


def _judged(suite: str, rate: float, state: int = JOB_STATE_SUCCEEDED) -> Evaluation:
    metrics = Metrics(overall=Rates(num_cases=10, conforming_rate=rate))
    job = Job(state=state)  # type: ignore[arg-type]
    return Evaluation(
        model_version_id="a@3", test_suite_version_id=suite, test_run_id=f"run-{rate}", metrics=metrics, job=job
    )


def _names(models: Sequence[ModelVersion], chosen: str) -> list[str]:
    return [node.version.model_version_id for node in lineage_of(models, chosen, {}, []).nodes]


def test_a_version_stands_between_its_ancestors_and_what_was_made_of_it() -> None:
    job = TrainingJob(training_job_id="train-1", spec=TrainingJobSpec(model_version_id="a@2", dataset_version_id="d@1"))
    evaluations = [_judged("s@1", 0.9, JOB_STATE_RUNNING), _judged("s@1", 0.5), _judged("s@1", 0.1)]
    lineage = lineage_of(MODELS, "a@2", {"a@3": job}, evaluations)
    places = {node.version.model_version_id: (node.column, node.row) for node in lineage.nodes}
    assert places == {"a@1": (0, 0), "a@2": (1, 0), "a@3": (2, 0), "c@1": (2, 1)}
    assert [(one.version.model_version_id, other.version.model_version_id) for one, other in lineage.edges] == [
        ("a@1", "a@2"),
        ("a@2", "a@3"),
        ("a@2", "c@1"),
    ]
    html = render("models/lineage", one=lineage, node_size=NODE_SIZE)
    assert "training-jobs?job=train-1" in html and "datasets?dataset=d%401" in html and html.count("node now") == 1
    assert "50 % on s@1" in html and "run-0.9" not in html and "run-0.1" not in html
    node = lineage_document(lineage)["nodes"][2]
    assert (node["made_from"], node["dataset_version_id"]) == ("a@2", "d@1")
    assert [one["conforming_rate"] for one in node["evaluations"]] == [0.5]


def test_an_adapter_that_went_on_from_another_stands_behind_it() -> None:
    models = _models(("a@1", ""), ("x@1", "a@1"), ("x@2", "a@1"))
    job = TrainingJob(training_job_id="train-2", spec=TrainingJobSpec(model_version_id="x@1"))
    lineage = lineage_of(models, "x@2", {"x@2": job}, [])
    assert [node.version.model_version_id for node in lineage.nodes] == ["a@1", "x@1", "x@2"]


def test_a_version_of_its_own_stands_alone_and_an_unknown_one_has_no_graph() -> None:
    assert _names(MODELS, "other@1") == ["other@1"]
    assert _names(MODELS, "gone@1") == []


def test_no_two_versions_of_a_large_family_share_a_place_and_the_rest_is_counted() -> None:
    pairs = [("m@1", ""), *((f"m@{number}", f"m@{number // 3 + 1}") for number in range(2, 200))]
    lineage = lineage_of(_models(*pairs), "m@1", {}, [])
    assert len({(node.column, node.row) for node in lineage.nodes}) == len(lineage.nodes) == 60
    assert lineage.num_hidden == 139


@pytest.mark.parametrize("chosen", [1, 50, 99])
def test_of_a_long_chain_those_around_the_open_version_are_shown(chosen: int) -> None:
    pairs = [("m@0", ""), *((f"m@{number}", f"m@{number - 1}") for number in range(1, 100))]
    lineage = lineage_of(_models(*pairs), f"m@{chosen}", {}, [])
    first = min(max(0, chosen - 30), 40)
    assert [node.version.model_version_id for node in lineage.nodes] == [f"m@{first + place}" for place in range(60)]
    assert [(node.column, node.row) for node in lineage.nodes] == [(place, 0) for place in range(60)]
    assert (len(lineage.edges), lineage.num_hidden) == (59, 40)


async def test_each_version_of_a_large_family_has_the_job_that_trained_it() -> None:
    names = [f"m@{number}" for number in range(100)]
    models = [ModelVersion(model_version_id=name, produced_by=f"training_job:train-{name}") for name in names]
    specs = [TrainingJobSpec(model_version_id=f"m@{number - 1}") for number in range(100)]
    jobs = [TrainingJob(training_job_id=f"train-{name}", spec=spec) for name, spec in zip(names, specs, strict=True)]
    response = SimpleNamespace(
        model_version=models[99], model_versions=models[::-1], training_jobs=jobs, evaluations=[], next_page_token=""
    )

    async def answer(_: Any) -> Any:
        return response

    service = SimpleNamespace(**dict.fromkeys(_RPCS, answer))
    clients: Any = SimpleNamespace(registry=service, trainer=service, evaluator=service)
    lineage = await read_lineage(clients, "m@99")
    assert [node.training_job for node in lineage.nodes] == jobs[40:]
