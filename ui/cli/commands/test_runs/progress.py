"""How far a test run, and the evaluation that follows it, have come."""

from __future__ import annotations

import time
from datetime import datetime

from ui.cli.connection import Document, Gateway
from ui.cli.follow import FINAL_STATES, Moment, job_moment
from ui.cli.results import verdict_text


def test_moment(gateway: Gateway, run_id: str, evaluation_id: str) -> Moment:
    """Return how far a run has come: cases, tokens per second, time that is left, and verdicts so far."""
    run = gateway.get(f"/test-runs/{run_id}")["test_run"]
    moment = job_moment(run["job"], " · ".join(speed_texts(run, time.time())))
    parts = [moment.text]
    is_final = moment.is_final
    if evaluation_id:
        evaluation = gateway.get(f"/evaluations/{evaluation_id}")["evaluation"]
        parts.append(verdict_text(evaluation))
        is_final = is_final and evaluation["job"]["state"] in FINAL_STATES
    return Moment(" · ".join(part for part in parts if part), moment.fraction, is_final)


def speed_texts(run: Document, now: float) -> list[str]:
    """Return tokens per second and the time that is left, as far as they can be told."""
    from ui.views.words import span_text

    job = run["job"]
    if not job.get("start_time"):
        return []
    end = _seconds(job["end_time"]) if job.get("end_time") else now
    seconds = end - _seconds(job["start_time"])
    tokens, done, total = int(run["num_generated_tokens"]), run["num_transcripts"], run["num_transcripts_total"]
    if seconds <= 0 or not done:
        return []
    speed = [f"{tokens / seconds:.0f} tokens/s"] if tokens else []
    is_going = job["state"] == "JOB_STATE_RUNNING" and done < total
    return speed + ([f"{span_text(seconds * (total - done) / done)} left"] if is_going else [])


def _seconds(when: str) -> float:
    return datetime.fromisoformat(when).timestamp()
