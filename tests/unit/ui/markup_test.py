"""Text from models, prompts and names is shown as text, whatever it holds."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from drillyard.evaluator.v1.verdict_pb2 import Layer, LayerStatus
from drillyard.test_runner.v1.transcript_pb2 import Message, ToolCall

from ui.evaluations.views import CAUSE_SENTENCES, LAYER_SENTENCES
from ui.shared.environment import render, visible
from ui.test_runs.transcripts import AnswerView, TranscriptView, VerdictPage, VerdictRow

HOSTILE = (
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    '"><svg/onload=alert(1)>',
    "[click](javascript:alert(1))",
    "${alert(1)} {{constructor.constructor('alert(1)')()}} `${1}`",
    "'-alert(1)-'",
    "\x1b[31mred\x1b[0m\x07",
    "admin\u202egnp.exe\u2066",
    "a\u200bb\ufeff",
)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def _transcript(text: str) -> TranscriptView:
    row = VerdictRow("t/1", text, text, text, "failed", text, text)
    layers = (Layer(name=text, status=LayerStatus.LAYER_STATUS_FAILED, detail=text),)
    message = Message(role="user", content=text, tool_calls=[ToolCall(name=text, arguments=text)])
    answer = AnswerView((message,), text, text, text, (text,), text, text)
    return TranscriptView(row, (message,), (answer, answer), layers, text, (text,))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_transcript_adds_no_tag_and_no_handler(text: str) -> None:
    harmless, hostile = _Tags(), _Tags()
    harmless.feed(render("test_runs/transcript", view=_transcript("plain")))
    html = render("test_runs/transcript", view=_transcript(text))
    hostile.feed(html)
    assert hostile.tags == harmless.tags
    assert hostile.attributes == harmless.attributes
    assert not any(one.startswith("on") for one in hostile.attributes)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_reads_as_itself_with_hidden_characters_named(text: str) -> None:
    parser = _Tags()
    parser.feed(render("shared/notice", tone="bad", problem=text, next_step="", blames=""))
    assert visible(text) in parser.text
    assert not re.search("[\x1b\x07\u202e\u2066\u200b\ufeff]", parser.text)


def test_what_browser_templates_would_read_as_code_is_written_as_entities() -> None:
    html = render("shared/notice", tone="bad", problem="${x} {{y}} `z`", next_step="", blames="")
    assert not re.search(r"[${}`]", html)


def test_a_hostile_name_in_a_list_stays_inside_its_attribute() -> None:
    row = VerdictRow('t" data-x="1', "case", "tool", "kind", "failed", "no_call", "why")
    parser = _Tags()
    parser.feed(
        render("test_runs/verdicts", page=VerdictPage((row,), 1, '5" data-y="2'), first=0, picked="", is_live=False)
    )
    assert {"data-x", "data-y"}.isdisjoint(parser.attributes)


def test_newlines_and_tabs_of_an_answer_are_kept() -> None:
    view = replace(_transcript("x"), answers=(AnswerView((), "a\n\tb", "", "", (), "", ""),))
    assert "a\n\tb" in render("test_runs/transcript", view=view)


def test_every_cause_has_a_sentence() -> None:
    from services.protocols.verdict import Cause

    assert set(CAUSE_SENTENCES) == {str(cause) for cause in Cause}


def test_every_layer_has_a_sentence() -> None:
    from services.protocols.verdict import LayerName

    assert set(LAYER_SENTENCES) == {str(layer) for layer in LayerName}
