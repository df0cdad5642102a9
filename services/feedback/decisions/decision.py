"""What a loop does next, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from services.chassis.wire import from_document

# The type of the events that tell of decisions.
DECISION_EVENT = "decision"
# The rule of a decision that a person made.
PERSON = "person"


class TrainingMethod(StrEnum):
    """Which loss is minimised."""

    SFT = "sft"
    DPO = "dpo"
    GRPO = "grpo"

    @property
    def setting(self) -> str:
        """The trainer's own word for it."""
        return f"TRAINING_METHOD_{self.name}"


class DecisionTopic(StrEnum):
    """What is decided; a round decides on each at most once, a person's change aside."""

    TEMPLATE = "template"
    ANSWERS = "answers"
    TRAINING = "training"


class DecisionAction(StrEnum):
    """What is done."""

    TRAIN = "train"
    BRANCH_BACK = "branch_back"
    STOP = "stop"
    GO_ON = "go_on"
    SEARCH = "search"


class DecisionState(StrEnum):
    """Who stands behind a decision."""

    MADE = "made"
    WAITING = "waiting"
    APPROVED = "approved"
    OVERRULED = "overruled"


@dataclass(frozen=True)
class DatasetRecipe:
    """What the rows are: how many, and the share of them that practise what the version can do already."""

    num_examples: int
    replay_share: float = 0.0


@dataclass(frozen=True)
class Decision:
    """What a loop does next; it is stored before it is carried out.

    Attributes:
        number: Counts the decisions of the loop, from 1.
        rule: The rule that decided, or `PERSON`.
        reason: One sentence for a person.
        next_step: What to do about it, where the loop stops.
        figures: What the rule looked at, by name.
        model_version_id: The version that is trained; empty where nothing is.
        training: Settings of the trainer, by name, that differ from those of the loop.
    """

    MESSAGE: ClassVar = "drillyard.feedback.v1.loop_decision_pb2.Decision"

    topic: DecisionTopic
    action: DecisionAction
    rule: str
    reason: str
    next_step: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    model_version_id: str = ""
    method: TrainingMethod | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    recipe: DatasetRecipe | None = None
    number: int = 0
    round: int = 0
    state: DecisionState = DecisionState.MADE

    def settings(self, training: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of its training: the loop's own, without those of other methods, and what it changes."""
        method = self.method or TrainingMethod.SFT
        other = {str(each) for each in TrainingMethod if each is not method}
        settings = {name: value for name, value in training.items() if name not in other}
        for name, value in self.training.items():
            settings[name] = {**settings.get(name, {}), **value} if isinstance(value, Mapping) else value
        # What the trainer does anyway is left out, so that a job that was asked for before is the same job.
        unset = {} if method is TrainingMethod.SFT and "method" not in training else {"method": method.setting}
        return {**settings, **unset}


@dataclass(frozen=True)
class DecisionChange:
    """What a person wants otherwise; one that changes nothing approves.

    Attributes:
        training: Settings of the trainer, by name, that are to differ from those of the decision.
        num_examples: 0 for those of the decision.
        replay_share: None for that of the decision.
        go_on: Whether the loop goes on although the decision is to stop.
    """

    MESSAGE: ClassVar = "drillyard.feedback.v1.loop_answer_pb2.DecisionChange"

    method: TrainingMethod | None
    training: Mapping[str, Any]
    num_examples: int
    replay_share: float | None
    go_on: bool

    @property
    def is_approval(self) -> bool:
        """Whether it changes nothing."""
        return not (self.method or self.training or self.num_examples or self.replay_share is not None or self.go_on)


def decision_from_document(document: Mapping[str, Any]) -> Decision:
    """Return the decision whose fields were stored by their names."""
    return from_document(Decision, document)
