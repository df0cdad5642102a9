"""What a loop asks of the other services, and what they tell about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.chassis.artifacts import Artifact
from services.chassis.jobs import JobState
from services.protocols.verdict import NOT_THE_MODELS


@dataclass(frozen=True)
class SuiteVersion:
    """A suite version and the protocol profile its cases are written for; 0 cases where they were not looked at."""

    test_suite_version_id: str
    profile_id: str
    num_cases: int = 0


@dataclass(frozen=True)
class Asked:
    """A version, and where it is served by others; `endpoint` is of test-runner's own names, None for its workers."""

    model_version_id: str
    endpoint: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class DeploymentToTest:
    """A deployment that has a suite to pass, and whether it answers by now.

    `endpoint`, by the names of test-runner's own, is where it is served; None for test-runner's workers.
    """

    deployment_id: str
    model_version_id: str
    test_suite_version_id: str
    minimum_rate: float
    workspace_id: str
    answers: bool
    endpoint: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class DeploymentTest:
    """How a deployment does on its suite; `has_passed` is None while the run goes on, `summary` is a sentence."""

    test_run_id: str
    evaluation_id: str
    summary: str
    has_passed: bool | None = None


@dataclass(frozen=True)
class CaseOfSuite:
    """A case of a suite version, in one prompt size; a model may answer `max_turns` times."""

    test_suite_version_id: str
    case_id: str
    prompt_size: str
    max_turns: int


@dataclass(frozen=True)
class TestOrder:
    """A test run to start: greedy, with one answer per case, where nothing else is set.

    `endpoint`, by the names of test-runner's own, is where the version is served; None for its workers.
    """

    model_version_id: str
    test_suite_version_id: str
    prompt_size: str
    max_new_tokens: int
    seed: int
    num_repeats: int = 1
    temperature: float = 0.0
    endpoint: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class TrainingOrder:
    """A training job to start; `settings` are the trainer's own, by name."""

    model_version_id: str
    dataset_version_id: str
    seed: int
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class ModelFacts:
    """A model version, what it was trained from, and by which job; empty where it was not trained, or not here."""

    model_version_id: str
    trained_from: str = ""
    training_job_id: str = ""


@dataclass(frozen=True)
class CaseChange:
    """A case that two evaluations judge differently, and what is wrong with it in the worse one."""

    case_id: str
    sentence: str


@dataclass(frozen=True)
class Comparison:
    """What two evaluations of one suite differ in: the share of conforming answers, gains, losses, and why they differ.

    `equal_answers_rate` is the share of answers that are the same to the last token.
    """

    rate_before: float
    rate_after: float
    gains: tuple[CaseChange, ...]
    losses: tuple[CaseChange, ...]
    equal_answers_rate: float
    sentence: str


@dataclass(frozen=True)
class Registration:
    """A dataset or suite version to register."""

    name: str
    artifact: Artifact
    produced_by: str


@dataclass(frozen=True)
class WorkProgress:
    """How far work in another service has come."""

    phase: str = ""
    num_done: int = 0
    num_total: int = 0
    unit: str = ""
    message: str = ""


@dataclass(frozen=True)
class WorkState:
    """How work in another service stands, when it FAILED why, and when it has ended for how long it was worked on."""

    state: JobState
    code: str = ""
    problem: str = ""
    next_step: str = ""
    seconds: float = 0.0
    end_time: datetime | None = None

    @property
    def is_final(self) -> bool:
        """Whether the work has ended."""
        return self.state.is_final


def seconds_of_test(run: WorkState, evaluation: WorkState | None) -> float:
    """Return for how long a run and its judging were worked on.

    An evaluation begins with its run and waits for it, even while that waits: of its time counts what came after.
    """
    if evaluation is None or evaluation.end_time is None or run.end_time is None:
        return run.seconds
    later = (evaluation.end_time - run.end_time).total_seconds()
    return run.seconds + min(max(later, 0.0), evaluation.seconds)


@dataclass(frozen=True)
class TemplateFault:
    """What keeps a model's template or settings from carrying a protocol, and how to mend it."""

    code: str
    problem: str
    fix: str


@dataclass(frozen=True)
class ProbeVerdict:
    """What became of one case of the probe.

    Attributes:
        tool: The one that a right answer uses.
        cause: Empty when the answer conforms.
        category: Category of the case, its variety behind a dot.
        fault: What is wrong, finer than the cause.
    """

    case_id: str
    tool: str
    cause: str
    category: str = ""
    fault: str = ""

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is known of the model here: a server, or a chat template, failed."""
        return self.cause in NOT_THE_MODELS
