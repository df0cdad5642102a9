"""Test runs, from and to the wire."""

from __future__ import annotations

from drillyard.test_runner.v1 import provenance_pb2, test_run_pb2

from services.chassis.jobs.convert import job_to_proto
from services.test_runner.convert.endpoint import endpoint_from_proto, endpoint_to_proto
from services.test_runner.domain import Difference, Environment, RunComparison, RunInputs, Sampling, TestRunSpec
from services.test_runner.usecases.test_run import TestRun


def sampling_from_proto(message: test_run_pb2.Sampling) -> Sampling:
    """Return the sampling with what is unset as 0."""
    return Sampling(message.temperature, message.top_p, message.top_k, message.max_new_tokens, message.min_p)


def spec_from_proto(message: test_run_pb2.TestRunSpec) -> TestRunSpec:
    """Return the spec with what is unset as empty, 0 or false."""
    return TestRunSpec(
        model_version_id=message.model_version_id,
        test_suite_version_id=message.test_suite_version_id,
        prompt_size=message.prompt_size,
        sampling=sampling_from_proto(message.sampling),
        num_repeats=message.num_repeats,
        seed=message.seed,
        dtype=message.dtype,
        endpoint=endpoint_from_proto(message.endpoint) if message.HasField("endpoint") else None,
        throughput=message.throughput,
        log_probs=message.log_probs,
        case_timeout_seconds=message.case_timeout_seconds,
        run_timeout_seconds=message.run_timeout_seconds,
        repeat_of_test_run_id=message.repeat_of_test_run_id,
    )


def spec_to_proto(spec: TestRunSpec) -> test_run_pb2.TestRunSpec:
    """Return the spec with every default written out."""
    sampling = spec.sampling
    return test_run_pb2.TestRunSpec(
        model_version_id=spec.model_version_id,
        test_suite_version_id=spec.test_suite_version_id,
        prompt_size=spec.prompt_size,
        sampling=test_run_pb2.Sampling(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_new_tokens=sampling.max_new_tokens,
            min_p=sampling.min_p,
        ),
        num_repeats=spec.num_repeats,
        seed=spec.seed,
        dtype=spec.dtype,
        endpoint=endpoint_to_proto(spec.endpoint) if spec.endpoint else None,
        throughput=spec.throughput,
        log_probs=spec.log_probs,
        case_timeout_seconds=spec.case_timeout_seconds,
        run_timeout_seconds=spec.run_timeout_seconds,
        repeat_of_test_run_id=spec.repeat_of_test_run_id,
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


def comparison_to_proto(comparison: RunComparison) -> test_run_pb2.CompareTestRunsResponse:
    """Return the comparison."""
    return test_run_pb2.CompareTestRunsResponse(
        identical=comparison.is_identical,
        num_compared=comparison.num_compared,
        num_identical=comparison.num_identical,
        num_equal_answers=comparison.num_equal_answers,
        differences=map(_difference, comparison.differences),
        provenance_differences=comparison.provenance_differences,
    )


def _difference(item: Difference) -> test_run_pb2.TranscriptDifference:
    return test_run_pb2.TranscriptDifference(
        case_id=item.case_id,
        repeat=item.repeat,
        field=item.field,
        turn=item.turn,
        token_index=item.token_index,
        before=item.before,
        after=item.after,
    )


def _provenance(inputs: RunInputs, environment: Environment) -> provenance_pb2.Provenance:
    return provenance_pb2.Provenance(
        model_digest=inputs.base.digest if inputs.base else "",
        adapter_digest=inputs.adapter.digest if inputs.adapter else "",
        test_suite_digest=inputs.test_suite_digest,
        profile_id=inputs.profile_id,
        profile_digest=inputs.profile_digest,
        chat_template_digest=environment.chat_template_digest,
        dtype=environment.dtype,
        num_threads=environment.num_threads,
        library_versions=dict(environment.library_versions),
        endpoint=dict(environment.endpoint),
        device=environment.device,
    )
