"""The form of a training job: only what matters for the chosen method and weights is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from drillyard.trainer.v1.training_spec_pb2 import CheckpointRef, TrainingJobSpec

from services.chassis.errors import InvalidArgument
from services.chassis.wire import fields_of
from ui.shared.fields import FieldForm, Values

# The fields of a group are there when the method, or the weights, are so.
_GROUPS = {"lora": "TRAINED_WEIGHTS_LORA", "scratch": "TRAINED_WEIGHTS_FROM_SCRATCH"}
_GROUPS |= {"dpo": "TRAINING_METHOD_DPO", "grpo": "TRAINING_METHOD_GRPO"}
_TITLES = {
    "lora": "LoRA adapter",
    "scratch": "Shape of the new model",
    "dpo": "Preference optimisation",
    "grpo": "Policy optimisation",
}
_USUAL = ("num_epochs", "batch_size", "learning_rate", "seed")
_OPTIMIZER = ("warmup_ratio", "lr_scheduler_type", "weight_decay", "max_grad_norm", "max_steps")
_CHECKPOINTS = ("save_steps", "save_total_limit", "eval_steps", "early_stopping_patience", "load_best_model_at_end")
_MACHINE = ("num_workers", "max_tokens_per_pack", "dtype", "gradient_checkpointing", "load_in_4bit")


@dataclass
class TrainForm:
    """The components, and what they say.

    Attributes:
        groups: What is shown for a method or for weights alone, by the field that holds its settings.
        fork: Holds the checkpoint that a job begins with, as its job and its step; empty where it begins anew.
    """

    model: gr.Dropdown
    dataset: gr.Dropdown
    fields: FieldForm
    groups: dict[str, gr.Accordion]
    line: gr.Number
    look: gr.Button
    start: gr.Button
    fork: gr.State = field(default_factory=lambda: gr.State(()))

    def components(self) -> set[Any]:
        """What `spec` needs the values of."""
        return {self.model, self.dataset, self.line, self.fork, *self.fields.components.values()}

    def spec(self, values: Values) -> TrainingJobSpec:
        """Return what the form says; settings of what was not chosen are left out.

        Raises:
            InvalidArgument: Something is missing, or does not fit its field.
        """
        model, dataset = values[self.model], values[self.dataset]
        if not model or not dataset:
            missing = "dataset" if model else "model"
            raise InvalidArgument(
                "A model and a dataset are needed.", "Choose both; a loop builds datasets.", field=missing
            )
        spec = TrainingJobSpec(model_version_id=model, dataset_version_id=dataset)
        hidden = tuple(f"{name}." for name, is_shown in self._shown(values).items() if not is_shown)
        self.fields.fill(spec, values, "spec.", hidden or "-")
        if values[self.fork]:
            job_id, step = values[self.fork]
            spec.fork.CopyFrom(CheckpointRef(training_job_id=job_id, step=step))
        return spec

    def visibility(self, values: Values) -> dict[Any, Any]:
        """Return which groups are shown."""
        return {self.groups[name]: gr.update(visible=is_shown) for name, is_shown in self._shown(values).items()}

    def filled(self, spec: TrainingJobSpec) -> dict[Any, Any]:
        """Return updates that make the form say what a spec says, apart from its fork."""
        components = self.fields.components.values()
        updates = dict(zip(components, self.fields.updates(spec), strict=True))
        values = {component: update["value"] for component, update in updates.items()}
        versions = {self.model: spec.model_version_id, self.dataset: spec.dataset_version_id}
        return {**versions, **updates, **self.visibility(values)}

    def _shown(self, values: Values) -> dict[str, bool]:
        chosen = {values[self.fields.components[name]] for name in ("method", "trained_weights")}
        return {name: value in chosen for name, value in _GROUPS.items()}


def train_form() -> TrainForm:
    """Build the form."""
    fields, groups = FieldForm("train", TrainingJobSpec), {}
    with gr.Column(elem_classes="dy-form"):
        model = gr.Dropdown([], label="Model", elem_id="train-model")
        dataset = gr.Dropdown([], label="Dataset", elem_id="train-dataset")
        fields.add("method")
        fields.add("trained_weights")
        fields.add(*_USUAL)
        for name, title in _TITLES.items():
            with gr.Accordion(title, open=False, visible=name == "lora", elem_id=f"train-{name}") as groups[name]:
                fields.add(*_paths(name))
        for title, names in (("Optimizer", _OPTIMIZER), ("Checkpoints", _CHECKPOINTS), ("Machine", _MACHINE)):
            with gr.Accordion(title, open=False, elem_id=f"train-{title.lower()}"):
                fields.add(*names)
        fields.add("allow_suite_overlap")
        with gr.Row(equal_height=True):
            line = gr.Number(
                None, label="Show the row at line", precision=0, minimum=0, min_width=110, elem_id="train-line"
            )
            look = gr.Button("Look before starting", elem_id="train-look")
        start = gr.Button("Start training", variant="primary", elem_id="train-start")
    return TrainForm(model, dataset, fields, groups, line, look, start)


def _paths(group: str) -> list[str]:
    return [item.path for item in fields_of(TrainingJobSpec) if item.path.startswith(f"{group}.")]
