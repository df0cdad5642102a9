"""Gathering the report of a loop from the services."""

from __future__ import annotations

import asyncio
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import psutil
from drillyard.evaluator.v1.evaluation_pb2 import Evaluation, GetEvaluationRequest
from drillyard.evaluator.v1.export_pb2 import ExportFact
from drillyard.feedback.v1.loop_pb2 import Loop, Round
from drillyard.test_runner.v1.test_run_pb2 import GetTestRunRequest, TestRun
from drillyard.trainer.v1.training_job_pb2 import GetTrainingJobRequest

from services.chassis.errors import FailedPrecondition
from ui.comparisons.actions import compare_evaluations
from ui.comparisons.views import ChangeView
from ui.evaluations.exports import Export, export_evaluation
from ui.evaluations.views import metrics_view
from ui.gateway.clients import Clients
from ui.loops.actions import read_loop
from ui.loops.views import loop_progress_view
from ui.shared.documents import Document, document
from ui.shared.jobs import job_view
from ui.training_jobs.views import training_job_view


@dataclass(frozen=True)
class _Side:
    run: TestRun
    evaluation: Evaluation


async def gather_report(clients: Clients, loop_id: str) -> Document:
    """Return the report of a loop: its first test against the test of its best version.

    Raises:
        NotFound: There is no such loop.
        FailedPrecondition: Its first test is not evaluated yet.
    """
    loop = await read_loop(clients, loop_id)
    first, best = _rounds_to_compare(loop)
    before = await _side(clients, first)
    after = await _side(clients, best) if best.round != first.round else before
    change = None
    if after is not before:
        change = await compare_evaluations(clients, first.evaluation_id, best.evaluation_id)
    training = await _training(clients, loop, best)
    return _report(loop, before, after, change, training)


async def report_page(clients: Clients, loop_id: str) -> Export:
    """Begin to read the report of a loop as one page: its best version's test, set against the first.

    Raises:
        NotFound: There is no such loop.
        FailedPrecondition: Its first test is not evaluated yet.
    """
    loop = await read_loop(clients, loop_id)
    first, best = _rounds_to_compare(loop)
    earlier = first.evaluation_id if best.round != first.round else ""
    facts = loop_facts(loop)
    facts |= {name: ", ".join(facts[name]) for name in ("goals", "guardrails")}
    facts |= {"stop_reason": facts["stop_reason"].replace("_", " ")}
    decisions, trials = facts.pop("decisions"), facts.pop("trials")
    printed = [
        ExportFact(group="Loop", name=name.replace("_", " "), value=str(value))
        for name, value in facts.items()
        if value != ""
    ]
    printed += [
        ExportFact(group=f"Decision {each['number']}, round {each['round']}", name=name, value=value)
        for each in decisions
        for name, value in decision_texts(each).items()
    ]
    printed += [
        ExportFact(group=f"Search, round {each['round']}", name=each["label"], value=each["sentence"])
        for each in trials
    ]
    return await export_evaluation(clients, best.evaluation_id, "html", earlier, printed)


def _rounds_to_compare(loop: Loop) -> tuple[Round, Round]:
    evaluated = [loop_round for loop_round in loop.rounds if loop_round.evaluated]
    if not evaluated:
        raise FailedPrecondition(
            f"The loop {loop.loop_id!r} has not finished its first test.", "Wait for it, then ask for the report again."
        )
    best = next((item for item in evaluated if item.model_version_id == loop.best_model_version_id), evaluated[-1])
    # A loop whose best version is the first one still shows what its last round brought.
    return evaluated[0], best if best.round else evaluated[-1]


async def _side(clients: Clients, item: Round) -> _Side:
    run, evaluation = await asyncio.gather(
        clients.test_runner.GetTestRun(GetTestRunRequest(test_run_id=item.test_run_id)),
        clients.evaluator.GetEvaluation(GetEvaluationRequest(evaluation_id=item.evaluation_id)),
    )
    return _Side(run.test_run, evaluation.evaluation)


async def _training(clients: Clients, loop: Loop, best: Round) -> dict[str, str]:
    made_by = next((loop_round for loop_round in loop.rounds if loop_round.round == best.round - 1), None)
    if made_by is None or not made_by.training_job_id:
        return {}
    request = GetTrainingJobRequest(training_job_id=made_by.training_job_id)
    view = training_job_view((await clients.trainer.GetTrainingJob(request)).training_job)
    return {
        "training job": view.training_job_id,
        "dataset": view.dataset_version_id,
        "time": view.job.elapsed,
        **dict(view.settings),
    }


def _report(loop: Loop, before: _Side, after: _Side, change: ChangeView | None, training: dict[str, str]) -> Document:
    spec, provenance = before.run.spec, before.run.provenance
    suite, _, version = spec.test_suite_version_id.rpartition("@")
    versions = dict(sorted(after.run.provenance.library_versions.items()))
    return {
        "suite": suite,
        "suite_version": int(version or 0),
        "model": loop.spec.model_version_id,
        "seed": loop.spec.seed,
        "duration_seconds": round(job_view(loop.job).seconds, 1),
        "before": _result(before),
        "after": _result(after),
        "sentence": change.sentence if change else "The loop ended before anything was trained: there is one result.",
        "gained_case_ids": change.gained if change else (),
        "lost_case_ids": change.lost if change else (),
        "loop": loop_facts(loop),
        "run": {
            "prompt_size": spec.prompt_size or "compact",
            "profile": provenance.profile_id,
            "profile_digest": provenance.profile_digest,
            "suite_digest": provenance.test_suite_digest,
            "model_digest": provenance.model_digest,
            "number_format": provenance.dtype,
            "temperature": f"{spec.sampling.temperature:g}",
        },
        "training": training,
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cores": str(os.cpu_count() or 1),
            "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        },
        "versions": {"python": platform.python_version(), **versions},
        "create_time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _result(side: _Side) -> Document:
    metrics = metrics_view(side.evaluation.metrics)
    return {
        "model_version_id": side.run.spec.model_version_id,
        "test_run_id": side.run.test_run_id,
        "evaluation_id": side.evaluation.evaluation_id,
        **document(metrics.overall),
        "by_tool": {tool: document(rates) for tool, rates in metrics.by_tool.items()},
        "by_cause": metrics.by_cause,
    }


def loop_facts(loop: Loop) -> Document:
    """Return what a report says of the loop itself."""
    view = loop_progress_view(loop, {})
    return {
        "loop_id": view.loop_id,
        "goals": list(view.goals),
        "guardrails": list(view.guardrails),
        "goal_form": view.goal_form,
        "outcome": view.outcome.state,
        "stop_reason": view.stop_reason,
        "stop_sentence": view.stop_sentence,
        "status_sentence": view.status_sentence,
        "best_model_version_id": view.best_model_version_id,
        "next_step": view.next_step,
        "num_rounds": max(0, len(loop.rounds) - 1),
        "decisions": [
            {"round": item.number, **asdict(decision)} for item in view.rounds for decision in item.decisions
        ],
        "trials": [{"round": item.number, **asdict(trial)} for item in view.rounds for trial in item.trials],
    }


def decision_texts(decision: Document) -> dict[str, str]:
    """Return what was decided, and on what evidence."""
    texts = {
        f"{decision['title']} ({decision['state']})": decision["reason"],
        "trained": ", ".join(decision["settings"]),
        "evidence": ", ".join(f"{name} {value}" for name, value in decision["figures"]),
    }
    return {name: text for name, text in texts.items() if text}
