"""How far a test run, and the evaluation that follows it, have come."""

from __future__ import annotations

from datetime import datetime

from ui.cli.connection import Document, Gateway
from ui.cli.follow import FINAL_STATES, Moment, job_moment
from ui.cli.results import verdict_text


def test_moment(gateway: Gateway, run_id: str, evaluation_id: str) -> Moment:
    """Return how far a run has come: cases, tokens per second, time that is left, and verdicts so far."""
    run = gateway.get(f"/test-runs/{run_id}")["test_run"]
    moment = job_moment(run["job"], speed_text(run))
    parts = [moment.text]
    is_final = moment.is_final
    if evaluation_id:
        evaluation = gateway.get(f"/evaluations/{evaluation_id}")["evaluation"]
        parts.append(verdict_text(evaluation))
        is_final = is_final and evaluation["job"]["state"] in FINAL_STATES
    return Moment(" · ".join(part for part in parts if part), moment.fraction, is_final)


def speed_text(run: Document) -> str:
    """Return the tokens per second of a run that is over; one that is going says more of itself as it comes along."""
    job, tokens = run["job"], int(run["num_generated_tokens"])
    if not (job.get("start_time") and job.get("end_time") and tokens):
        return ""
    seconds = _seconds(job["end_time"]) - _seconds(job["start_time"])
    return f"{tokens / seconds:.0f} tokens/s" if seconds > 0 else ""


def _seconds(when: str) -> float:
    return datetime.fromisoformat(when).timestamp()
