"""The rows of a dataset: of the kinds that the suite measures, each asked with what a test asks with."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from services.feedback.datasets.builder import DatasetOrder, build, probe_cases
from services.feedback.domain.work import ProbeVerdict
from services.lm.chat import encode_example, encode_prompt, render
from services.lm.loading import load_tokenizer
from services.lm.tiny import write_tiny_model
from services.protocols.cases import Case, case_from_document
from services.protocols.profile import get_profile
from services.protocols.suites.balance import category_of
from services.protocols.suites.dataset_row import DatasetRow
from services.protocols.suites.overlap import find_overlaps
from services.test_runner.domain.test_run import Item
from services.test_runner.domain.transcript import FinishReason, ToolCall
from services.test_runner.jobs.case_session import CaseSession
from services.test_runner.ports.generation import Answer
from services.trainer.training.examples import Dataset, read_dataset
from tests.unit import run_specs as specs

SUITES = {
    "roo_xml": "roo_xml/core@2",
    "roo_native": "roo_native/core@2",
    "openai_tools": "openai_tools/core@1",
}
CALLS_TEMPLATE = (
    "{% if tools %}<|im_start|>tools\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% for call in message.tool_calls or [] %}<tool_call>{{ call.id }} {{ call.function | tojson }}</tool_call>"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("rows") / "model"
    write_tiny_model(folder)
    (folder / "chat_template.jinja").write_text(CALLS_TEMPLATE)
    return load_tokenizer(folder)


@cache
def suite_of(profile_id: str) -> tuple[Case, ...]:
    suites = get_profile(profile_id).suites()
    return next(suite.cases for suite in suites if f"{suite.suite_id}@{suite.version}" == SUITES[profile_id])


@cache
def probe_of(profile_id: str) -> list[Case]:
    return probe_cases(get_profile(profile_id), suite_of(profile_id), seed=5, count=39)


@cache
def built(profile_id: str, size: str = "compact", num_examples: int = 150) -> bytes:
    profile, suite = get_profile(profile_id), suite_of(profile_id)
    verdicts = [
        ProbeVerdict(case.case_id, case.tool, f"failed_{category_of(case)}", case.category)
        for case in probe_of(profile_id)
    ]
    return build(profile, DatasetOrder(size, 5, num_examples, verdicts, suite)).content


def rows(profile_id: str, split: str = "train") -> list[dict[str, Any]]:
    return [row for row in map(json.loads, built(profile_id).splitlines()) if row["split"] == split]


def dataset_of(content: bytes, tmp_path: Path) -> Dataset:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    return read_dataset(path)


@pytest.mark.parametrize("profile_id", SUITES)
def test_probe_and_rows_have_the_kinds_of_the_suite_in_its_proportions(profile_id: str) -> None:
    suite = suite_of(profile_id)
    parts = Counter(category_of(case) for case in suite)
    probe = Counter(category_of(case) for case in probe_of(profile_id))
    taught = Counter(category_of(case_from_document(row["case"])) for row in rows(profile_id))
    assert probe.keys() == taught.keys() == parts.keys()
    assert probe.total() == 39 and taught.total() == 150
    assert all(abs(probe[kind] - 39 * part / 308) <= 1.5 for kind, part in parts.items())
    assert all(abs(taught[kind] - 150 * part / 308) <= 8 for kind, part in parts.items())


@pytest.mark.parametrize("profile_id", SUITES)
def test_rows_treat_the_causes_of_their_own_kind_of_task(profile_id: str) -> None:
    for row in rows(profile_id):
        assert row["cause"] == f"failed_{category_of(case_from_document(row['case']))}"


@pytest.mark.parametrize("profile_id", SUITES)
def test_every_right_answer_of_a_task_is_trained_and_none_of_its_history(profile_id: str) -> None:
    numbers = []
    for row in map(DatasetRow.from_json, rows(profile_id)):
        case = case_from_document(row.case)
        answers = [place for place, message in enumerate(row.messages) if message["role"] == "assistant"]
        assert row.trained_turns == tuple(answers[len(case.history) :])
        assert len(row.trained_turns) == (len(case.solution) or 1)
        assert row.prompt == row.messages[: row.trained_turns[0]]
        numbers.append(len(row.trained_turns))
    assert sum(number > 1 for number in numbers) >= 15 and max(numbers) >= 4


@pytest.mark.parametrize("profile_id", SUITES)
def test_a_recovery_has_the_failed_call_and_the_clients_error_before_its_right_answer(profile_id: str) -> None:
    profile = get_profile(profile_id)
    recoveries = [row for row in rows(profile_id) if row["case"]["category"].startswith("recovery")]
    assert len(recoveries) >= 5
    for row in recoveries:
        case = case_from_document(row["case"])
        roles = [message["role"] for message in row["messages"]]
        assert roles.count("assistant") == len(case.history) + 1 and roles[-1] == "assistant"
        assert profile.judge(case, profile.read_answer(row["messages"][-1]["content"])).conforming


@pytest.mark.parametrize("profile_id", SUITES)
def test_splits_share_no_case_and_none_is_near_to_the_suite(profile_id: str) -> None:
    profile, suite = get_profile(profile_id), suite_of(profile_id)
    splits = {
        split: [case_from_document(row["case"]) for row in rows(profile_id, split)] for split in ("train", "validation")
    }
    splits["probe"] = probe_of(profile_id)
    tasks = [{case.task for case in cases} for cases in splits.values()]
    assert sum(map(len, tasks)) == len(set().union(*tasks))
    for cases in splits.values():
        assert find_overlaps(suite, cases, closed_tools=profile.closed_tools) == []


def test_validation_rows_are_questions_of_one_answer_that_training_can_ask() -> None:
    for profile_id in SUITES:
        asked = rows(profile_id, "validation")
        assert len(asked) == 26
        assert all(case_from_document(row["case"]).max_turns == 1 for row in asked)


def test_long_files_are_left_to_the_suite_while_there_are_shorter_ones() -> None:
    lengths = {
        row["example_id"]: sum(len(message["content"]) for message in row["messages"][1:])
        for row in rows("roo_xml")
        if row["case"]["category"].startswith("long_context")
    }
    assert lengths and max(lengths.values()) < 12_000


SIZES = [(profile_id, size) for profile_id in SUITES for size in get_profile(profile_id).prompt_sizes]


@pytest.mark.parametrize(("profile_id", "size"), SIZES)
def test_a_rows_prompt_is_token_for_token_what_a_test_asks_with(
    profile_id: str, size: str, tokenizer: Any, tmp_path: Path
) -> None:
    dataset = dataset_of(built(profile_id, size, 20), tmp_path)
    known = {example.example_id: example for example in (*dataset.train, *dataset.validation)}
    cases = {str(example.case["case_id"]): example.case for example in known.values() if example.case}
    trained: defaultdict[str, list[str]] = defaultdict(list)
    for example in known.values():
        trained[example.case["case_id"]] += [
            render(tokenizer, example.messages[:place], tools=example.tools) for place in example.trained_turns
        ]
    for case_id, document in cases.items():
        prompts = asked_in_test(profile_id, size, case_from_document(document))
        asked = [render(tokenizer, [m.to_chat() for m in prompt.messages], tools=prompt.tools) for prompt in prompts]
        assert trained[case_id] == asked
    shortest = min(known.values(), key=lambda example: sum(len(message["content"]) for message in example.messages))
    encoded = encode_example(tokenizer, shortest.messages, tools=shortest.tools)
    prompt_ids = encode_prompt(tokenizer, shortest.messages[:-1], tools=shortest.tools)
    assert list(encoded.ids[: encoded.spans[0][0]]) == prompt_ids and len(encoded.ids) > len(prompt_ids) + 3


def asked_in_test(profile_id: str, size: str, case: Case) -> Iterator[Any]:
    """Yield what a test run asks for each answer, when all before were right."""
    profile = get_profile(profile_id)
    play = CaseSession(profile, case, Item(1, 0, 0), specs.run_spec(prompt_size=size))
    for answer in case.solution or (profile.read_answer(case.reference),):
        yield play.prompt()
        written = profile.as_written(answer, size)
        calls = tuple(ToolCall("", call.name, call.arguments) for call in written.calls if call.span is None)
        play.take(Answer(play.key, written.text, FinishReason.STOP, calls=calls))


def test_functions_that_go_beside_the_messages_reach_the_row(tokenizer: Any, tmp_path: Path) -> None:
    dataset = dataset_of(built("roo_native", "full", 20), tmp_path)
    for example in dataset.train[:9]:
        names = {tool["function"]["name"] for tool in example.tools}
        assert "attempt_completion" in names
        text = render(tokenizer, example.messages, tools=example.tools, asks=False)
        assert all(f'"name": "{name}"' in text for name in names)


def test_calls_of_a_history_are_read_by_a_model_that_is_offered_no_functions() -> None:
    for row in rows("roo_native"):
        assert not any("tool_calls" in message for message in row["messages"])
        assert "tools" not in row
