"""Where an answer begins behind its reasoning."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.protocols.cases import Case, Expected, Scoring
from services.protocols.openai_tools.client import take_turn
from services.protocols.openai_tools.judge import judge
from services.protocols.openai_tools.parse import read_answer, written_call
from services.protocols.plain_text.judge import judge as judge_text
from services.protocols.roo_native.parse.text_form import answer_from_text
from services.protocols.session.reasoning import answer_start
from services.protocols.turn import Answer, ClientState
from services.protocols.verdict import Cause

DRAFT, CALL = written_call("look", {"at": "a"}), written_call("keep", {"at": "b"})
TOOLS = tuple(
    {"type": "function", "function": {"name": name, "parameters": {"properties": {"at": {"type": "string"}}}}}
    for name in ("look", "keep")
)
CASE = Case("c", "k", "keep", "", "t", Expected("keep", {"at": "b"}), "t", "r", tools=TOOLS)
SILENT = Case("c", "k", "no_call", "", "t", Expected("no_call", no_call=True), "t", "r", tools=TOOLS)


@pytest.mark.parametrize(
    "reasoning",
    [
        f"I could {DRAFT} but no.\n</think>\n\n",
        f"<think>{DRAFT}</think>",
        f"\n <think>\n{DRAFT}\n</think>\n",
        "</think>",
        f"<think>one</think>\n<think>{DRAFT}</think>",
        f"{DRAFT}</think>\n\n</think>\n\n",
        f"<think>a <think>b</think> {DRAFT}</think>",
        f"<think>The tag <think> opens; {DRAFT}</think>",
        f"The tag `<think>` opens; {DRAFT}</think>",
        f"Text first. <think>a</think> {DRAFT}</think>",
        f'<think><tool_call>{{"name": "look", "arguments": {{"at": "</think>"}}}}</tool_call>{DRAFT}</think>',
        f"<think>I must write `</think>` at the end. {DRAFT}</think>",
        f"<seed:think>{DRAFT}</seed:think>",
        f"{DRAFT}[/THINK]",
        f"<|inner_prefix|>{DRAFT}<|inner_suffix|>",
        f"<|channel>thought\n{DRAFT}<channel|>",
        f"[THINK]{DRAFT}[/THINK]",
        f"◁think▷{DRAFT}◁/think▷",
        f"<|START_THINKING|>{DRAFT}<|END_THINKING|>",
        f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>",
    ],
)
def test_what_stands_before_the_end_of_reasoning_is_no_answer(reasoning: str) -> None:
    assert judge(CASE, read_answer(reasoning + CALL)).conforming
    assert judge(SILENT, read_answer(f"{reasoning}None fits.")).conforming
    assert judge(SILENT, read_answer(reasoning)).cause is Cause.WRONG_RESULT
    assert [call.name for call in answer_from_text(reasoning + CALL).calls] == ["keep"]
    text = Case(
        "c", "k", "text", "", "t", Expected("text", no_call=True), "t", "r", scoring=Scoring("exact", ("Oslo",))
    )
    assert judge_text(text, Answer(f"{reasoning}Oslo")).conforming


@pytest.mark.parametrize("value", ["</think>", "<think>a</think>b", "[/THINK]", "</seed:think>", "`</think>"])
def test_a_value_that_holds_those_letters_stays_a_value(value: str) -> None:
    case = Case("c", "k", "keep", "", "t", Expected("keep", {"at": value}), "t", "r", tools=TOOLS)
    call = written_call("keep", {"at": value})
    for text in (call, f"Well.\n{call}", f"Hm.</think>{call}", f"<think>{DRAFT}</think>{call}"):
        assert judge(case, read_answer(text)).conforming, text
    document = json.dumps({"at": value})
    assert answer_start(document) == answer_start(f"```json\n{document}\n```") == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No reasoning.",
        "Close it with `</think>`.",
        "A block:\n```\n<think>\nwhy\n</think>\n```\nThat is all.",
        "<thinking>why</thinking> So.",
        "<reasoning>why</reasoning> So.",
        "It ends with <|end|>",
        "a <think> that stays open",
        "A <think>block</think> behind other text",
        f"{CALL}\n<think>",
    ],
)
def test_other_text_is_the_answer_from_its_first_character(text: str) -> None:
    assert answer_start(text) == 0


@pytest.mark.parametrize("text", ["<think>", f" <think>{CALL}", f"[THINK]{CALL}", "<|channel|>analysis<|message|>x"])
def test_reasoning_that_never_ends_leaves_no_answer(text: str) -> None:
    assert answer_start(text) == len(text)
    verdict = judge(CASE, read_answer(text, "length"))
    assert verdict.cause is Cause.TRUNCATED_BY_LIMIT
    state = ClientState(tools=TOOLS)
    outcome = take_turn(state, Answer(text))
    assert (outcome.completed, state.mistakes) == (None, 1)


def test_reasoning_may_say_how_a_call_looks() -> None:
    assert judge(SILENT, read_answer('keep(at="b")\n</think>\nNone fits.')).conforming
    wrong = 'x</think>\nkeep(at="b")'
    layer = next(one for one in judge(SILENT, read_answer(wrong)).layers if one.span)
    assert layer.span is not None and wrong[slice(*layer.span)].startswith("keep(at=")


@given(
    st.lists(
        st.sampled_from(["<think>", "</think>", "<tool_call>", '{"a": "', '"}', "```", "\n", "[", "`", "[THINK]", "x"])
    )
)
def test_the_answer_begins_within_the_text(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert 0 <= answer_start(text) <= len(text)
    assert answer_start(f"{text}</think>") >= answer_start(text) or "```" in text or '"' in text or "`" in text


@pytest.mark.parametrize(
    "piece", ["<think>", "</think>`", "<tool_call>", '<tool_call>{"', "```", "```<think>", "{[", "`</think>`"]
)
def test_hostile_text_is_read_in_one_pass(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    assert answer_start(f"{text}`</think>`") >= 0


@pytest.mark.parametrize("answer", [f"<think>{CALL}", f"{CALL}\n</think>", f"<think>{CALL}</think>"])
def test_an_answer_of_reasoning_alone_is_not_called_empty(answer: str) -> None:
    layers = judge(CASE, read_answer(answer)).layers
    assert [layer.detail for layer in layers if layer.detail] == ["The answer is reasoning alone; nothing follows it."]
