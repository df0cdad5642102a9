"""What a model does: with the cases of a suite, and with questions that no suite asks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from services.lm.chat import encode_text
from services.lm.loading import LoadedModel
from services.lm.training.sequence import TrainedSequence
from services.lm.training.step import log_probs
from services.protocols.cases import Case, case_to_document
from services.protocols.judging.rewards import CONFORMING
from services.protocols.profile import Profile
from services.protocols.session import Session
from services.protocols.suites.dataset_row import DatasetRow
from services.trainer.training.examples import BadExampleError
from services.trainer.training.rollouts.player import DrawingSettings, Player
from services.trainer.training.rollouts.rollout import RewardWeights
from services.trainer.training.rollouts.tasks import Task, tasks_of

_QUESTIONS = Path(__file__).parents[3] / "ui/cli/guardrails/tasks/general.jsonl"
_MAX_NEW_TOKENS = 256
_MAX_TOKENS = 4096


def conforming(loaded: LoadedModel, profile: Profile, cases: Sequence[Case], prompt_size: str) -> list[bool]:
    """Return for each case whether the likeliest answers conform, in the order of the cases.

    A case whose prompt leaves no room for an answer in the model's context does not.
    """
    tasks = {place: task for place, case in enumerate(cases) for task in _task(loaded, profile, case, prompt_size)}
    settings = DrawingSettings(1, 0.0, _MAX_NEW_TOKENS, loaded.max_positions, seed=0)
    groups = Player(loaded, settings, RewardWeights((), cases)).draw(tasks, 0)
    right = {place for place, (rollout,) in zip(tasks, groups, strict=True) if rollout.rewards.get(CONFORMING) == 1}
    return [place in right for place in range(len(cases))]


def _task(loaded: LoadedModel, profile: Profile, case: Case, prompt_size: str) -> list[Task]:
    row = _row(profile, case, prompt_size)
    try:
        return tasks_of([row], loaded, max_tokens=loaded.max_positions, max_new_tokens=_MAX_NEW_TOKENS)
    except BadExampleError as error:
        print(f"    not asked: {error}")
        return []


def _row(profile: Profile, case: Case, prompt_size: str) -> DatasetRow:
    session = Session(profile, case, prompt_size)
    tools = json.loads(json.dumps(session.tools, default=dict))
    messages = (*session.messages, {"role": "assistant", "content": ""})
    return DatasetRow(case.case_id, messages, tools=tools, case=case_to_document(case), profile_id=profile.id)


def general(loaded: LoadedModel) -> list[bool]:
    """Return for each question of the guardrail task whether the right choice is the likeliest."""
    questions = [json.loads(line) for line in _QUESTIONS.read_text(encoding="utf-8").splitlines()]
    return [_is_right(loaded, question) for question in questions]


def _is_right(loaded: LoadedModel, question: dict[str, object]) -> bool:
    choices, answer = question["choices"], question["answer"]
    assert isinstance(choices, list) and isinstance(answer, int)
    prompt = encode_text(loaded.tokenizer, f"Question: {question['question']}\nAnswer:")
    pairs = [(prompt, encode_text(loaded.tokenizer, f" {choice}")) for choice in choices]
    sequences = [TrainedSequence((*ids, *own), ((len(ids), len(ids) + len(own)),)) for ids, own in pairs]
    totals = [float(values.sum()) for values in log_probs(loaded.model, sequences, max_tokens=_MAX_TOKENS)]
    return totals.index(max(totals)) == answer
