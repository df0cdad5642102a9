"""Goals and guardrails are written and read in one form by commands and page."""

from __future__ import annotations

from typing import Any

import pytest
from drillyard.feedback.v1.loop_goal_pb2 import Goal, Guardrail
from google.protobuf.json_format import ParseDict

from services.chassis.errors import InvalidArgument
from ui.loops.goals import goal_fields, goal_text, guardrail_fields, guardrail_text


@pytest.mark.parametrize(
    ("text", "fields", "words"),
    [
        ("conforming_rate=0.8", {"minimum": 0.8}, "conforming rate ≥ 80 %"),
        ("accepted_rate >= 0.8 @ 0.9", {"minimum": 0.8, "confidence": 0.9}, "accepted rate ≥ 80 % at 90 % confidence"),
        (
            "conforming_rate[tool=apply_diff]>=0.5@0",
            {"minimum": 0.5, "slice": "tool=apply_diff", "confidence": 0.0},
            "conforming rate of tool=apply_diff ≥ 50 %",
        ),
        ("pass_hat_k>=0.5", {"minimum": 0.5}, "pass^k ≥ 50 %"),
        (
            "cause_rate[cause=no_call]<=0.05",
            {"maximum": 0.05, "slice": "cause=no_call"},
            "cause rate of cause=no_call ≤ 5 %",
        ),
        ("seconds_per_answer<=2", {"maximum": 2.0}, "seconds per answer ≤ 2"),
    ],
)
def test_a_goal_is_read_and_shown(text: str, fields: dict[str, Any], words: str) -> None:
    read = goal_fields(text)
    assert {name: value for name, value in read.items() if name != "metric"} == fields
    assert goal_text(ParseDict(read, Goal())) == words


def test_a_guardrail_is_read_and_shown() -> None:
    assert guardrail_fields("text/smoke@1") == {"test_suite_version_id": "text/smoke@1"}
    read = guardrail_fields("text/smoke@1:accepted_rate:0.02:0.9")
    words = "accepted rate on text/smoke@1 loses at most 2 points at 90 % confidence"
    assert guardrail_text(ParseDict(read, Guardrail())) == words


@pytest.mark.parametrize("text", ["conforming_rate", "conforming_rate>0.5", "conforming_rate>=0.5.5", ">=0.5", ""])
def test_what_is_no_goal_is_told_with_an_example(text: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        goal_fields(text)
    assert raised.value.next_step and raised.value.fields["field"] == "goals"


@pytest.mark.parametrize("text", ["", "text/smoke:accepted_rate:x", "a:b:0.1:0.9:more"])
def test_what_is_no_guardrail_is_told_with_an_example(text: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        guardrail_fields(text)
    assert raised.value.next_step and raised.value.fields["field"] == "guardrails"
