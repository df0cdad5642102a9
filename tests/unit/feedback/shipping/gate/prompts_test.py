"""What differs between the prompts of a version and of its form, by planted faults of forms."""

from __future__ import annotations

import json

import pytest

from services.feedback.gate.prompts import RenderedPrompt, prompt_difference
from services.feedback.gate.rows import GateRow, gate_rows
from services.protocols.profile import get_profile

TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Looks out.", "parameters": {"type": "object"}},
}
CALL = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
ROW = GateRow(
    "case",
    (
        {"role": "system", "content": "Obey."},
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "Yes.", "tool_call_id": "c1"},
    ),
    (TOOL,),
)
BARE = GateRow("bare", ({"role": "user", "content": "Rain?"},))
TEXT = (
    f"<|im_start|>system\nObey.\n# Tools\n{json.dumps(TOOL)}<|im_end|>\n<|im_start|>user\nRain?<|im_end|>\n"
    f'<|im_start|>assistant\n<tool_call>{{"name": "get_weather", "arguments": {{"city": "Oslo"}}}}</tool_call>'
    "<|im_end|>\n"
    "<|im_start|>tool\nYes.<|im_end|>\n<|im_start|>assistant\n"
)
BARE_TEXT = "<|im_start|>user\nRain?<|im_end|>\n<|im_start|>assistant\n"
GO = "{function {get_weather Looks out. {object <nil> [] map[]}}}"


def rendered(text: str) -> RenderedPrompt:
    return RenderedPrompt(text, tuple(map(ord, text)))


def kind(row: GateRow, text: str, other: str) -> str:
    return prompt_difference(row, rendered(text), rendered(other)).partition(":")[0]


@pytest.mark.parametrize(
    ("row", "text", "other", "expected"),
    [
        (ROW, TEXT, TEXT, ""),
        (ROW, TEXT, TEXT.replace(f"\n# Tools\n{json.dumps(TOOL)}", "").replace("get_weather", ""), "template"),
        (ROW, TEXT, TEXT.replace("<|im_start|>tool", "<|im_start|>user"), "template"),
        (ROW, TEXT, TEXT.replace(json.dumps(TOOL), GO), "function text"),
        (ROW, TEXT, TEXT.replace(json.dumps(TOOL), json.dumps(TOOL, separators=(",", ":"))), "function text"),
        (ROW, TEXT, "<|im_start|>" + TEXT, "special tokens"),
        (BARE, BARE_TEXT, f"<|im_start|>system\nYou are helpful.<|im_end|>\n{BARE_TEXT}", "system injected"),
    ],
)
def test_each_fault_of_a_form_has_its_class(row: GateRow, text: str, other: str, expected: str) -> None:
    assert kind(row, text, other) == expected


def test_a_beginning_that_is_put_twice_is_told_by_its_ids() -> None:
    version = RenderedPrompt("<s>Rain?", (1, 5, 6))
    doubled = prompt_difference(BARE, version, RenderedPrompt("<s>Rain?", (1, 1, 5, 6)))
    assert doubled.startswith("special tokens: bare: the same text becomes other tokens: [1, 5, 6] became [1, 1, 5, 6]")
    # A server leaves the first token out of the text, and encodes with it.
    assert not prompt_difference(BARE, version, RenderedPrompt("Rain?", (1, 5, 6)))


def test_a_difference_shows_both_sides_and_where() -> None:
    difference = prompt_difference(BARE, rendered(BARE_TEXT), rendered(BARE_TEXT.replace("Rain", "Snow")))
    assert difference == "template: bare: 'Rain' became 'Snow' at character 17."


@pytest.mark.parametrize(("profile_id", "size"), [("roo_xml", "compact"), ("roo_native", "full")])
def test_rows_are_spread_over_the_cases_with_history_and_functions(profile_id: str, size: str) -> None:
    profile = get_profile(profile_id)
    rows = gate_rows(profile, profile.suites()[0].cases, size, 20)
    assert len(rows) > 20 and len({row.name for row in rows}) == len(rows)
    assert all(row.messages[-1]["role"] in ("user", "tool") for row in rows)
    assert all((row.answer or {}).get("role") == "assistant" for row in rows[:-1])
    assert not rows[-1].has_system and rows[-1].answer is None
    assert bool(rows[0].tools) == (profile_id == "roo_native")
    assert sum(row.has_history for row in rows) >= 2


def test_material_of_the_profile_adds_the_rows_that_a_small_suite_lacks() -> None:
    profile = get_profile("roo_xml")
    rows = gate_rows(profile, profile.suites()[0].cases[:3], "compact", 20)
    assert len(rows) == 21 and len({row.name for row in rows}) == 21
    assert any(row.has_history for row in rows)
