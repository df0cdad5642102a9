"""Pairs of answers on disk: newest first, whole or not at all, gone when they are old."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ui.openai.shadowing import answers as shadow_answers
from ui.openai.shadowing.answers import ShadowAnswers
from ui.shared.environment import render
from ui.shipping.deployments.views import AliasView, answer_line, shadow_pair_view

CALL = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}


def files(folder: Path) -> list[Path]:
    return list(folder.glob("*/*"))


async def test_pairs_come_back_newest_first_and_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    answers = ShadowAnswers(tmp_path, 7)
    for number in range(3):
        await answers.keep("small:champion", {"number": number})
    (file,) = files(tmp_path)
    assert file.stat().st_mode & 0o077 == 0
    with file.open("ab") as stream:
        stream.write(b'{"numb')
    await answers.keep("small:champion", {"number": 3})
    assert await answers.newest("small:champion", 2) == [{"number": 2}, {"number": 1}]
    assert await answers.newest("small:other", 2) == await answers.newest("../..:x", 2) == []


async def test_no_more_is_kept_than_a_day_may_take_and_no_longer_than_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow_answers, "_MAX_DAY_BYTES", 40)
    answers = ShadowAnswers(tmp_path, 1)
    for number in range(9):
        await answers.keep("small:champion", {"number": number})
    (file,) = files(tmp_path)
    assert 0 < file.stat().st_size <= 40
    assert [item.name async for item in answers.garbage()] == []
    os.utime(file, (0, time.time() - 2 * 86_400))
    async for item in answers.garbage():
        await item.remove()
    assert not file.exists()
    await ShadowAnswers(tmp_path, 0).keep("small:champion", {})
    assert not files(tmp_path)


def test_a_pair_is_shown_in_two_lines() -> None:
    assert answer_line({"content": " I\n look. ", "tool_calls": [CALL]}) == "I look. look({})"
    pair = {"time": "t", "shadow_model_version_id": "a@1", "outcome": "same", "answer": {"content": None}}
    assert shadow_pair_view({**pair, "shadow_answer": {"content": "x" * 300}}).shadow_answer == "x" * 200 + "…"


def test_the_page_shows_the_pairs_of_the_aliases_that_have_some() -> None:
    aliases = [AliasView(f"m:{name}", "m@1", "", 1, "", "m@2", "now") for name in ("shadowed", "alone")]
    pair = shadow_pair_view(
        {
            "time": "t",
            "shadow_model_version_id": "m@2",
            "outcome": "different",
            "answer": {"content": "<b>"},
            "shadow_answer": {"content": None, "tool_calls": [CALL]},
            "verdict": {"conforming": False, "cause": "bad_json", "sentence": "Half a call."},
            "shadow_verdict": {"conforming": True, "cause": "", "sentence": "It is read."},
        }
    )
    html = render("deployments/aliases", aliases=aliases, pairs={"m:shadowed": [pair]})
    assert "bad_json: Half a call." in html and "conforms" in html
    assert html.count("<table") == 1 and "look(" in html and "&lt;b&gt;" in html
