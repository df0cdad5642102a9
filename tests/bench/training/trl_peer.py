"""TRL's trainers, alone or with Unsloth, as a process of the peers' environment; nothing of this project is imported.

Reads a `Start`, builds the trainer as its documentation says, and lets it do one optimizer step per line of input.
Each line that it writes says what the step took.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, TextIO

import torch

if __name__ == "__main__":
    ANSWERS = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    START = json.loads(sys.stdin.readline())
    torch.set_num_threads(START["threads"])
    if START["program"] == "unsloth":
        # Before TRL, which it changes.
        import unsloth

from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer
from trl.trainer.utils import create_model_from_path


def main(start: dict[str, Any], answers: TextIO) -> None:
    """Train until input ends."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = {"sft": sft, "dpo": dpo, "grpo": grpo}[start["method"]](start, folder)
        trainer.add_callback(Steps(answers))
        trainer.train()


class Steps(TrainerCallback):
    """Lets the trainer do a step when asked, and says what it took."""

    generate_seconds = 0.0

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
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        wall, processor = self._begin
        self._took = {"seconds": time.perf_counter() - wall, "processor": time.process_time() - processor}

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Say it, with the step's loss."""
        if not logs or "loss" not in logs:
            return
        curve = {"loss": logs["loss"], "grad_norm": logs["grad_norm"]}
        more = {"generate_seconds": Steps.generate_seconds, "peak": peak_bytes()}
        self._answers.write(json.dumps({**self._took, **curve, **more}) + "\n")


def peak_bytes() -> int:
    """The most memory that this process has held; what the kernel tells a parent counts what it was before."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def sft(start: dict[str, Any], folder: str) -> SFTTrainer:
    """Rows have `ids` and `trained_from`."""
    rows = Dataset.from_list([
        {"input_ids": row["ids"], "labels": [-100] * row["trained_from"] + row["ids"][row["trained_from"] :]}
        for row in start["rows"]
    ])  # fmt: skip
    settings = SFTConfig(folder, max_length=None, **common(start))
    if start["program"] == "unsloth":
        model, tokenizer = unsloth_model(start)
        return SFTTrainer(model=model, args=settings, train_dataset=rows, processing_class=tokenizer)
    return SFTTrainer(trained_model(start), settings, train_dataset=rows, peft_config=new_lora(start))


class PairsOfIds(DPOTrainer):
    """Takes pairs of token ids, which `DPOTrainer` makes of text."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


def dpo(start: dict[str, Any], folder: str) -> DPOTrainer:
    """Rows have `prompt_ids`, `chosen_ids` and `rejected_ids`."""
    settings = DPOConfig(folder, max_length=None, **common(start))
    rows = Dataset.from_list(start["rows"])
    return PairsOfIds(trained_model(start), args=settings, train_dataset=rows, peft_config=new_lora(start))


def grpo(start: dict[str, Any], folder: str) -> GRPOTrainer:
    """Rows have `prompt_ids`, `completion_ids` and `reward`, those of a prompt behind each other.

    The rollouts that are trained on are the rows, in any case; where the start says `generates`, the trainer writes
    its own before, which takes the time that it takes, and drops them.
    """
    count, length = start["num_generations"], len(start["rows"][0]["completion_ids"])
    groups = [start["rows"][place : place + count] for place in range(0, len(start["rows"]), count)]

    def rollouts(prompts: list[str], trainer: Any) -> dict[str, Any]:
        rows = [groups[int(prompt)][place % count] for place, prompt in enumerate(prompts)]
        prompt_ids = [row["prompt_ids"] for row in rows]
        if start["generates"]:
            begin = time.perf_counter()
            written, _ = trainer._generate_single_turn(prompt_ids, None, {}, count)
            Steps.generate_seconds = time.perf_counter() - begin
            if any(len(ids) != length for ids in written):
                raise ValueError("The trainer's rollouts have another length.")
        completions = [row["completion_ids"] for row in rows]
        return {"prompt_ids": prompt_ids, "completion_ids": completions, "logprobs": None}

    def reward(prompts: list[str], **_: Any) -> list[float]:
        return [groups[int(prompt)][place % count]["reward"] for place, prompt in enumerate(prompts)]

    settings = GRPOConfig(
        folder,
        num_generations=count,
        max_completion_length=length,
        generation_kwargs={"min_new_tokens": length},
        **common(start),
    )
    prompts = Dataset.from_list([{"prompt": str(place)} for place in range(len(groups))])
    return GRPOTrainer(
        trained_model(start),
        reward,
        args=settings,
        train_dataset=prompts,
        peft_config=new_lora(start),
        rollout_func=rollouts,
    )


def common(start: dict[str, Any]) -> dict[str, Any]:
    """The settings of all trainers; `settings` of the start are the ones that are varied."""
    per_step, batch = len(start["rows"]), start["batch"]
    return {
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": per_step // batch,
        "max_steps": 1000,
        "learning_rate": start["learning_rate"],
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": start["device"] == "cpu",
        **start["settings"],
    }


def trained_model(start: dict[str, Any]) -> Any:
    """What a trainer takes as its model: with the adapter that training starts from, if there is one."""
    model = create_model_from_path(start["model"], dtype=start["dtype"])
    return PeftModel.from_pretrained(model, start["adapter"], is_trainable=True) if start.get("adapter") else model


def new_lora(start: dict[str, Any]) -> LoraConfig | None:
    """A new adapter, unless training starts from one."""
    return None if start.get("adapter") else LoraConfig(task_type="CAUSAL_LM", **start["lora"])


def unsloth_model(start: dict[str, Any]) -> tuple[Any, Any]:
    """The model and tokenizer, as Unsloth's documentation makes them."""
    dtype = getattr(torch, start["dtype"])
    checkpointing = "unsloth" if start["settings"].get("gradient_checkpointing", True) else False
    model, tokenizer = unsloth.FastLanguageModel.from_pretrained(
        start["model"], max_seq_length=4096, dtype=dtype, load_in_4bit=False, use_gradient_checkpointing=checkpointing
    )
    options = {"lora_dropout": 0, "bias": "none", "use_gradient_checkpointing": checkpointing}
    return unsloth.FastLanguageModel.get_peft_model(model, **start["lora"], **options), tokenizer


if __name__ == "__main__":
    main(START, ANSWERS)
