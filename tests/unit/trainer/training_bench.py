"""A tiny model, a small dataset and a reporter that remembers, for tests of training without Ray."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.chassis.wire import from_document
from services.lm.tiny import write_tiny_model
from services.protocols.cases import case_to_document
from services.protocols.profile import get_profile
from services.trainer.domain.attempt import Checkpoint
from services.trainer.domain.plan import AttemptPlan
from services.trainer.domain.spec import TrainingJobSpec
from services.trainer.training.reporter import Silence


@dataclass
class Notes(Silence):
    """Remembers what is reported, and asks to stop once `stop_after` steps are done."""

    stop_after: int = 1 << 30
    phases: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    values: dict[str, dict[int, float]] = field(default_factory=dict)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    stop_requested: bool = False

    def phase(self, name: str) -> None:
        self.phases.append(name)

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def step(self, done: int, total: int, values: dict[str, float]) -> None:
        # The loop looks while it computes the step that follows.
        self.stop_requested = done >= self.stop_after
        for metric, value in values.items():
            self.values.setdefault(metric, {})[done] = value

    def checkpoint(self, item: Checkpoint) -> None:
        self.checkpoints.append(item)


def dataset_rows(num_train: int, *, words: int = 6) -> list[dict[str, Any]]:
    """Return train rows behind one system prompt, each with another task and answer."""
    system = "You answer in tags. " * 4
    rows = []
    for number in range(num_train):
        code = hashlib.sha256(str(number).encode()).hexdigest()
        task = " ".join(code[place : place + 4] for place in range(0, 4 * words, 4))
        messages = [
            {"role": "system", "content": system},
            {"role": "user", "content": f"Read {task}"},
            {"role": "assistant", "content": f"<read_file><path>{code[:8]}</path></read_file>"},
        ]
        rows.append({"example_id": f"e{number}", "split": "train", "profile_id": "roo_xml", "messages": messages})
    return rows


def preference_rows(num_train: int) -> list[dict[str, Any]]:
    """Return train rows, each with a rejected answer."""
    rejected = {"role": "assistant", "content": "I would read the file."}
    return [{**row, "rejected": rejected} for row in dataset_rows(num_train, words=2)]


def validation_rows(count: int) -> list[dict[str, Any]]:
    """Return rows of the validation split, with their cases."""
    profile = get_profile("roo_xml")
    return [
        {
            "example_id": case.case_id,
            "split": "validation",
            "profile_id": "roo_xml",
            "messages": profile.example(case, "compact")["messages"],
            "case": case_to_document(case),
        }
        for case in profile.draw(3, count, split="validation", categories=("single_call",))
    ]


def write_plan(folder: Path, rows: list[dict[str, Any]] | None = None, **spec: Any) -> AttemptPlan:
    """Return the plan of a first attempt on a tiny model; `spec` changes its small settings."""
    model, dataset = folder / "tiny", folder / "drills.jsonl"
    if not model.exists():
        write_tiny_model(model, max_positions=8192)
    dataset.write_text("".join(json.dumps(row) + "\n" for row in rows or dataset_rows(10)))
    settings: dict[str, Any] = {
        "model_version_id": "tiny@1",
        "dataset_version_id": "drills@1",
        "batch_size": 3,
        "num_epochs": 2,
        "save_steps": 3,
        "seed": 5,
        "lora": {"r": 4},
    } | spec
    return AttemptPlan(
        training_job_id="train-1",
        attempt=1,
        epoch=1,
        report_address="",
        config_digest="sha256:config",
        spec=from_document(TrainingJobSpec, settings),
        base_folder=str(model),
        adapter_folder="",
        dataset_file=str(dataset),
        checkpoint_folder=str(folder / "checkpoints"),
        resume_from="",
        scratch_folder="",
        num_threads=1,
        dtype="float32",
    )
