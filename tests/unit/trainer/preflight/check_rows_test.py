"""Rows that cannot be trained on are named before anything is computed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.lm.errors import LmError
from services.protocols.profile import get_profile
from services.trainer.domain.plan import AttemptPlan
from services.trainer.domain.preflight import SuiteFile
from services.trainer.training.examples import BadExampleError
from services.trainer.training.preflight.scan import check_rows
from tests.machine import PATIENCE_SECONDS
from tests.unit.trainer.training_bench import dataset_rows, validation_rows, write_plan

STRICT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'tool' %}{{ raise_exception('there is no role tool') }}{% endif %}"
    "<|im_start|>{{ message.role + '\n' + message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CALL = {"id": "c1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a.py"}'}}


def check(tmp_path: Path, rows: list[dict[str, Any]], **spec: Any) -> None:
    plan = write_plan(tmp_path, rows, **spec)
    (Path(plan.base_folder) / "chat_template.jinja").write_text(STRICT_TEMPLATE)
    # What has no weights can compute nothing.
    (Path(plan.base_folder) / "model.safetensors").write_bytes(b"")
    check_rows(plan)


def changed(row: dict[str, Any], *messages: dict[str, Any]) -> dict[str, Any]:
    return {**row, "messages": [*row["messages"][: -len(messages)], *messages]}


def test_rows_that_can_be_trained_on_pass(tmp_path: Path) -> None:
    check(tmp_path, dataset_rows(4) + validation_rows(2))


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([{"role": "tool", "content": "x"}, {"role": "assistant", "content": "y"}], "there is no role tool"),
        ([{"role": "assistant", "content": ""}], "empty answer, so there is nothing to train"),
        ([{"role": "assistant", "content": "a<|im_end|>b"}], "holds an end-of-turn token"),
        ([{"role": "assistant", "content": "", "tool_calls": [CALL]}], "leaves the answer's function calls out"),
        (
            [{"role": "assistant", "content": "Reading.", "tool_calls": [CALL]}],
            "leaves the answer's function calls out",
        ),
        (
            [{"role": "assistant", "content": "x" * 7000}],
            r"has 7\d+ tokens, the limit is 6144: .*max_tokens_per_pack",
        ),
    ],
)
def test_a_row_that_cannot_be_trained_on_is_named_with_its_line_and_the_reason(
    tmp_path: Path, messages: list[dict[str, Any]], words: str
) -> None:
    rows = dataset_rows(4)
    rows[2] = changed(rows[2], *messages)
    with pytest.raises(BadExampleError, match=f"^Line 3 of the dataset: Example e2 .*{words}"):
        check(tmp_path, rows)


def test_a_validation_row_that_the_template_refuses_is_named_too(tmp_path: Path) -> None:
    rows = dataset_rows(2) + validation_rows(1)
    asked = {"role": "tool", "content": "x"}
    rows[2]["messages"].insert(1, asked)
    with pytest.raises(BadExampleError, match=r"^Line 3 .* cannot be asked: .*there is no role tool"):
        check(tmp_path, rows)


def test_further_rows_are_told_by_their_lines(tmp_path: Path) -> None:
    rows = [
        changed(row, {"role": "assistant", "content": ""}) if place % 2 else row
        for place, row in enumerate(dataset_rows(6))
    ]
    with pytest.raises(BadExampleError, match=r"^Line 2 .* 2 more rows cannot be used \(lines 4, 6\)\.$"):
        check(tmp_path, rows)


def test_the_longest_row_says_how_far_the_limit_would_have_to_be_raised(tmp_path: Path) -> None:
    lengths = (6500, 10, 7500, 7000)
    rows = [
        changed(row, {"role": "assistant", "content": "x" * length})
        for row, length in zip(dataset_rows(4), lengths, strict=True)
    ]
    with pytest.raises(
        BadExampleError, match=r"^Line 1 .* The longest row has 7[67]\d\d tokens, .* context 8192\. 2 more"
    ):
        check(tmp_path, rows)


def test_a_row_that_fits_the_pack_but_not_the_models_context_is_named(tmp_path: Path) -> None:
    rows = dataset_rows(1)
    rows[0] = changed(rows[0], {"role": "assistant", "content": "x" * 9000})
    with pytest.raises(BadExampleError, match=r"has 9\d+ tokens, the limit is 8192"):
        check(tmp_path, rows, max_tokens_per_pack=10_000)


def test_a_row_that_is_nearly_a_test_ends_the_attempt_before_it_computes(tmp_path: Path) -> None:
    suite, rows = get_profile("roo_xml").suites()[-1], dataset_rows(3)
    (tmp_path / "suite.jsonl").write_text(suite.text)
    rows[1]["messages"][1]["content"] = suite.cases[0].task
    file = SuiteFile("roo_xml/smoke@1", str(tmp_path / "suite.jsonl"), suite.digest)
    plan = AttemptPlan.from_json(replace(write_plan(tmp_path, rows), suites=(file,)).to_json())
    with pytest.raises(BadExampleError, match=f"e1 is nearly the case {suite.cases[0].case_id} of roo_xml/smoke@1"):
        check_rows(plan)


def test_a_model_without_a_chat_template_is_refused_before_its_weights_are_read(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    (Path(plan.base_folder) / "chat_template.jinja").unlink()
    (Path(plan.base_folder) / "model.safetensors").write_bytes(b"")
    with pytest.raises((BadExampleError, LmError), match="has no chat template"):
        check_rows(plan)


def test_the_driver_of_an_attempt_looks_at_rows_without_loading_tensors(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(write_plan(tmp_path, dataset_rows(2)).to_json())
    program = """
import sys
from pathlib import Path
from services.trainer.domain.plan import AttemptPlan
from services.trainer.training.preflight.scan import check_rows

check_rows(AttemptPlan.read(Path(sys.argv[1])))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "plan.json")], check=True, timeout=PATIENCE_SECONDS)
