"""The phases of each kind of job have the same names on the wire, with the words that people see."""

from enum import StrEnum

import pytest
from drillyard.evaluator.v1.evaluation_pb2 import EvaluationPhase as EvaluationPhaseWire
from drillyard.feedback.v1.dataset_build_pb2 import DatasetBuildPhase as DatasetBuildPhaseWire
from drillyard.feedback.v1.feedback_file_pb2 import FeedbackImportPhase as FeedbackImportPhaseWire
from drillyard.feedback.v1.loop_phase_pb2 import LoopPhase as LoopPhaseWire
from drillyard.registry.v1.dataset_import_pb2 import DatasetImportPhase as DatasetImportPhaseWire
from drillyard.registry.v1.import_pb2 import ImportPhase as ImportPhaseWire
from drillyard.test_runner.v1.test_run_pb2 import TestRunPhase as TestRunPhaseWire
from drillyard.trainer.v1.training_job_pb2 import TrainingJobPhase as TrainingJobPhaseWire

from services.chassis.wire.fields import enum_prefix
from services.evaluator.domain.evaluation import EvaluationPhase
from services.feedback.domain.dataset_build import DatasetBuildPhase
from services.feedback.domain.item_spec import FeedbackImportPhase
from services.feedback.domain.rounds import ENDED, Step
from services.registry.domain.dataset import DatasetImportPhase
from services.registry.domain.model_import import ImportPhase
from services.test_runner.domain.test_run import TestRunPhase
from services.trainer.domain.attempt import TrainingJobPhase
from ui.shared.words import phase_text


@pytest.mark.parametrize(
    ("names", "wire"),
    [
        (ImportPhase, ImportPhaseWire),
        (TestRunPhase, TestRunPhaseWire),
        (EvaluationPhase, EvaluationPhaseWire),
        (TrainingJobPhase, TrainingJobPhaseWire),
        ((*Step, ENDED), LoopPhaseWire),
        (DatasetBuildPhase, DatasetBuildPhaseWire),
        (DatasetImportPhase, DatasetImportPhaseWire),
        (FeedbackImportPhase, FeedbackImportPhaseWire),
    ],
)
def test_phases_have_one_name(names: type[StrEnum], wire: object) -> None:
    prefix = enum_prefix(wire.DESCRIPTOR)
    on_the_wire = [value.name.removeprefix(prefix).lower() for value in wire.DESCRIPTOR.values if value.number]
    assert list(map(str, names)) == on_the_wire


def test_people_see_words() -> None:
    assert phase_text("training_job", "load_model") == "loading the model"
    assert phase_text("loop", "probe_evaluate") == "judging the probe"
    assert phase_text("import", "store") != phase_text("export", "store")
    assert phase_text("loop", "a_phase_of_a_newer_release") == "a phase of a newer release"
    assert phase_text("a_newer_kind", "store") == "store"
