"""A tiny model, tasks that a random model solves now and then, and a loop around GRPO alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from services.chassis.wire import from_document
from services.feedback.datasets.examples import examples_of
from services.lm.adapters import ALL_LINEAR, LoraSettings, add_lora
from services.lm.loading import LoadedModel, load
from services.lm.tiny import write_tiny_model
from services.protocols.cases import case_to_document
from services.protocols.profile import get_profile
from services.protocols.suites.dataset_row import DatasetRow
from services.trainer.domain.spec import TrainingJobSpec
from services.trainer.training.methods import StepResult
from services.trainer.training.methods.context import Context
from services.trainer.training.methods.grpo import GroupRelativePolicy
from services.trainer.training.workers import Workers
from tests.unit.trainer.training_bench import Notes

# What a byte-level model writes by chance now and then.
WANTED = "[a-m]"


def text_row(number: int, *, pattern: str = WANTED, scorer: str = "regex") -> dict[str, Any]:
    """Return a row whose answer conforms when it holds what `pattern` says."""
    task = f"Task {number}"
    case = {
        "case_id": f"c{number}",
        "category": "toy",
        "tool": "",
        "mode": "",
        "task": task,
        "expected": {"tool": "", "arguments": {}, "no_call": True},
        "template": "toy",
        "reference": "a",
        "scoring": {"scorer": scorer, "targets": [pattern]},
    }
    messages = [{"role": "user", "content": task}, {"role": "assistant", "content": "a"}]
    return {"example_id": f"c{number}", "profile_id": "text", "messages": messages, "case": case}


def session_row() -> dict[str, Any]:
    """Return the row of a task of several answers."""
    profile = get_profile("roo_xml")
    (case,) = profile.draw(1, 1, categories=("search_read_edit",))
    (example,) = examples_of(profile, case, "compact")
    return {
        "example_id": case.case_id,
        "profile_id": "roo_xml",
        "messages": list(example.messages),
        "tools": list(example.tools),
        "case": case_to_document(case),
    }


def last_answer_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row in which the last answer alone is trained."""
    messages = [{name: message[name] for name in message if name != "weight"} for message in row["messages"]]
    return row | {"example_id": "later", "messages": messages}


def loaded_tiny(folder: Path, *, scale: float = 0.0, modules: tuple[str, ...] | str = ALL_LINEAR) -> LoadedModel:
    """Return a tiny model with a new adapter; `scale` makes its B matrices random, as if it had been trained."""
    path = folder / "tiny"
    if not path.exists():
        write_tiny_model(path, max_positions=8192)
    loaded = load(path, dtype="float32")
    source = torch.Generator().manual_seed(5)
    # Next to the ordinary first weights, so that an adapter can make a token likely.
    embedding = loaded.model.get_input_embeddings().weight
    embedding.copy_(torch.randn(embedding.shape, generator=source) * 0.15)
    model = add_lora(loaded.model, LoraSettings(r=8, target_modules=modules), seed=3)
    for name, weight in model.named_parameters():
        if scale and "lora_B" in name:
            weight.data.copy_(torch.randn(weight.shape, generator=source) * scale)
    return replace(loaded, model=model)


def context_of(
    loaded: LoadedModel,
    rows: list[dict[str, Any]],
    *,
    start_step: int = 0,
    state: Mapping[str, Tensor] | None = None,
    workers: Workers | None = None,
    notes: Notes | None = None,
    grpo: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Context:
    """Return what a method works with; `grpo` and `spec` change small settings."""
    settings = {
        "model_version_id": "tiny@1",
        "dataset_version_id": "toy@1",
        "method": "grpo",
        "batch_size": 4,
        "seed": 5,
        "grpo": {"num_generations": 8, "max_new_tokens": 6, "train_truncated": True} | dict(grpo or {}),
    } | spec
    return Context(
        from_document(TrainingJobSpec, settings),
        tuple(DatasetRow.from_json(row, line) for line, row in enumerate(rows, 1)),
        loaded,
        "float32",
        workers or Workers(),
        notes or Notes(),
        start_step,
        state or {},
    )


class Training:
    """Steps of GRPO with plain AdamW."""

    def __init__(self, context: Context, *, learning_rate: float = 0.02) -> None:
        self.method = GroupRelativePolicy(context)
        self.method.prepare()
        self.weights = [weight for weight in context.loaded.model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(self.weights, lr=learning_rate, weight_decay=0.0)

    def step(self, number: int) -> StepResult:
        """Do one step."""
        result = self.method.step(number)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return result


def mean(result: StepResult, metric: str) -> float:
    """Return the mean of a metric of one step."""
    total, count = result.means[metric]
    return total / count
