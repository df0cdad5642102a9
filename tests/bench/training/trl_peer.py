"""TRL's trainers as a process of the peers' environment; nothing of this project is imported.

Reads one JSON object, `{"method", "model", "rows", "settings", "adapter", "dtype", "threads", "seconds_only"}`, builds the trainer, and then
does one optimizer step per line of input. Each line that it writes says how long the step took.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from typing import Any, TextIO

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer


def main() -> None:
    """Train until input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    start = json.loads(sys.stdin.readline())
    torch.set_num_threads(start["threads"])
    with tempfile.TemporaryDirectory() as folder:
        trainer = {"sft": sft, "dpo": dpo, "grpo": grpo}[start["method"]](start, folder)
        trainer.add_callback(Steps(answers))
        trainer.train()


class Steps(TrainerCallback):
    """Lets the trainer do a step when asked, and says what it took."""

    def __init__(self, answers: TextIO) -> None:
        """`answers` takes a line per step."""
        self._answers = answers
        self._begin = (0.0, 0.0)
        self._took: dict[str, float] = {}

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Wait for the next line."""
        if not sys.stdin.readline():
            sys.exit(0)
        self._begin = (time.perf_counter(), time.process_time())

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take the time."""
        wall, processor = self._begin
        self._took = {"seconds": time.perf_counter() - wall, "processor": time.process_time() - processor}

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Say it, with the step's loss."""
        if logs and "loss" in logs:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            self._answers.write(json.dumps({**self._took, "loss": logs["loss"], "peak": peak}) + "\n")


def sft(start: dict[str, Any], folder: str) -> SFTTrainer:
    """Rows have `ids` and `trained_from`."""
    rows = [
        {"input_ids": row["ids"], "labels": [-100] * row["trained_from"] + row["ids"][row["trained_from"] :]}
        for row in start["rows"]
    ]
    settings = SFTConfig(folder, max_length=None, **common(start))
    return SFTTrainer(start["model"], settings, train_dataset=Dataset.from_list(rows), peft_config=lora(start))


class PairsAsTheyAre(DPOTrainer):
    """Takes pairs of token ids, which `DPOTrainer` reads from text only."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


def dpo(start: dict[str, Any], folder: str) -> DPOTrainer:
    """Rows have `prompt_ids`, `chosen_ids` and `rejected_ids`."""
    settings = DPOConfig(folder, max_length=None, **common(start))
    rows = Dataset.from_list(start["rows"])
    return PairsAsTheyAre(start["model"], args=settings, train_dataset=rows, peft_config=lora(start))


def common(start: dict[str, Any]) -> dict[str, Any]:
    """The settings of all trainers."""
    per_step, batch = len(start["rows"]), start["batch"]
    return {
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": per_step // batch,
        "max_steps": 1000,
        "learning_rate": start["learning_rate"],
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "model_init_kwargs": start.get("model_init"),
        **start["settings"],
    }


def lora(start: dict[str, Any]) -> LoraConfig:
    return LoraConfig(task_type="CAUSAL_LM", **start["lora"])


def grpo(start: dict[str, Any], folder: str) -> GRPOTrainer:
    raise NotImplementedError


if __name__ == "__main__":
    main()
