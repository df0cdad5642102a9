"""What the callers of a storm ask for: requests by kind, each of a shape that was done once in calm weather."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drillyard.evaluator.v1 import evaluation_pb2, evaluator_service_pb2_grpc
from drillyard.feedback.v1 import feedback_service_pb2_grpc, loop_goal_pb2, loop_pb2
from drillyard.registry.v1 import import_pb2, registry_service_pb2_grpc
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc
from drillyard.trainer.v1 import trainer_service_pb2_grpc, training_job_pb2, training_spec_pb2

from tests.unit.registry.model_folders import write_model

MODEL, DATASET, SUITE = "tiny@1", "drills@1", "roo_xml/storm@1"
NUM_CASES, NUM_ROWS = 24, 16
_NUM_FOLDERS = 25


@dataclass(frozen=True)
class Kind:
    """How jobs of one kind are created, seen and ended."""

    name: str
    service: str
    stub: Any
    create: str
    get: str
    cancel: str
    noun: str
    id_field: str
    get_request: Any
    cancel_request: Any
    share: int

    def id_of(self, response: Any) -> str:
        """Return the job's id in the answer to a creation."""
        return str(getattr(getattr(response, self.noun), self.id_field))


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            *("import", "registry", registry_service_pb2_grpc.RegistryServiceStub),
            *("CreateImport", "GetImport", "CancelImport", "model_import", "import_id"),
            *(import_pb2.GetImportRequest, import_pb2.CancelImportRequest),
            share=25,
        ),
        Kind(
            *("test_run", "test_runner", test_runner_service_pb2_grpc.TestRunnerServiceStub),
            *("CreateTestRun", "GetTestRun", "CancelTestRun", "test_run", "test_run_id"),
            *(test_run_pb2.GetTestRunRequest, test_run_pb2.CancelTestRunRequest),
            share=30,
        ),
        Kind(
            *("evaluation", "evaluator", evaluator_service_pb2_grpc.EvaluatorServiceStub),
            *("CreateEvaluation", "GetEvaluation", "CancelEvaluation", "evaluation", "evaluation_id"),
            *(evaluation_pb2.GetEvaluationRequest, evaluation_pb2.CancelEvaluationRequest),
            share=25,
        ),
        Kind(
            *("training_job", "trainer", trainer_service_pb2_grpc.TrainerServiceStub),
            *("CreateTrainingJob", "GetTrainingJob", "CancelTrainingJob", "training_job", "training_job_id"),
            *(training_job_pb2.GetTrainingJobRequest, training_job_pb2.CancelTrainingJobRequest),
            share=14,
        ),
        Kind(
            *("loop", "feedback", feedback_service_pb2_grpc.FeedbackServiceStub),
            *("CreateLoop", "GetLoop", "CancelLoop", "loop", "loop_id"),
            *(loop_pb2.GetLoopRequest, loop_pb2.CancelLoopRequest),
            share=6,
        ),
    )
}


class Requests:
    """Makes requests; equal shapes make equal specs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._run_ids: list[str] = []

    def add_run(self, test_run_id: str) -> None:
        """Take note of a run that an evaluation may judge."""
        self._run_ids.append(test_run_id)

    def shapes(self, kind: str) -> list[str]:
        """Return the shapes that a kind has; those without one are all done alike."""
        return {"test_run": ["1/7", "2/7", "3/8"], "training_job": ["24/1", "40/2"]}.get(kind, [""])

    def make(self, kind: str, request_id: str, shape: str, chance: random.Random) -> Any:
        """Return a request that creates a job."""
        match kind:
            case "import":
                return self._import(request_id, chance.randrange(_NUM_FOLDERS))
            case "test_run":
                return self._test_run(request_id, *map(int, shape.split("/")))
            case "evaluation":
                run_id = chance.choice(self._run_ids)
                return evaluation_pb2.CreateEvaluationRequest(request_id=request_id, test_run_id=run_id)
            case "training_job":
                return self._training_job(request_id, *map(int, shape.split("/")))
        return self._loop(request_id)

    def _import(self, request_id: str, number: int) -> Any:
        folder = self._folder / "sources" / str(number)
        if not folder.exists():
            write_model(folder, max_position_embeddings=1024 + number)
        source = import_pb2.ImportSource(folder_path=str(folder))
        return import_pb2.CreateImportRequest(request_id=request_id, model_id=f"model-{number}", source=source)

    def _test_run(self, request_id: str, repeats: int, seed: int) -> Any:
        spec = test_run_pb2.TestRunSpec(
            model_version_id=MODEL, test_suite_version_id=SUITE, num_repeats=repeats, seed=seed, dtype="float32"
        )
        return test_run_pb2.CreateTestRunRequest(request_id=request_id, spec=spec)

    def _training_job(self, request_id: str, steps: int, seed: int) -> Any:
        spec = training_spec_pb2.TrainingJobSpec(
            model_version_id=MODEL,
            dataset_version_id=DATASET,
            num_epochs=steps * 4 // NUM_ROWS,
            batch_size=4,
            save_steps=5,
            save_total_limit=2,
            seed=seed,
        )
        return training_job_pb2.CreateTrainingJobRequest(request_id=request_id, spec=spec)

    def _loop(self, request_id: str) -> Any:
        spec = loop_pb2.LoopSpec(
            model_version_id=MODEL,
            test_suite_version_id=SUITE,
            goals=[loop_goal_pb2.Goal(metric="conforming_rate", minimum=0.8)],
            num_examples=26,
            num_probe_cases=13,
            seed=1,
            training=training_spec_pb2.TrainingJobSpec(batch_size=2, save_steps=4),
        )
        spec.budget.max_rounds = 1
        return loop_pb2.CreateLoopRequest(request_id=request_id, spec=spec)
