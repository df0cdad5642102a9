"""Request bodies of fine-tuning; unlike those of answers they refuse what they do not know, as OpenAI's do."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from ui.openai.schemas import Sent

_GRADERS = ("string_check", "text_similarity", "python", "score_model", "label_model", "multi", "endpoint")
_GRADER = '{"type": "profile", "weights": {"conforming": 1}}'
_NO_OTHERS = ConfigDict(extra="forbid")


def _unless_auto(value: Any) -> Any:
    return None if value == "auto" else value


def _nothing(value: Any) -> Any:
    if value:
        raise ValueError("is not built: leave it out")
    return value


def _profiles_own(kind: Any) -> Any:
    if kind in _GRADERS:
        raise ValueError(
            f"a grader of the type {kind} is not built: each row's case is graded by its own protocol; use {_GRADER}, "
            "whose weights name reward components, or leave them out for the protocol's own"
        )
    return kind


Auto = BeforeValidator(_unless_auto)
Epochs = Annotated[Annotated[int, Field(ge=1, le=1000)] | None, Auto]
NotBuilt = Annotated[Any, AfterValidator(_nothing)]


class Hyperparameters(Sent):
    """What every method takes; absent and "auto" are the trainer's defaults."""

    model_config = _NO_OTHERS
    n_epochs: Epochs = None
    batch_size: Annotated[Annotated[int, Field(ge=1, le=4096)] | None, Auto] = None
    learning_rate_multiplier: Annotated[Annotated[float, Field(gt=0, le=1000)] | None, Auto] = None


class DpoHyperparameters(Hyperparameters):
    """Of preferences."""

    beta: Annotated[Annotated[float, Field(ge=1e-4, le=100)] | None, Auto] = None


class ReinforcementHyperparameters(Hyperparameters):
    """Of answers that are graded."""

    compute_multiplier: Annotated[Annotated[float, Field(ge=0.25, le=32)] | None, Auto] = Field(
        default=None, description="Multiplies the answers that are drawn to each prompt."
    )
    eval_interval: Annotated[Annotated[int, Field(ge=1, le=1_048_576)] | None, Auto] = None
    eval_samples: Annotated[NotBuilt, Auto] = None
    reasoning_effort: Literal["default"] | None = None


class Supervised(Sent):
    """Training on reference answers."""

    model_config = _NO_OTHERS
    hyperparameters: Hyperparameters = Hyperparameters()


class Dpo(Sent):
    """Training on preferences."""

    model_config = _NO_OTHERS
    hyperparameters: DpoHyperparameters = DpoHyperparameters()


class Grader(Sent):
    """The protocol of each row's case, with weights of its reward components; without weights they are its own."""

    model_config = _NO_OTHERS
    type: Annotated[Literal["profile"], BeforeValidator(_profiles_own)]
    name: str = ""
    weights: dict[str, Annotated[float, Field(ge=0, le=999_999)]] = Field(default_factory=dict, max_length=32)


class Reinforcement(Sent):
    """Training on the model's own answers, which are graded."""

    model_config = _NO_OTHERS
    grader: Grader
    hyperparameters: ReinforcementHyperparameters = ReinforcementHyperparameters()


class Method(Sent):
    """How is trained."""

    model_config = _NO_OTHERS
    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: Supervised | None = None
    dpo: Dpo | None = None
    reinforcement: Reinforcement | None = None

    @model_validator(mode="after")
    def _set_its_own(self) -> Self:
        others = self.model_fields_set - {"type", self.type}
        if others:
            raise ValueError(f"{min(others)} is set, but the type is {self.type}")
        if self.type == "reinforcement" and self.reinforcement is None:
            raise ValueError(f"reinforcement needs a grader, such as {_GRADER}")
        return self

    @property
    def hyperparameters(self) -> Hyperparameters:
        """Those of the type."""
        own: Supervised | Dpo | Reinforcement | None = getattr(self, self.type)
        return own.hyperparameters if own else Hyperparameters()


class JobBody(Sent):
    """A job to create."""

    model_config = _NO_OTHERS
    model: str = Field(min_length=1, max_length=300, examples=["smollm2-135m-instruct@1"])
    training_file: str = Field(min_length=1, max_length=200, examples=["file-0123456789abcdef01234567", "mine@1"])
    validation_file: str = Field(default="", max_length=200)
    suffix: (
        Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9]+([.-][A-Za-z0-9]+)*$", examples=["my-agent"])] | None
    ) = None
    seed: int | None = Field(default=None, ge=0, lt=2**63, description="Absent: a new one.")
    method: Method | None = None
    hyperparameters: Hyperparameters | None = Field(default=None, description="Of supervised, without `method`.")
    integrations: NotBuilt = None
    metadata: NotBuilt = None

    @model_validator(mode="after")
    def _say_it_once(self) -> Self:
        if self.method and self.hyperparameters:
            raise ValueError("hyperparameters stand in method, which is set as well")
        return self

    @property
    def way(self) -> Method:
        """The method that was asked for."""
        if self.method:
            return self.method
        return Method(
            type="supervised", supervised=Supervised(hyperparameters=self.hyperparameters or Hyperparameters())
        )
