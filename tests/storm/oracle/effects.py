"""Judges what jobs made: transcripts, verdicts, curves, versions and their bytes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import ServiceError
from tests.storm.compute.checkpoint import CHAIN, chain_after
from tests.storm.databases import Databases, Row
from tests.storm.ledger import Entry
from tests.storm.oracle.judgement import Judgement

_VERSION_TABLES = ("model_versions", "dataset_versions", "test_suite_versions")
# What two runs of one spec have in common; times and ids differ.
_ANSWER = ("case_id", "repeat", "sequence", "messages", "token_ids", "finish_reason", "turns", "stop")
_TIMES = ("queue_seconds", "prefill_seconds", "decode_seconds")


def judge_runs(
    acknowledged: Mapping[str, Entry],
    references: Mapping[tuple[str, str], str],
    databases: Databases,
    judgement: Judgement,
) -> None:
    """Compare the transcripts of each run with its plan, and with those of the undisturbed run of its shape."""
    columns = ", ".join(("test_run_id", *_ANSWER))
    transcripts: dict[str, list[Row]] = {}
    for row in databases.read("test_runner", f"SELECT {columns} FROM transcripts ORDER BY test_run_id, sequence"):
        transcripts.setdefault(row.pop("test_run_id"), []).append(_without_times(row))
    inputs = {row["test_run_id"]: row["inputs"] for row in databases.read("test_runner", "SELECT * FROM test_runs")}
    for run in databases.read("test_runner", "SELECT job_id, state, spec FROM jobs"):
        run_id, rows = run["job_id"], transcripts.get(run["job_id"], [])
        num_planned = inputs[run_id]["num_cases"] * run["spec"].get("num_repeats", 1) if run_id in inputs else 0
        judgement.looked_at["transcripts"] += len(rows)
        for (case_id, repeat), count in Counter((row["case_id"], row["repeat"]) for row in rows).items():
            if count > 1:
                judgement.doubled.append(f"the run {run_id} answered {case_id} #{repeat} {count} times")
        if run["state"] == "SUCCEEDED" and len(rows) != num_planned:
            judgement.lost.append(f"the run {run_id} has {len(rows)} transcripts of {num_planned}")
        entry = acknowledged.get(run_id)
        if entry is None:
            continue
        judgement.wrong += _differences(run_id, rows, transcripts[references["test_run", entry.shape]])


def _differences(run_id: str, rows: list[Row], undisturbed: list[Row]) -> list[str]:
    # A run that was cancelled may have windows that replicas stored before their turn.
    whole = {row["sequence"]: row for row in undisturbed}
    places = [row["sequence"] for row in rows if row != whole.get(row["sequence"])]
    return [f"the run {run_id} differs from the undisturbed one in transcript {place}" for place in places[:1]]


def judge_evaluations(databases: Databases, judgement: Judgement) -> None:
    """Compare the verdicts of each evaluation with the transcripts of its run."""
    transcripts: dict[str, list[str]] = {}
    # What replicas stored before its turn is no answer yet; a run that was cancelled keeps it so.
    counted = """
        SELECT test_run_id, transcript_id FROM transcripts JOIN test_runs USING (test_run_id)
        WHERE sequence <= num_transcripts ORDER BY sequence
    """
    for row in databases.read("test_runner", counted):
        transcripts.setdefault(row["test_run_id"], []).append(row["transcript_id"])
    verdicts: dict[str, list[str]] = {}
    for row in databases.read("evaluator", "SELECT evaluation_id, transcript_id FROM verdicts ORDER BY sequence"):
        verdicts.setdefault(row["evaluation_id"], []).append(row["transcript_id"])
    ended = {row["job_id"] for row in databases.read("evaluator", "SELECT job_id FROM jobs WHERE state = 'SUCCEEDED'")}
    for row in databases.read("evaluator", "SELECT evaluation_id, test_run_id, metrics FROM evaluations"):
        evaluation_id, judged = row["evaluation_id"], verdicts.get(row["evaluation_id"], [])
        answers = transcripts.get(row["test_run_id"], [])
        judgement.looked_at["verdicts"] += len(judged)
        if len(set(judged)) != len(judged):
            judgement.doubled.append(f"the evaluation {evaluation_id} judged a transcript twice")
        if evaluation_id in ended and (judged != answers or not row["metrics"]):
            judgement.lost.append(
                f"the evaluation {evaluation_id} has {len(judged)} verdicts on {len(answers)} answers"
            )
        elif judged != answers[: len(judged)]:
            judgement.wrong.append(f"the evaluation {evaluation_id} judged other transcripts than its run has")


def judge_training(databases: Databases, judgement: Judgement, data_dir: Path) -> None:
    """Check that no step of a training is missing, neither in its curve nor in its result."""
    steps: dict[str, list[int]] = {}
    curve = "SELECT training_job_id, step FROM curve_points WHERE metric = 'loss' ORDER BY step"
    for row in databases.read("trainer", curve):
        steps.setdefault(row["training_job_id"], []).append(row["step"])
    outcomes: dict[str, list[str | None]] = {}
    for row in databases.read("trainer", "SELECT training_job_id, outcome FROM attempts ORDER BY attempt"):
        outcomes.setdefault(row["training_job_id"], []).append(row["outcome"])
    results: dict[str, list[str]] = {}
    for row in databases.read("registry", "SELECT produced_by, artifact_uri FROM model_versions"):
        results.setdefault(row["produced_by"].removeprefix("training_job:"), []).append(row["artifact_uri"])
    for job in databases.read("trainer", "SELECT job_id, state, spec, result FROM jobs WHERE kind = 'training_job'"):
        job_id = job["job_id"]
        judgement.looked_at["training steps"] += len(steps.get(job_id, ()))
        judgement.looked_at["training attempts"] += len(outcomes.get(job_id, ()))
        if len(results.get(job_id, ())) > 1 or outcomes.get(job_id, []).count("succeeded") > 1:
            judgement.doubled.append(f"the training {job_id} has two results: {outcomes[job_id]}")
        if job["state"] == "SUCCEEDED":
            _judge_result(job, steps.get(job_id, []), results.get(job_id, []), judgement, data_dir)


def _judge_result(job: Row, steps: list[int], results: list[str], judgement: Judgement, data_dir: Path) -> None:
    total, name = job["result"]["step"], f"the training {job['job_id']}"
    if steps != list(range(1, total + 1)):
        judgement.wrong.append(f"{name} has a curve of {len(steps)} of {total} steps")
    if not results:
        judgement.lost.append(f"{name} SUCCEEDED and has no version")
    elif _chain(results[0], data_dir) != chain_after(total, int(job["spec"]["seed"])):
        judgement.wrong.append(f"{name} has a result that leaves a step out or does one twice")


async def judge_versions(databases: Databases, judgement: Judgement, data_dir: Path) -> None:
    """Verify every byte of every version, and look for bytes that no version holds."""
    root = data_dir / "registry" / "artifacts"
    store, held = ArtifactStore(root.as_uri()), set()
    for table in _VERSION_TABLES:
        rows = databases.read("registry", f"SELECT version_id, request_id, artifact_uri, artifact_digest FROM {table}")
        requests = Counter(row["request_id"] for row in rows if row["request_id"])
        judgement.doubled += [
            f"the request {name} has {count} versions" for name, count in requests.items() if count > 1
        ]
        for row in rows:
            held.add(row["artifact_digest"].removeprefix("sha256:"))
            judgement.looked_at["versions"] += 1
            try:
                await store.verify(row["artifact_uri"], row["artifact_digest"])
            except ServiceError as error:
                judgement.wrong.append(f"the version {row['version_id']} has changed bytes: {error}")
    versions = {row["version_id"] for row in databases.read("registry", "SELECT version_id FROM model_versions")}
    for row in databases.read("registry", "SELECT job_id, kind, result FROM jobs WHERE state = 'SUCCEEDED'"):
        if row["kind"] in ("import", "export") and row["result"]["model_version_id"] not in versions:
            judgement.lost.append(f"the {row['kind']} {row['job_id']} SUCCEEDED, and its version is not there")
    kept = {path.name for kind in ("blobs", "trees") for path in root.glob(f"{kind}/*/*")}
    if databases.is_shared:
        # What a killed replica had claimed is removed after a day, as its unfinished writes are.
        claims = databases.read("registry", "SELECT artifact_digest FROM artifact_claims")
        claimed = (kept - held) & {row["artifact_digest"].removeprefix("sha256:") for row in claims}
        judgement.looked_at["unfinished writes, for gc"] += len(claimed)
        held |= claimed
    judgement.left += [f"the registry keeps {digest[:12]}…, which no version holds" for digest in kept - held]


def judge_loops(databases: Databases, judgement: Judgement) -> None:
    """Check that each step of a loop is told once, as started and as finished."""
    told: Counter[tuple[Any, ...]] = Counter()
    for row in databases.read("feedback", "SELECT job_id, payload FROM job_events WHERE type = 'step'"):
        payload = row["payload"]
        told[row["job_id"], payload["round"], payload["step"], payload["state"]] += 1
    judgement.looked_at["loop steps"] += len(told)
    judgement.doubled += [
        f"the loop {name[0]} told {name[1:]} {count} times" for name, count in told.items() if count > 1
    ]


def _without_times(row: Row) -> Row:
    turns = [{name: value for name, value in turn.items() if name not in _TIMES} for turn in row["turns"]]
    return {**row, "turns": turns}


def _chain(uri: str, data_dir: Path) -> str:
    store_root = (data_dir / "registry" / "artifacts").as_uri()
    folder = data_dir / "registry" / "artifacts" / uri.removeprefix(f"{store_root}/") / "files"
    return str(json.loads((folder / "adapter_config.json").read_text()).get(CHAIN))
