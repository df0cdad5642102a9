"""A model from scratch learns a small protocol: three forms of calls, whose words it has to carry over."""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path
from typing import Any

import torch

from services.trainer.domain.attempt import AttemptOutcome
from services.trainer.training.loop import train
from services.trainer.training.workers import Workers
from tests.unit.trainer.training_bench import Notes, write_plan

FORMS = {
    "Open the file {}": "<open><path>{}</path></open>",
    "Say {} to me": "<say>{}</say>",
    "How many times {}?": '<count word="{}"/>',
}
WORDS = ("lake", "moon", "fern", "goat", "rust", "salt", "wind", "clay", "drum", "plum", "iron", "sand")
PHRASES = ("{}", "Please: {}", "Now then, {}", "{} Thanks!")
NUM_STEPS = 110
LEAST = 0.95


def row(question: str, word: str, phrase: str, *, split: str) -> dict[str, Any]:
    task, answer = phrase.format(question.format(word)), FORMS[question].format(word)
    messages = [{"role": "user", "content": task}, {"role": "assistant", "content": answer}]
    case = {
        "case_id": f"{word}-{question[:3].lower()}-{PHRASES.index(phrase)}",
        "category": "toy",
        "tool": "",
        "mode": "",
        "task": task,
        "expected": {"tool": "", "arguments": {}, "no_call": True},
        "template": "toy",
        "reference": answer,
        "scoring": {"scorer": "exact", "targets": [answer]},
    }
    example_id = case["case_id"]
    return {"example_id": example_id, "profile_id": "text", "split": split, "messages": messages, "case": case}


def test_a_model_from_scratch_obeys_a_small_protocol_in_words_it_has_not_seen(tmp_path: Path) -> None:
    questions = list(product(FORMS, WORDS, PHRASES))
    random.Random(1).shuffle(questions)
    rows = [row(*each, split="validation" if place < 24 else "train") for place, each in enumerate(questions)]
    plan = write_plan(
        tmp_path,
        rows,
        trained_weights="from_scratch",
        scratch={"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 320},
        batch_size=24,
        max_steps=NUM_STEPS,
        learning_rate=5e-3,
        save_steps=1000,
        seed=1,
    )
    notes = Notes()
    with torch.random.fork_rng(devices=[]):
        assert train(plan, Workers(), notes) is AttemptOutcome.SUCCEEDED
    assert notes.values["adherence"][NUM_STEPS] >= LEAST
