"""Domain terms from and to the wire, where more than equal names joins them."""

import json

from drillyard.test_runner.v1 import diagnosis_pb2, provenance_pb2, score_pb2, test_run_pb2, transcript_pb2

from services.chassis.jobs.convert import job_to_proto
from services.chassis.wire import from_message, to_message
from services.lm.doctor.diagnosis import Diagnosis
from services.test_runner.domain.endpoint import Endpoint
from services.test_runner.domain.generation import TokenLogProb, parse_tools
from services.test_runner.domain.scoring import AnswerRow, AnswerScore, ScoringOrder
from services.test_runner.domain.test_run import Environment, RunInputs, TestRunSpec
from services.test_runner.domain.transcript import AnswerTurn, FinishReason, Message, ToolCall, Transcript
from services.test_runner.ports.generation import Answer, Delta
from services.test_runner.usecases.rendering import RenderedPrompt
from services.test_runner.usecases.test_run import TestRun


def spec_from_proto(message: test_run_pb2.TestRunSpec) -> TestRunSpec:
    """Return the spec with what is unset as empty, 0 or false."""
    endpoint = from_message(Endpoint, message.endpoint) if message.HasField("endpoint") else None
    return from_message(TestRunSpec, message, endpoint=endpoint, fill=False)


def test_run_to_proto(run: TestRun) -> test_run_pb2.TestRun:
    """Return the run with its state, its inputs and its counts."""
    spec = to_message(run.spec, test_run_pb2.TestRunSpec)
    message = test_run_pb2.TestRun(test_run_id=run.job.job_id, spec=spec, job=job_to_proto(run.job))
    if run.record is not None:
        message.provenance.CopyFrom(_provenance(run.record.inputs, run.record.environment))
        message.num_transcripts_total = run.num_transcripts_total
        message.num_transcripts = run.record.num_transcripts
        message.num_generated_tokens = run.record.num_generated_tokens
        message.num_unanswered = run.record.num_unanswered
        message.is_incomplete = run.is_incomplete
    return message


def _provenance(inputs: RunInputs, environment: Environment) -> provenance_pb2.Provenance:
    return to_message(
        environment,
        provenance_pb2.Provenance,
        model_digest=inputs.base.digest if inputs.base else "",
        adapter_digest=inputs.adapter.digest if inputs.adapter else "",
        test_suite_digest=inputs.test_suite_digest,
        profile_id=inputs.profile_id,
        profile_digest=inputs.profile_digest,
    )


def message_to_proto(message: Message) -> transcript_pb2.Message:
    """Return the message."""
    return transcript_pb2.Message(
        role=message.role,
        content=message.content,
        tool_calls=map(call_to_proto, message.tool_calls),
        tool_call_id=message.tool_call_id,
    )


def call_to_proto(call: ToolCall) -> transcript_pb2.ToolCall:
    """Return the call."""
    return transcript_pb2.ToolCall(tool_call_id=call.tool_call_id, name=call.name, arguments=call.arguments)


def finish_reason_to_proto(reason: FinishReason) -> transcript_pb2.FinishReason.ValueType:
    """Return the reason."""
    return transcript_pb2.FinishReason.Value(f"FINISH_REASON_{reason.name}")


def transcript_to_proto(item: Transcript) -> transcript_pb2.Transcript:
    """Return the transcript."""
    return transcript_pb2.Transcript(
        transcript_id=item.transcript_id,
        test_run_id=item.test_run_id,
        case_id=item.case_id,
        repeat=item.repeat,
        messages=map(message_to_proto, item.messages),
        token_ids=item.token_ids,
        finish_reason=finish_reason_to_proto(item.finish_reason),
        num_prompt_tokens=item.num_prompt_tokens,
        num_cached_tokens=item.num_cached_tokens,
        prefill_seconds=item.prefill_seconds,
        decode_seconds=item.decode_seconds,
        sequence=item.sequence,
        turns=map(_turn, item.turns),
        stop=item.stop,
    )


def _turn(turn: AnswerTurn) -> transcript_pb2.AnswerTurn:
    return transcript_pb2.AnswerTurn(
        message_index=turn.message_index,
        token_ids=turn.token_ids,
        log_probs=turn.log_probs,
        finish_reason=finish_reason_to_proto(turn.finish_reason),
        num_prompt_tokens=turn.num_prompt_tokens,
        num_cached_tokens=turn.num_cached_tokens,
        num_generated_tokens=turn.num_generated_tokens,
        queue_seconds=turn.queue_seconds,
        prefill_seconds=turn.prefill_seconds,
        decode_seconds=turn.decode_seconds,
        detail=turn.detail,
    )


def piece_to_proto(piece: Delta | Answer) -> transcript_pb2.GenerateResponse:
    """Return a piece of the answer; the last is an `Answer`, whose text is what no piece has brought yet."""
    response = transcript_pb2.GenerateResponse(text_delta=piece.text, log_probs=map(token_to_proto, piece.tokens))
    if isinstance(piece, Answer):
        response.finish_reason = finish_reason_to_proto(piece.finish_reason)
        response.tool_calls.extend(map(call_to_proto, piece.calls))
        response.num_prompt_tokens = piece.num_prompt_tokens
        response.num_cached_tokens = piece.num_cached_tokens
        response.num_generated_tokens = piece.num_generated_tokens
        response.detail = piece.detail
        response.stop_text = piece.stop_text
    return response


def token_to_proto(item: TokenLogProb) -> transcript_pb2.TokenLogProb:
    """Return a token with its probability."""
    top = [transcript_pb2.TopLogProb(token=token, log_prob=log_prob) for token, log_prob in item.top]
    return transcript_pb2.TokenLogProb(token=item.token, token_id=item.token_id, log_prob=item.log_prob, top=top)


def rendered_to_proto(prompt: RenderedPrompt) -> transcript_pb2.RenderPromptResponse:
    """Return the rendered prompt."""
    tools = [json.dumps(tool, ensure_ascii=False) for tool in prompt.tools]
    messages = map(message_to_proto, prompt.messages)
    return to_message(
        prompt.rendered, transcript_pb2.RenderPromptResponse, messages=messages, tools=tools, stop=prompt.stop
    )


def scoring_order_from_proto(request: score_pb2.ScoreAnswersRequest) -> ScoringOrder:
    """Return what is to be scored.

    Raises:
        InvalidArgument: A tool is no function definition.
    """
    rows = tuple(from_message(AnswerRow, row, tools=parse_tools(row.tools)) for row in request.rows)
    return from_message(ScoringOrder, request, rows=rows)


def score_to_proto(score: AnswerScore) -> score_pb2.ScoreAnswersResponse:
    """Return the score of one row."""
    return to_message(score, score_pb2.ScoreAnswersResponse, tokens=map(token_to_proto, score.tokens))


def diagnosis_to_proto(diagnosis: Diagnosis) -> diagnosis_pb2.DiagnoseModelResponse:
    """Return the findings with what was looked at."""
    severity = diagnosis_pb2.Severity
    findings = [
        to_message(finding, diagnosis_pb2.Finding, severity=severity.Value(f"SEVERITY_{finding.severity.upper()}"))
        for finding in diagnosis.findings
    ]
    return to_message(diagnosis, diagnosis_pb2.DiagnoseModelResponse, findings=findings)
