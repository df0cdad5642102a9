"""Test runs and transcripts, from and to the wire."""

from __future__ import annotations

from drillyard.test_runner.v1 import test_run_pb2, transcript_pb2

from services.chassis.jobs.convert import job_to_proto
from services.test_runner.domain import (
    Environment,
    FinishReason,
    RunInputs,
    Sampling,
    TestRunSpec,
    Transcript,
)
from services.test_runner.usecases import TestRun

_DEFAULT_PROMPT_SIZE = "compact"
_DEFAULT_MAX_NEW_TOKENS = 192


def spec_from_proto(message: test_run_pb2.TestRunSpec) -> TestRunSpec:
    """Return the spec with what is unset as its default."""
    return TestRunSpec(
        model_version_id=message.model_version_id,
        test_suite_version_id=message.test_suite_version_id,
        prompt_size=message.prompt_size or _DEFAULT_PROMPT_SIZE,
        sampling=Sampling(
            temperature=message.sampling.temperature,
            top_p=message.sampling.top_p or 1.0,
            top_k=message.sampling.top_k,
            max_new_tokens=message.sampling.max_new_tokens or _DEFAULT_MAX_NEW_TOKENS,
        ),
        num_repeats=message.num_repeats or 1,
        seed=message.seed,
        dtype=message.dtype,
    )


def spec_to_proto(spec: TestRunSpec) -> test_run_pb2.TestRunSpec:
    """Return the spec with every default written out."""
    return test_run_pb2.TestRunSpec(
        model_version_id=spec.model_version_id,
        test_suite_version_id=spec.test_suite_version_id,
        prompt_size=spec.prompt_size,
        sampling=test_run_pb2.Sampling(
            temperature=spec.sampling.temperature,
            top_p=spec.sampling.top_p,
            top_k=spec.sampling.top_k,
            max_new_tokens=spec.sampling.max_new_tokens,
        ),
        num_repeats=spec.num_repeats,
        seed=spec.seed,
        dtype=spec.dtype,
    )


def test_run_to_proto(run: TestRun) -> test_run_pb2.TestRun:
    """Return the run with its state, its inputs and its counts."""
    message = test_run_pb2.TestRun(test_run_id=run.job.job_id, spec=spec_to_proto(run.spec), job=job_to_proto(run.job))
    if run.record is not None:
        message.provenance.CopyFrom(_provenance(run.record.inputs, run.record.environment))
        message.num_transcripts_total = run.record.inputs.num_cases * run.spec.num_repeats
        message.num_transcripts = run.record.num_transcripts
        message.num_generated_tokens = run.record.num_generated_tokens
    return message


def transcript_to_proto(item: Transcript) -> transcript_pb2.Transcript:
    """Return the transcript."""
    return transcript_pb2.Transcript(
        transcript_id=item.transcript_id,
        test_run_id=item.test_run_id,
        case_id=item.case_id,
        repeat=item.repeat,
        messages=[transcript_pb2.Message(role=turn.role, content=turn.content) for turn in item.messages],
        token_ids=item.token_ids,
        finish_reason=_finish_reason(item.finish_reason),
        num_prompt_tokens=item.num_prompt_tokens,
        num_cached_tokens=item.num_cached_tokens,
        prefill_seconds=item.prefill_seconds,
        decode_seconds=item.decode_seconds,
        sequence=item.sequence,
    )


def _finish_reason(reason: FinishReason) -> transcript_pb2.FinishReason.ValueType:
    return transcript_pb2.FinishReason.Value(f"FINISH_REASON_{reason.name}")


def _provenance(inputs: RunInputs, environment: Environment) -> test_run_pb2.Provenance:
    return test_run_pb2.Provenance(
        model_digest=inputs.base.digest,
        adapter_digest=inputs.adapter.digest if inputs.adapter else "",
        test_suite_digest=inputs.test_suite_digest,
        profile_id=inputs.profile_id,
        profile_digest=inputs.profile_digest,
        chat_template_digest=environment.chat_template_digest,
        dtype=environment.dtype,
        num_threads=environment.num_threads,
        library_versions=dict(environment.library_versions),
    )
