"""The kinds of jobs that the callers of a storm ask for: how each is created, seen and ended."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

from drillyard.evaluator.v1 import evaluation_pb2
from drillyard.evaluator.v1.evaluator_service_pb2_grpc import EvaluatorServiceStub
from drillyard.feedback.v1 import dataset_build_pb2, feedback_file_pb2, loop_pb2, scheduled_run_pb2, shipment_pb2
from drillyard.feedback.v1.feedback_service_pb2_grpc import FeedbackServiceStub
from drillyard.registry.v1 import dataset_import_pb2, export_pb2, import_pb2, publication_pb2
from drillyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from drillyard.test_runner.v1 import test_run_pb2
from drillyard.test_runner.v1.test_runner_service_pb2_grpc import TestRunnerServiceStub
from drillyard.trainer.v1 import training_job_pb2
from drillyard.trainer.v1.trainer_service_pb2_grpc import TrainerServiceStub

_STUBS: dict[str, Any] = {
    "registry": RegistryServiceStub,
    "test_runner": TestRunnerServiceStub,
    "evaluator": EvaluatorServiceStub,
    "trainer": TrainerServiceStub,
    "feedback": FeedbackServiceStub,
}


@dataclass(frozen=True)
class Kind:
    """One kind of job.

    Attributes:
        name: As the service stores it.
        messages: The module of its requests and responses.
        share: How many of a hundred jobs are of it.
        noun: The field of its responses; the name where that is empty.
        begins: The verb of the RPC that makes one.
        is_cancelled: Whether callers may cancel it.
        reads_run: Whether it reads the answers of a run that has ended.
    """

    name: str
    service: str
    messages: ModuleType
    share: int
    noun: str = ""
    begins: str = ""
    is_cancelled: bool = True
    reads_run: bool = False

    @property
    def create(self) -> str:
        """The RPC that makes one."""
        return self.begins or f"Create{self._title}"

    @property
    def get(self) -> str:
        """The RPC that returns one."""
        return f"Get{self._title}"

    @property
    def cancel(self) -> str:
        """The RPC that cancels one."""
        return f"Cancel{self._title}"

    def stub(self, channel: Any) -> Any:
        """Return the stub of its service."""
        return _STUBS[self.service](channel)

    def named(self, method: str, job_id: str) -> Any:
        """Return the request of an RPC that takes a job's id alone."""
        return getattr(self.messages, f"{method}Request")(**{f"{self.name}_id": job_id})

    def id_of(self, response: Any) -> str:
        """Return the job's id in the answer to a creation."""
        return str(getattr(getattr(response, self.noun or self.name), f"{self.name}_id"))

    @property
    def _title(self) -> str:
        return "".join(word.capitalize() for word in self.name.split("_"))


# Of each service the first is the one whose Gets are measured.
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("import", "registry", import_pb2, 16, noun="model_import"),
        Kind("test_run", "test_runner", test_run_pb2, 20),
        Kind("evaluation", "evaluator", evaluation_pb2, 15),
        Kind("training_job", "trainer", training_job_pb2, 10),
        Kind("loop", "feedback", loop_pb2, 4),
        Kind("dataset_import", "registry", dataset_import_pb2, 8),
        Kind("export", "registry", export_pb2, 6),
        Kind("publication", "registry", publication_pb2, 6),
        Kind("shipment", "feedback", shipment_pb2, 3),
        Kind("scheduled_run", "feedback", scheduled_run_pb2, 3, begins="RunSchedule"),
        Kind("feedback_import", "feedback", feedback_file_pb2, 5, is_cancelled=False, reads_run=True),
        Kind("dataset_build", "feedback", dataset_build_pb2, 4, reads_run=True),
    )
}
# Kinds that nobody asks for: they follow from others, from the end of a job or from a run that replicas share.
FOLLOWING = ("webhook", "webhook_delivery", "test_run_share")
