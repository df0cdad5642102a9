"""What is told of a training before it starts: rows with their lines, tokens with their mask, sharing, memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from services.lm.adapters import LoraSettings, add_lora, save_adapter
from services.lm.loading import load
from services.protocols.profile import get_profile
from services.protocols.suites.near_copies import SuiteTasks
from services.trainer.domain.preflight import RowsReport
from services.trainer.domain.spec import TrainingMethod
from services.trainer.training.preflight.reader import Reader
from services.trainer.training.preflight.report import num_unique_tokens, report_of
from services.trainer.training.preflight.scan import Scan
from tests.unit.trainer.grpo.bench import last_answer_of, session_row
from tests.unit.trainer.training_bench import dataset_rows, validation_rows, write_plan

SUITES = SuiteTasks([("roo_xml/smoke@1", get_profile("roo_xml").suites()[-1].cases)])


def report(
    tmp_path: Path,
    rows: list[dict[str, Any]],
    *,
    line: int = 0,
    seconds: float = 1e9,
    method: TrainingMethod = TrainingMethod.SFT,
    adapter: Path | None = None,
    **spec: Any,
) -> RowsReport:
    plan = write_plan(tmp_path, rows, method=method, **spec)
    scan = Scan(Reader.of(Path(plan.base_folder)), Path(plan.dataset_file), method, SUITES)
    scan.go_on(seconds)
    return report_of(
        scan, plan.spec, base_folder=Path(plan.base_folder), line=line, dtype="float32", adapter_folder=adapter
    )


def answered(row: dict[str, Any], content: str) -> dict[str, Any]:
    return {**row, "messages": [*row["messages"][:-1], {"role": "assistant", "content": content}]}


def test_rows_that_can_be_trained_on_are_counted_and_nothing_is_refused(tmp_path: Path) -> None:
    told = report(tmp_path, dataset_rows(5) + validation_rows(2), batch_size=2, num_epochs=3)
    assert (told.num_rows, told.num_train_rows, told.num_validation_rows, told.num_usable_rows) == (7, 5, 2, 5)
    assert (told.refusals, told.num_faults, told.num_steps) == ((), 0, 9)


def test_every_fault_is_told_by_its_line_the_first_ones_in_words(tmp_path: Path) -> None:
    rows = [answered(row, "") if place % 2 else row for place, row in enumerate(dataset_rows(30))]
    told = report(tmp_path, rows)
    assert (told.num_faults, told.num_usable_rows) == (15, 15)
    assert told.faults[0].reason == (
        "Line 2 of the dataset: Example e1 has an empty answer, so there is nothing to train: drop it."
    )
    assert [fault.line for fault in told.faults] == list(range(2, 22, 2))
    assert told.fault_lines == tuple(range(22, 31, 2))
    assert "14 more rows cannot be used" in told.refusals[0]


def test_lines_that_are_no_rows_are_told_and_the_others_looked_at(tmp_path: Path) -> None:
    plan = write_plan(tmp_path, dataset_rows(3))
    good = Path(plan.dataset_file).read_text().splitlines()
    long = json.dumps({"messages": "x" * (2 << 20)})
    Path(plan.dataset_file).write_text("\n".join([good[0], "{", "", long, "[1]", good[1]]))
    scan = Scan(Reader.of(Path(plan.base_folder)), Path(plan.dataset_file), TrainingMethod.SFT, SUITES)
    scan.go_on(1e9)
    assert [fault.reason for fault in scan.faults] == [
        "Line 2 of the dataset is not JSON.",
        "Line 4 of the dataset is longer than 1048576 bytes.",
        "Line 5 of the dataset is not a JSON object.",
    ]
    assert list(scan.lengths) == [1, 6]


def test_a_rows_tokens_are_those_that_the_model_sees_and_its_answer_alone_is_trained(tmp_path: Path) -> None:
    row = report(tmp_path, dataset_rows(3), line=2).row
    assert row is not None
    assert (row.line, row.example_id, row.num_tokens, row.first_token) == (2, "e1", len(row.tokens), 0)
    assert "".join(token.text for token in row.tokens if token.span == 1).startswith("<read_file><path>")
    assert row.tokens[-1].text == "<|im_end|>"
    assert "".join(token.text for token in row.tokens if not token.span).endswith("<|im_start|>assistant\n")


def test_rows_with_the_same_tokens_are_told_with_the_line_that_they_repeat(tmp_path: Path) -> None:
    rows = dataset_rows(3)
    told = report(tmp_path, [*rows, {**rows[1], "example_id": "again"}])
    assert [(item.line, item.first_line) for item in told.duplicates] == [(4, 2)]
    assert told.refusals == ()
    assert "1 rows repeat others" in told.warnings[0]


def test_lengths_say_how_many_rows_are_over_the_limit(tmp_path: Path) -> None:
    rows = [answered(row, "x" * (10 + 500 * place)) for place, row in enumerate(dataset_rows(4))]
    lengths = report(tmp_path, rows, max_tokens_per_pack=1000).lengths
    assert lengths is not None
    assert lengths.min < lengths.median < lengths.p95 == lengths.max
    assert (lengths.limit, lengths.num_over_limit) == (1000, 2)


def test_equal_beginnings_count_once_within_a_step(tmp_path: Path) -> None:
    batch = [[1, 2, 3, 4], [1, 2, 5], [1, 2, 3, 4], [7], [1, 300, 2], [1, 2]]
    prefixes = {tuple(ids[:end]) for ids in batch for end in range(1, len(ids) + 1)}
    assert num_unique_tokens(batch) == len(prefixes)
    told = report(tmp_path, dataset_rows(8), batch_size=8).shared_prefix
    alone = report(tmp_path, dataset_rows(8), batch_size=1, num_workers=1).shared_prefix
    assert told is not None
    assert alone is not None
    assert alone.ratio == 1
    assert told.num_raw_tokens == alone.num_raw_tokens
    assert told.ratio > 1.5


def test_a_row_that_is_nearly_a_case_of_a_suite_is_refused_with_both_names_unless_it_is_allowed(tmp_path: Path) -> None:
    rows, case = dataset_rows(3), get_profile("roo_xml").suites()[-1].cases[5]
    rows[1]["messages"][1]["content"] = f"<task>\n{case.task.upper()}  Now!\n</task>"
    told = report(tmp_path, rows)
    (overlap,) = told.overlaps
    assert (overlap.line, overlap.example_id, overlap.case_id) == (2, "e1", case.case_id)
    assert f"Line 2 of the dataset: Example e1 is nearly the case {case.case_id} of roo_xml/smoke@1" in told.refusals[0]
    allowed = report(tmp_path, rows, allow_suite_overlap=True)
    assert (allowed.refusals, allowed.num_overlaps) == ((), 1)


def test_preferences_need_pairs_and_rewards_need_cases(tmp_path: Path) -> None:
    rows = dataset_rows(2)
    rows[1]["rejected"] = {"role": "assistant", "content": "I cannot."}
    told = report(tmp_path, rows, method=TrainingMethod.DPO)
    assert (told.num_usable_rows, told.num_faults) == (1, 1)
    assert told.faults[0].reason.startswith("Line 1 of the dataset: Example e0 has no rejected answer")
    told = report(tmp_path, rows, method=TrainingMethod.GRPO)
    assert (told.num_usable_rows, told.num_faults) == (0, 0)
    assert "No row of the train split has a case" in told.refusals[0]
    cases = [{**row, "split": "train"} for row in validation_rows(2)]
    told = report(tmp_path, [*rows, *cases], method=TrainingMethod.GRPO)
    assert (told.num_usable_rows, told.refusals) == (2, ())


def test_steps_are_as_many_as_the_method_takes(tmp_path: Path) -> None:
    assert report(tmp_path, dataset_rows(5), batch_size=2, max_steps=7).num_steps == 7
    first = session_row()
    rows = [first, last_answer_of(first), *dataset_rows(2)]
    told = report(tmp_path, rows, method=TrainingMethod.GRPO, batch_size=1, num_epochs=2, grpo={"num_iterations": 3})
    assert (told.num_usable_rows, told.num_steps) == (1, 6)


def test_text_that_no_tokenizer_takes_is_a_fault_of_its_row(tmp_path: Path) -> None:
    rows = dataset_rows(3)
    (fault,) = report(tmp_path, [rows[0], answered(rows[1], "a\ud800b"), rows[2]]).faults
    assert fault.line == 2 and "'\\ud800', half a character" in fault.reason


def test_a_layer_that_the_model_does_not_have_is_named_with_those_that_it_has(tmp_path: Path) -> None:
    told = report(tmp_path, dataset_rows(2), lora={"target_modules": ["q_proj", "query"]})
    (sentence,) = told.refusals
    assert "no linear layer query" in sentence
    assert all(name in sentence for name in ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "down_proj"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_base_in_4_bits_is_refused_before_the_start_where_no_gpu_is(tmp_path: Path) -> None:
    (sentence,) = report(tmp_path, dataset_rows(2), load_in_4bit=True).refusals
    assert "GPU with CUDA" in sentence and "leave load_in_4bit out" in sentence


@pytest.mark.parametrize(
    ("field", "names", "word"),
    [("alpha_pattern", ["query=4"], "no linear layer query"), ("modules_to_save", ["head"], "embed_tokens")],
)
def test_a_module_that_no_weights_have_is_named(tmp_path: Path, field: str, names: list[str], word: str) -> None:
    (sentence,) = report(tmp_path, dataset_rows(2), lora={field: names}).refusals
    assert word in sentence and f"lora.{field}" in sentence


def test_what_is_known_so_far_is_told_when_the_time_is_up(tmp_path: Path) -> None:
    told = report(tmp_path, dataset_rows(40), seconds=0)
    assert told.num_checked_rows == 1
    assert 30 <= told.num_rows <= 50
    assert (told.shared_prefix, told.num_steps) == (None, 0)


def test_memory_counts_what_is_trained(tmp_path: Path) -> None:
    small = report(tmp_path, dataset_rows(2), lora={"r": 8}).memory
    large = report(tmp_path, dataset_rows(2), lora={"r": 16}).memory
    assert large.num_trained_weights == 2 * small.num_trained_weights
    # Of q, k, v, o, gate, up and down in two layers: rank times inputs and outputs.
    assert small.num_trained_weights == 8 * 2 * (128 + 96 + 96 + 128 + 192 + 192 + 192)
    assert large.optimizer_bytes == 16 * large.num_trained_weights


@pytest.mark.parametrize("named", [["lm_head"], ["embed_tokens", "norm"], ["layers.0.mlp.up_proj"]])
def test_modules_that_are_trained_whole_count_as_peft_counts_them(tmp_path: Path, named: list[str]) -> None:
    lora = {"r": 8, "target_modules": ["q_proj", "v_proj"], "modules_to_save": named}
    memory = report(tmp_path, dataset_rows(2), lora=lora).memory
    settings = LoraSettings(r=8, target_modules=("q_proj", "v_proj"), modules_to_save=tuple(named))
    model = add_lora(load(tmp_path / "tiny", dtype="float32").model, settings, seed=1)
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert (memory.num_trained_weights, memory.weights_bytes) == (trained, 4 * memory.num_weights)


def test_policies_that_keep_near_their_first_weights_count_a_copy_unless_a_new_adapter_can_be_off(
    tmp_path: Path,
) -> None:
    rows = [{**row, "split": "train"} for row in validation_rows(2)]

    def copied(beta: float, **lora: Any) -> tuple[int, int]:
        told = report(tmp_path, rows, method=TrainingMethod.GRPO, grpo={"beta": beta}, lora=lora)
        return told.memory.reference_bytes // told.memory.num_trained_weights, told.checkpoint_bytes

    plain, drawn = copied(0.1), copied(0.1, init_lora_weights="orthogonal")
    assert (copied(0.0)[0], plain[0], drawn[0]) == (0, 0, 8)
    assert drawn[1] * 3 == plain[1] * 4


def test_an_adapter_that_is_trained_further_keeps_its_settings_and_counts_as_it_is(tmp_path: Path) -> None:
    plan = write_plan(tmp_path, dataset_rows(2))
    settings = LoraSettings(r=4, target_modules=("q_proj",), rank_pattern={"q_proj": 2})
    save_adapter(add_lora(load(Path(plan.base_folder), dtype="float32").model, settings, seed=1), tmp_path / "adapter")

    def told(**lora: Any) -> RowsReport:
        return report(tmp_path, dataset_rows(2), adapter=tmp_path / "adapter", lora=lora)

    same = told(r=4, rank_pattern=["q_proj=2"], target_modules=["q_proj"], loraplus_lr_ratio=4.0)
    assert (same.refusals, same.memory.num_trained_weights) == ((), 2 * 2 * 128)
    (sentence,) = told(r=8).refusals
    assert "its r is 4, and lora.r asks for 8" in sentence and "Leave lora.r out" in sentence
