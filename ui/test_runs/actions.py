"""Starting test runs and reading them together with their evaluation."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from drillyard.evaluator.v1 import evaluation_pb2, verdict_pb2
from drillyard.evaluator.v1.evaluation_pb2 import Evaluation
from drillyard.test_runner.v1 import test_run_pb2, transcript_pb2
from drillyard.test_runner.v1.test_run_pb2 import (
    CreateTestRunRequest,
    DeleteTestRunRequest,
    DeleteTestRunResponse,
    TestRun,
)

from ui.gateway.clients import Clients, every
from ui.shared.dependants import refuse_if_used
from ui.shared.jobs import job_view
from ui.test_runs.transcripts import TranscriptView, VerdictPage, transcript_view, verdict_row
from ui.test_runs.views import TestRunView, test_run_view

NUM_RECENT = 20
PAGE_SIZE = 50
# The first preview of a model may wait for a process that loads its tokenizer.
RENDER_SECONDS = 90.0


@dataclass(frozen=True)
class VerdictFilters:
    """Which verdicts are wanted; an empty name stands for all. The cause "none" stands for conforming ones."""

    tool: str = ""
    cause: str = ""
    layer: str = ""
    category: str = ""


@dataclass(frozen=True)
class Started:
    """A new run and the evaluation that follows it."""

    test_run: TestRun
    evaluation: Evaluation | None


async def start_test_run(clients: Clients, request: CreateTestRunRequest, *, evaluate: bool = True) -> Started:
    """Start a run and, unless it is not wanted, the evaluation that follows it."""
    run = (await clients.test_runner.CreateTestRun(request)).test_run
    if not evaluate:
        return Started(run, None)
    request_id = f"{request.request_id}/evaluation" if request.request_id else ""
    judging = evaluation_pb2.CreateEvaluationRequest(request_id=request_id, test_run_id=run.test_run_id)
    return Started(run, (await clients.evaluator.CreateEvaluation(judging)).evaluation)


async def read_test_run(clients: Clients, test_run_id: str) -> TestRunView:
    """Return a run with its newest evaluation.

    Raises:
        NotFound: There is no such run.
    """
    run = (await clients.test_runner.GetTestRun(test_run_pb2.GetTestRunRequest(test_run_id=test_run_id))).test_run
    return test_run_view(run, await newest_evaluation(clients, test_run_id))


async def recent_test_runs(clients: Clients, limit: int = NUM_RECENT) -> list[TestRunView]:
    """Return the newest runs, at most 200, each with its newest evaluation."""
    page = await clients.test_runner.ListTestRuns(test_run_pb2.ListTestRunsRequest(page_size=limit))
    judged = await clients.evaluator.ListEvaluations(evaluation_pb2.ListEvaluationsRequest(page_size=2 * limit))
    newest: dict[str, Evaluation] = {}
    for evaluation in judged.evaluations:
        newest.setdefault(evaluation.test_run_id, evaluation)
    # A run that was judged long before the others is not among the newest evaluations.
    missing = [run.test_run_id for run in page.test_runs if run.test_run_id not in newest]
    result = await asyncio.gather(*(newest_evaluation(clients, run_id) for run_id in missing))
    newest |= {item.test_run_id: item for item in result if item}
    return [test_run_view(run, newest.get(run.test_run_id)) for run in page.test_runs]


async def newest_evaluation(clients: Clients, test_run_id: str) -> Evaluation | None:
    """Return the newest evaluation of a run, or None."""
    request = evaluation_pb2.ListEvaluationsRequest(test_run_id=test_run_id, page_size=1)
    return next(iter((await clients.evaluator.ListEvaluations(request)).evaluations), None)


async def read_verdicts(clients: Clients, evaluation_id: str, filters: VerdictFilters, token: str = "") -> VerdictPage:
    """Return a page of the verdicts that the filters let through; the first one without a token."""
    request = verdict_pb2.ListVerdictsRequest(
        evaluation_id=evaluation_id,
        tool=filters.tool,
        cause=filters.cause,
        layer=filters.layer,
        category=filters.category,
        page_size=PAGE_SIZE,
        page_token=token,
    )
    response = await clients.evaluator.ListVerdicts(request)
    return VerdictPage(tuple(map(verdict_row, response.verdicts)), response.total_size, response.next_page_token)


async def read_transcript(clients: Clients, evaluation_id: str, transcript_id: str) -> TranscriptView | None:
    """Return one conversation with its verdict; None while it is not judged."""
    transcript_request = transcript_pb2.GetTranscriptRequest(transcript_id=transcript_id)
    transcript = (await clients.test_runner.GetTranscript(transcript_request)).transcript
    request = verdict_pb2.ListVerdictsRequest(evaluation_id=evaluation_id, case_id=transcript.case_id)
    verdicts = await every(clients.evaluator.ListVerdicts, request, "verdicts")
    verdict = next((verdict for verdict in verdicts if verdict.transcript_id == transcript_id), None)
    return transcript_view(transcript, verdict) if verdict else None


async def delete_test_run(clients: Clients, request: DeleteTestRunRequest) -> DeleteTestRunResponse:
    """Delete a run that has ended, with its transcripts and the evaluations of it.

    Raises:
        NotFound: There is no such run.
        FailedPrecondition: It or an evaluation of it has not ended, or a loop refers to one of them.
    """
    run_id = request.test_run_id
    run = (await clients.test_runner.GetTestRun(test_run_pb2.GetTestRunRequest(test_run_id=run_id))).test_run
    of_run = evaluation_pb2.ListEvaluationsRequest(test_run_id=run_id)
    evaluation_ids = [
        item.evaluation_id for item in await every(clients.evaluator.ListEvaluations, of_run, "evaluations")
    ]
    await refuse_if_used(clients, [run_id, *evaluation_ids])
    if job_view(run.job).is_final:
        for evaluation_id in evaluation_ids:
            await clients.evaluator.DeleteEvaluation(
                evaluation_pb2.DeleteEvaluationRequest(evaluation_id=evaluation_id)
            )
    return await clients.test_runner.DeleteTestRun(request)


async def judge_again(clients: Clients, test_run_id: str) -> Evaluation:
    """Start another evaluation of a run."""
    request = evaluation_pb2.CreateEvaluationRequest(test_run_id=test_run_id)
    return (await clients.evaluator.CreateEvaluation(request)).evaluation
