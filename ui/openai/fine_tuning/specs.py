"""What a job of OpenAI's form trains, as the trainer's spec, and back."""

from __future__ import annotations

from typing import Any

from drillyard.registry.v1.dataset_pb2 import DatasetVersion
from drillyard.registry.v1.model_pb2 import ModelVersion
from drillyard.trainer.v1 import method_pb2 as pb
from drillyard.trainer.v1.training_spec_pb2 import TrainingJobSpec

from services.chassis.wire import fields_of
from ui.openai.fine_tuning.schemas import JobBody, ReinforcementHyperparameters

_METHODS = {
    "supervised": pb.TRAINING_METHOD_SFT,
    "dpo": pb.TRAINING_METHOD_DPO,
    "reinforcement": pb.TRAINING_METHOD_GRPO,
}
_NAMES = {value: name for name, value in _METHODS.items()}
_DEFAULTS = {field.path: field.default for field in fields_of(TrainingJobSpec)}
_MIN_DRAWN = 2
EVAL_STEPS = 10
"""Steps between measurements on a validation file, where the request does not say."""


def spec_of(body: JobBody, version: ModelVersion, dataset: DatasetVersion, seed: int) -> TrainingJobSpec:
    """Return what is trained; what was not asked for is the trainer's default."""
    way = body.way
    chosen = way.hyperparameters
    multiplier = chosen.learning_rate_multiplier
    spec = TrainingJobSpec(
        model_version_id=version.model_version_id,
        dataset_version_id=dataset.dataset_version_id,
        output_model_id=f"{version.model_id}-{body.suffix.lower()}" if body.suffix else "",
        method=_METHODS[way.type],
        num_epochs=chosen.n_epochs or 0,
        batch_size=chosen.batch_size or 0,
        learning_rate=multiplier * _DEFAULTS["learning_rate"] if multiplier else 0,
        seed=seed,
    )
    if way.dpo and way.dpo.hyperparameters.beta:
        spec.dpo.beta = way.dpo.hyperparameters.beta
    if way.reinforcement:
        weights = way.reinforcement.grader.weights
        spec.grpo.reward_weights.extend(f"{name}={weight:.9f}" for name, weight in weights.items())
        _draw(spec, way.reinforcement.hyperparameters)
    return spec


def _draw(spec: TrainingJobSpec, chosen: ReinforcementHyperparameters) -> None:
    spec.eval_steps = chosen.eval_interval or 0
    if chosen.compute_multiplier:
        drawn = round(chosen.compute_multiplier * _DEFAULTS["grpo.num_generations"])
        spec.grpo.num_generations = max(_MIN_DRAWN, drawn)


def method_document(spec: TrainingJobSpec) -> dict[str, Any]:
    """Return the method of a job, all of its settings told."""
    kind = _NAMES[spec.method]
    told: dict[str, Any] = {"hyperparameters": hyperparameters_document(spec)}
    if kind == "dpo":
        told["hyperparameters"]["beta"] = spec.dpo.beta
    if kind == "reinforcement":
        weights = dict(entry.split("=") for entry in spec.grpo.reward_weights)
        told["grader"] = {"type": "profile", "weights": {name: float(weight) for name, weight in weights.items()}}
        told["hyperparameters"] |= {
            "compute_multiplier": spec.grpo.num_generations / _DEFAULTS["grpo.num_generations"],
            "eval_interval": spec.eval_steps or "auto",
        }
    return {"type": kind, kind: told}


def hyperparameters_document(spec: TrainingJobSpec) -> dict[str, Any]:
    """Return what every method has."""
    return {
        "n_epochs": spec.num_epochs,
        "batch_size": spec.batch_size,
        "learning_rate_multiplier": round(spec.learning_rate / _DEFAULTS["learning_rate"], 9),
    }


def suffix_of(spec: TrainingJobSpec) -> str | None:
    """Return what was added to the name of the model; None: nothing."""
    beginning = f"{spec.model_version_id.rpartition('@')[0]}-"
    own = spec.output_model_id.startswith(beginning)
    return spec.output_model_id.removeprefix(beginning) if own else None
