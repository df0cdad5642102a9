"""What the first page shows, made of what the other pages show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote

from ui.evaluations.views import EvaluationView, interval_ends
from ui.loops.schedules.views import ScheduleView
from ui.loops.views import LoopProgress
from ui.models.views import ImportView, ModelVersionView
from ui.shared.jobs import JobView
from ui.shipping.shipments.views import ShipmentView
from ui.test_runs.views import TestRunView
from ui.training_jobs.views import TrainingJobView

_GOOD_ENOUGH = 0.8


@dataclass(frozen=True)
class Readings:
    """What the services answered; a service that is away has left its lists empty."""

    models: Sequence[ModelVersionView] = ()
    imports: Sequence[ImportView] = ()
    test_runs: Sequence[TestRunView] = ()
    training_jobs: Sequence[TrainingJobView] = ()
    loops: Sequence[LoopProgress] = ()
    schedules: Sequence[ScheduleView] = ()
    shipments: Sequence[ShipmentView] = ()


class Entry(NamedTuple):
    """A job, with the address of its page; `note` says why it stands here."""

    noun: str
    title: str
    address: str
    note: str
    job: JobView | None = None


class Best(NamedTuple):
    """The version that conforms most on a suite, among the runs that were read."""

    suite: str
    subject: str
    rate: float
    interval: tuple[float, float]
    num_cases: int
    address: str


class NextStep(NamedTuple):
    """What a person does next, in a sentence, and where."""

    sentence: str
    label: str
    address: str


@dataclass(frozen=True)
class HomeView:
    """The first page; `problems` are the sentences of services that are away."""

    num_runs: int
    running: tuple[Entry, ...]
    waiting: tuple[Entry, ...]
    best: tuple[Best, ...]
    next_step: NextStep
    free_bytes: int
    problems: tuple[str, ...] = field(default=())


_NOTHING_JUDGED = "No test was judged to its end. Its page says why, and runs it again."
_LATER = NextStep(
    "A part of the system does not answer. Its log says why; then this page says what to do next.", "Look again", "./"
)


def home_view(read: Readings, *, free_bytes: int, problems: Sequence[str] = ()) -> HomeView:
    """Return the first page's view; `free_bytes` are those of the disk under the gateway's data folder."""
    best = best_by_suite(read.test_runs)
    return HomeView(
        num_runs=len(read.test_runs),
        running=tuple(
            entry for entry in _jobs(read) if entry.job and not entry.job.is_final and entry.job.state != "paused"
        ),
        waiting=tuple(_waiting(read)),
        best=best,
        next_step=next_step(read, best) if not problems else _LATER,
        free_bytes=free_bytes,
        problems=tuple(dict.fromkeys(problems)),
    )


def best_by_suite(runs: Iterable[TestRunView]) -> tuple[Best, ...]:
    """Return the best of each suite, in the order in which the suites were last run; an older run wins a tie."""
    best: dict[str, Best] = {}
    for run in runs:
        judged = _judged(run)
        if judged is None:
            continue
        rates = judged.metrics.overall
        one = Best(
            run.test_suite_version_id,
            run.subject,
            rates.conforming_rate,
            interval_ends(rates.conforming_interval),
            rates.num_cases,
            _address("test-runs", "run", run.test_run_id),
        )
        if one.suite not in best or one.rate >= best[one.suite].rate:
            best[one.suite] = one
    return tuple(best.values())


def next_step(read: Readings, best: Sequence[Best]) -> NextStep:
    """Return what a person does next, who has come as far as `read` shows."""
    if not read.models:
        return NextStep(
            "There is no model yet. Import one, such as a GGUF file or a name of a hub.", "Import", "./models"
        )
    if not read.test_runs:
        model = read.models[0].model_version_id
        sentence = f"{model} was never tested. A run shows what it can do, and why it fails."
        return NextStep(sentence, "Test it", _address("test-runs", "model", model))
    if not best:
        is_at_work = any(
            not run.job.is_final or (run.evaluation and not run.evaluation.job.is_final) for run in read.test_runs
        )
        sentence = "A test is at work. Its page shows the answers as they come." if is_at_work else _NOTHING_JUDGED
        return NextStep(sentence, "See it", "./test-runs")
    newest = best[0]
    if newest.rate >= _GOOD_ENOUGH:
        sentence = f"{newest.subject} conforms in {newest.rate:.0%} of {newest.suite}. Ship it in the form you serve."
        return NextStep(sentence, "Ship it", "./shipments")
    if not read.loops:
        sentence = (
            f"{newest.subject} conforms in {newest.rate:.0%} of {newest.suite}. Read why, then let a loop train it."
        )
        return NextStep(sentence, "Read why", newest.address)
    return NextStep("See what the last loop reached, and what it says to try next.", "See it", "./loops")


def _jobs(read: Readings) -> Iterator[Entry]:
    for loop in read.loops:
        address = _address("loops", "loop", loop.loop_id)
        yield Entry("loop", loop.model_version_id, address, loop.test_suite_version_id, loop.job)
    for job in read.training_jobs:
        address = _address("training-jobs", "job", job.training_job_id)
        yield Entry("training", job.model_version_id, address, job.dataset_version_id, job.job)
    for run in read.test_runs:
        address = _address("test-runs", "run", run.test_run_id)
        yield Entry("test", run.subject, address, run.test_suite_version_id, run.job)
    for shipment in read.shipments:
        address = _address("shipments", "shipment", shipment.shipment_id)
        yield Entry("shipment", shipment.model_version_id, address, shipment.form, shipment.job)
    for item in read.imports:
        yield Entry("import", item.model_id, "./models", item.source, item.job)


def _waiting(read: Readings) -> Iterator[Entry]:
    for loop in (loop for loop in read.loops if loop.waiting and not loop.job.is_final):
        address = _address("loops", "loop", loop.loop_id)
        yield Entry("loop", loop.model_version_id, address, "It asks what to do next.")
    for entry in (entry for entry in _jobs(read) if entry.job and entry.job.state == "paused"):
        yield entry._replace(note="It is paused; resume or cancel it.", job=None)
    for run in (run for run in read.test_runs if run.is_incomplete and run.job.is_final):
        address, note = _address("test-runs", "run", run.test_run_id), f"{run.num_missing} cases have no answer."
        yield Entry("test", run.subject, address, note)
    for schedule in read.schedules:
        if schedule.newest and schedule.newest.tone == "bad":
            address = _address("schedules", "schedule", schedule.schedule_id)
            yield Entry("schedule", schedule.model_version_id, address, f"Its last run: {schedule.newest.state}.")


def _judged(run: TestRunView) -> EvaluationView | None:
    return run.evaluation if run.evaluation and run.evaluation.job.state == "succeeded" else None


def _address(page: str, parameter: str, value: str) -> str:
    return f"./{page}?{parameter}={quote(value, safe='')}"
