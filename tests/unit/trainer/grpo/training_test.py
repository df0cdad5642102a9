"""GRPO: it learns, goes on bit for bit, divides its work, and refuses what it cannot teach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
import torch
from safetensors.torch import load_file

from services.chassis.errors import InvalidArgument
from services.lm.loading import LoadedModel
from services.trainer.domain.attempt import AttemptOutcome
from services.trainer.domain.plan import AttemptPlan
from services.trainer.domain.spec import reward_weights_of
from services.trainer.manifest import place_for
from services.trainer.training.examples import BadExampleError
from services.trainer.training.loop import train
from services.trainer.training.methods.grpo import GroupRelativePolicy
from services.trainer.training.rollouts.drawing import from_state
from services.trainer.training.rollouts.rollout import RewardWeights
from services.trainer.training.rollouts.tasks import tasks_of
from services.trainer.training.workers import Workers
from tests.unit.trainer.grpo.bench import Training, context_of, last_answer_of, loaded_tiny, mean, session_row, text_row
from tests.unit.trainer.training_bench import Notes, dataset_rows, write_plan


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedModel:
    return loaded_tiny(tmp_path, scale=0.1)


def test_the_reward_rises(tmp_path: Path) -> None:
    training = Training(context_of(loaded_tiny(tmp_path), [text_row(number) for number in range(8)]))
    rewards = [mean(training.step(step), "reward") for step in range(10)]
    assert max(rewards[:2]) < 0.3 and min(rewards[-3:]) > 0.8


def rows(count: int = 6) -> list[dict[str, Any]]:
    return [text_row(number, pattern="[a-zA-Z]") for number in range(count)]


def plan_of(folder: Path, **grpo: Any) -> AttemptPlan:
    settings = {"num_generations": 4, "max_new_tokens": 6, "train_truncated": True, "beta": 0.1} | grpo
    return write_plan(folder, rows(), method="grpo", learning_rate=1e-2, save_steps=1, grpo=settings)


def run(plan: AttemptPlan, **notes: Any) -> Notes:
    written = Notes(**notes)
    with torch.random.fork_rng(devices=[]):
        outcome = train(plan, Workers(), written)
    assert outcome is (AttemptOutcome.STOPPED if "stop_after" in notes else AttemptOutcome.SUCCEEDED)
    return written


def weights_of(plan: AttemptPlan, step: int) -> dict[str, torch.Tensor]:
    folder = place_for(Path(plan.checkpoint_folder), step, plan.attempt)
    return load_file(folder / "adapter" / "adapter_model.safetensors")


@pytest.mark.parametrize("num_iterations", [1, 2])
def test_a_stopped_job_ends_in_the_same_weights_byte_for_byte(tmp_path: Path, num_iterations: int) -> None:
    straight = plan_of(tmp_path / "straight", num_iterations=num_iterations)
    reference = run(straight)
    num_steps = len(reference.values["loss"])
    assert num_steps == 4 * num_iterations and any(reference.values["loss"].values())
    drawn = reference.values["drawn_tokens"]
    assert len(drawn) == 4 and all(drawn.values()), "answers are drawn at the first step of each drawing alone"
    stopped = plan_of(tmp_path / "stopped", num_iterations=num_iterations)
    first = run(stopped, stop_after=2)
    # With two steps for each drawing, the third step's drawing has one to come.
    assert [item.step for item in first.checkpoints][-1] == 3
    resumed = replace(stopped, attempt=2, resume_from=urlparse(first.checkpoints[-1].uri).path)
    second = run(resumed)
    for metric in ("loss", "reward", "entropy", "kl"):
        assert first.values[metric] | second.values[metric] == reference.values[metric]
    expected, other = weights_of(straight, num_steps), weights_of(resumed, num_steps)
    assert expected.keys() == other.keys() and expected
    assert all(torch.equal(expected[name], other[name]) for name in expected)


def test_a_checkpoint_without_the_answers_of_its_drawing_is_refused(loaded: LoadedModel) -> None:
    context = context_of(loaded, rows(), grpo={"num_iterations": 2}, start_step=1)
    with pytest.raises(BadExampleError, match="lacks the drawn answers"):
        GroupRelativePolicy(context).prepare()


@pytest.mark.parametrize(("scale", "pattern"), [(0.0, r"\S"), (0.1, "[a-m]")], ids=["new adapter", "trained adapter"])
def test_the_distance_is_that_from_the_first_weights(tmp_path: Path, scale: float, pattern: str) -> None:
    loaded, tasks = loaded_tiny(tmp_path, scale=scale), [text_row(number, pattern=pattern) for number in range(4)]
    context = context_of(loaded, tasks, grpo={"beta": 0.1, "max_new_tokens": 2})
    training = Training(context)
    first = {name: weight.detach().clone() for name, weight in loaded.model.named_parameters()}
    distances = [training.step(step).means["kl"] for step in range(2)]
    assert distances[0][0] == pytest.approx(0, abs=1e-4) and distances[1][0] > 1e-3
    state = training.method.state()
    # A new adapter is off where its B is 0; another one is kept.
    assert len(state) == (len(training.weights) if scale else 1)
    resumed = GroupRelativePolicy(replace(context, start_step=2, state=state))
    resumed.prepare()
    assert resumed._reference
    now = {name: weight.detach().clone() for name, weight in loaded.model.named_parameters()}
    with resumed._reference.applied():
        changed = [name for name, weight in loaded.model.named_parameters() if not torch.equal(weight, first[name])]
        assert all("lora_A" in name and not scale for name in changed)
    assert all(torch.equal(weight, now[name]) for name, weight in loaded.model.named_parameters())
    with pytest.raises(BadExampleError, match="lacks the first weights"):
        GroupRelativePolicy(replace(context, start_step=2)).prepare()


def test_later_steps_on_a_drawing_draw_nothing_and_clip(loaded: LoadedModel) -> None:
    training = Training(context_of(loaded, rows(), grpo={"num_iterations": 3}), learning_rate=0.05)
    first, second, third = (training.step(step) for step in range(3))
    assert first.means["reward"][1] and not second.means["reward"][1]
    assert mean(first, "clipped_tokens") == 0 < mean(third, "clipped_tokens")
    assert training.method.num_steps() == 3 * 2


@pytest.mark.parametrize("temperature", [0.7, 1.5])
def test_engine_and_trainer_agree_at_any_temperature(loaded: LoadedModel, temperature: float) -> None:
    result = Training(context_of(loaded, rows(), grpo={"temperature": temperature})).step(0)
    assert mean(result, "engine_drift") < 1e-5


def test_groups_are_whole_and_two_workers_draw_what_one_draws(tmp_path: Path) -> None:
    alone = Training(context_of(loaded_tiny(tmp_path), rows(), batch_size=3))
    alone.step(0)
    parts = []
    for rank in range(2):
        context = context_of(loaded_tiny(tmp_path), rows(), batch_size=3, workers=_Pretended(rank, 2))
        training = Training(context)
        training.step(0)
        parts.append(training.method._drawing)
    together = sorted((item for part in parts for item in part), key=lambda item: item.group)
    assert [item.sequence for item in together] == [item.sequence for item in alone.method._drawing]
    assert not {item.group for item in parts[0]} & {item.group for item in parts[1]}


def test_a_checkpoint_holds_the_drawings_of_all_workers_at_every_step(tmp_path: Path) -> None:
    context = context_of(
        loaded_tiny(tmp_path, scale=0.1), rows(), batch_size=2, workers=_WithOther(0, 2), grpo={"num_iterations": 3}
    )
    training = Training(context)
    for step in range(2):
        training.step(step)
        assert {item.group for item in from_state(training.method.state())} == {0, 1}


class _Pretended(Workers):
    """One of several workers that computes without the others."""

    def add_up(self, *values: float) -> list[float]:
        return list(values)


class _WithOther(_Pretended):
    """Two workers of which the second drew the same for the other prompt."""

    def gather(self, part: Any) -> list[Any]:
        return [part, tuple(replace(item, group=1) for item in part)]


def test_dropout_is_off_so_that_engine_and_trainer_compute_the_same(loaded: LoadedModel) -> None:
    for module in loaded.model.modules():
        if hasattr(module, "lora_dropout") and "default" in module.lora_dropout:
            module.lora_dropout["default"] = torch.nn.Dropout(0.5)
    training = Training(context_of(loaded, rows()))
    assert mean(training.step(0), "engine_drift") < 1e-5
    assert mean(training.step(1), "engine_drift") < 1e-5


def test_rows_of_a_task_in_turns_are_one_task_which_the_client_plays(loaded: LoadedModel) -> None:
    first = session_row()
    later, plain = last_answer_of(first), dataset_rows(1)[0]
    notes = Notes()
    context = context_of(loaded, [first, later, plain, *rows(1)], notes=notes)
    GroupRelativePolicy(context)
    assert "2 of 4 rows are not asked" in notes.notices[0]
    tasks = tasks_of(context.rows, loaded, max_tokens=8192, max_new_tokens=64)
    assert [(task.row.line, task.prompt_size) for task in tasks] == [(1, "compact"), (4, "")]


def test_what_cannot_be_taught_is_refused_by_name(loaded: LoadedModel) -> None:
    def task_error(*given: dict[str, Any], max_tokens: int = 4096, **grpo: Any) -> str:
        with pytest.raises(BadExampleError) as refusal:
            GroupRelativePolicy(context_of(loaded, list(given), max_tokens_per_pack=max_tokens, grpo=grpo))
        return str(refusal.value)

    assert "No row of the train split has a case" in task_error(*dataset_rows(2))
    assert "Line 2 of the dataset" in (text := task_error(*rows(1), session_row(), max_tokens=512))
    assert "at most 506 fit" in text
    foreign = session_row()
    foreign["messages"][0] = {"role": "system", "content": "Another prompt."}
    assert "that roo_xml does not write" in task_error(foreign)
    unknown = task_error(*rows(1), reward_weights=["beauty=1"])
    assert "no reward 'beauty'" in unknown and "use conforming, regex" in unknown


def test_rewards_are_weighted_by_name(loaded: LoadedModel) -> None:
    context = context_of(loaded, [session_row(), *rows(1)])
    played, text = (task.case for task in tasks_of(context.rows, loaded, max_tokens=8192, max_new_tokens=6))
    own = RewardWeights((), [played, text])
    assert {"arguments", "conforming", "done", "format", "regex", "tool"} <= set(own.names)
    assert own.total(text, {"regex": 0.5, "conforming": 1.0}) == 0.5
    assert own.total(played, {"format": 1.0, "done": 0.0, "conforming": 0.0}) == 0.5
    chosen = RewardWeights(["conforming=2", "format=0.5"], [played])
    assert chosen.total(played, {"format": 0.5, "tool": 1.0, "conforming": 1.0}) == 2.25


@pytest.mark.parametrize("entries", [["format"], ["format=x"], ["format=1", "format=2"], ["format=0"], ["a=-1"]])
def test_weights_of_rewards_are_checked_where_a_job_is_created(entries: list[str]) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        reward_weights_of(entries)
    assert refusal.value.fields["field"] == "spec.grpo.reward_weights"
