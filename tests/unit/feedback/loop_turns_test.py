"""The event loop goes on while a loop builds the dataset of a round."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from services.chassis.artifacts import ArtifactStore
from services.feedback.decisions.decision import DatasetRecipe, Decision, DecisionAction, DecisionTopic
from services.feedback.domain.rounds import Round
from services.feedback.domain.work import ProbeVerdict
from services.feedback.jobs.training import TrainingSteps
from services.protocols.profile import get_profile
from tests.unit.loop_turns import longest_turn, stays_free

PROFILE = get_profile("roo_xml")
ROUND = Round(1, "tiny@1", probe_evaluation_id="eval-1")


class Neighbour:
    """The evaluator and the registry in one, of which a dataset is made."""

    async def verdicts(self, _evaluation_id: str) -> list[ProbeVerdict]:
        return [ProbeVerdict(tool, tool, "bad_value") for tool in PROFILE.tools]

    async def list_cases(self, _suite_id: str) -> Any:
        return PROFILE.suites()[0].cases

    async def register_dataset(self, _request_id: str, registration: Any) -> str:
        assert registration.artifact.size_bytes > 10_000
        return "drills@1"


def decision(num_examples: int) -> Decision:
    topic, recipe = DecisionTopic.TRAINING, DatasetRecipe(num_examples)
    return Decision(topic, DecisionAction.TRAIN, "format_failures", "", model_version_id="tiny@1", recipe=recipe)


async def nothing(*_values: object, **_named: object) -> None:
    pass


def steps(folder: Path, num_examples: int) -> TrainingSteps:
    record: Any = SimpleNamespace(
        loop_id="loop-1",
        request_id=lambda name: name,
        round=ROUND,
        rounds=[ROUND],
        spec=SimpleNamespace(prompt_size="compact", seed=1, num_examples=num_examples),
        inputs=SimpleNamespace(suite=SimpleNamespace(profile_id="roo_xml", test_suite_version_id="roo_xml/core@1")),
        **dict.fromkeys(("started", "report", "finished", "update"), nothing),
    )
    services: Any = SimpleNamespace(evaluator=Neighbour(), registry=Neighbour())
    return TrainingSteps(services, ArtifactStore(folder.as_uri()), record)


def test_a_dataset_of_a_round_is_built(tmp_path: Path) -> None:
    longest_turn(steps(tmp_path, 26).build_dataset(decision(26)))
    assert stays_free(lambda: longest_turn(steps(tmp_path, 130).build_dataset(decision(130))))
