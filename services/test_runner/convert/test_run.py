"""Test runs, from and to the wire."""

from drillyard.test_runner.v1 import comparison_pb2, provenance_pb2, test_run_pb2

from services.chassis.jobs.convert import job_to_proto
from services.chassis.wire import from_message, to_message
from services.test_runner.domain import Endpoint, Environment, RunComparison, RunInputs, TestRunSpec
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


def comparison_to_proto(comparison: RunComparison) -> comparison_pb2.CompareTestRunsResponse:
    """Return the comparison."""
    return to_message(comparison, comparison_pb2.CompareTestRunsResponse, identical=comparison.is_identical)


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
