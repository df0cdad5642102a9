"""Conversations of several turns, and answers that are judged as they are tried."""

from drillyard.evaluator.v1.verdict_pb2 import Layer, LayerStatus, Verdict
from drillyard.test_runner.v1.transcript_pb2 import (
    AnswerTurn,
    FinishReason,
    GenerateResponse,
    Message,
    ToolCall,
    Transcript,
)

from ui.playground.views import generation_view, judgement_view
from ui.shared.environment import render
from ui.test_runs.transcripts import transcript_view

FAILED = LayerStatus.LAYER_STATUS_FAILED
STOP, LENGTH = FinishReason.FINISH_REASON_STOP, FinishReason.FINISH_REASON_LENGTH


def _transcript() -> Transcript:
    call = ToolCall(name="read_file", arguments='{"path": 1}')
    return Transcript(
        messages=[
            Message(role="system", content="s"),
            Message(role="assistant", content="of the history"),
            Message(role="user", content="task"),
            Message(role="assistant", content="first", tool_calls=[call]),
            Message(role="tool", content="no such file"),
            Message(role="assistant", content="second"),
        ],
        turns=[
            AnswerTurn(message_index=3, finish_reason=STOP, num_prompt_tokens=1200, token_ids=[1, 2]),
            AnswerTurn(
                message_index=5,
                finish_reason=LENGTH,
                num_prompt_tokens=1300,
                num_cached_tokens=1200,
                num_generated_tokens=7,
                queue_seconds=0.25,
                log_probs=[-1.0, -2.0],
            ),
        ],
        stop="turn_budget",
    )


def _verdict(turn: int) -> Verdict:
    return Verdict(layers=[Layer(name="effect", status=FAILED, span_start=1, span_end=3, turn=turn)])


def test_what_was_said_before_the_first_answer_is_the_prompt_and_the_rest_stands_between_answers() -> None:
    view = transcript_view(_transcript(), _verdict(1))
    assert [one.role for one in view.prompt] == ["system", "assistant", "user"]
    assert [[one.content for one in answer.replies] for answer in view.answers] == [[], ["no such file"]]
    assert view.answers[0].calls == ('read_file({"path": 1})',)
    assert view.stop == "turn budget"


def test_the_span_is_marked_in_the_answer_that_it_is_about_and_in_no_other() -> None:
    first, second = transcript_view(_transcript(), _verdict(1)).answers
    assert (first.before, first.failing) == ("first", "")
    assert (second.before, second.failing, second.after) == ("s", "ec", "ond")


def test_an_answer_says_its_tokens_times_and_end() -> None:
    first, second = transcript_view(_transcript(), _verdict(0)).answers
    assert first.facts == "1,200 prompt tokens · 2 answer tokens · ended by stop"
    assert second.facts == (
        "1,300 prompt tokens (1,200 from a cache) · 7 answer tokens · ended by length · waited 0.25 s"
        " · mean log-probability -1.500"
    )


def test_an_answer_that_was_never_made_still_shows_why() -> None:
    turn = AnswerTurn(message_index=1, finish_reason=FinishReason.FINISH_REASON_BACKEND_FAULT, detail="It is down.")
    transcript = Transcript(messages=[Message(role="user", content="task")], turns=[turn])
    html = render("test_runs/transcript", view=transcript_view(transcript, _verdict(0)))
    assert "It is down." in html
    assert "(empty answer)" in html


def test_a_judged_answer_is_cut_where_it_fails() -> None:
    view = judgement_view(_verdict(1), Message(content="abcdef"), 1)
    assert (view.answer.before, view.answer.failing, view.answer.after) == ("a", "bc", "def")
    assert judgement_view(_verdict(0), Message(content="abcdef"), 1).answer.before == "abcdef"


def test_an_answer_that_the_limit_cut_says_so() -> None:
    last = GenerateResponse(finish_reason=LENGTH, num_prompt_tokens=9, num_generated_tokens=4)
    view = generation_view(Message(content="a"), last, 1.24)
    assert (view.is_done, view.facts) == (True, "9 prompt tokens · 4 answer tokens · 1.2 s")
    assert view.problem == "The token limit ended the answer."
    assert not generation_view(Message(content="a")).is_done
