"""Made-up training jobs, and the loop that they belong to."""

from __future__ import annotations

import math
import random
import time
from typing import Any

from drillyard.feedback.v1 import loop_pb2
from drillyard.trainer.v1 import checkpoint_pb2, training_job_pb2

from tests.fakes.system.rows import (
    BASE,
    DONE_JOB,
    LIVE_JOB,
    LIVE_LOOP,
    LOOP,
    RUNNING,
    SUCCEEDED,
    SUITE,
    TUNED,
    World,
    artifact,
    job,
    stamp,
)

OUTCOMES = {True: training_job_pb2.ATTEMPT_OUTCOME_UNSPECIFIED, False: training_job_pb2.ATTEMPT_OUTCOME_SUCCEEDED}


def add_training(world: World, job_id: str, model: str, *, steps: int, of: int) -> None:
    chance, is_live = random.Random(job_id), steps < of
    spec = training_job_pb2.TrainingJobSpec(
        model_version_id=model,
        dataset_version_id=f"{LOOP}@1",
        method=training_job_pb2.TRAINING_METHOD_SFT,
        trained_weights=training_job_pb2.TRAINED_WEIGHTS_LORA,
        num_epochs=1,
        batch_size=16,
        learning_rate=1e-3,
        warmup_ratio=0.05,
        save_steps=10,
        save_total_limit=2,
        num_workers=1,
        seed=1,
        lora=training_job_pb2.LoraConfig(r=16, lora_alpha=32),
    )
    progress: dict[str, Any] = {"phase": "train", "done": steps, "total": of, "unit": "steps", "age": 160.0}
    world.training_jobs.insert(
        0,
        training_job_pb2.TrainingJob(
            training_job_id=job_id,
            spec=spec,
            model_version_id="" if is_live else TUNED,
            job=job(job_id, RUNNING if is_live else SUCCEEDED, **progress),
            attempts=[training_job_pb2.Attempt(attempt=1, epoch=1, outcome=OUTCOMES[is_live])],
        ),
    )
    found = world.points.setdefault(job_id, [])
    for step in range(1, steps + 1):
        values = {
            "loss": 1.9 * math.exp(-step / 4.5) + 0.09 + chance.random() * 0.05,
            "learning_rate": 1e-3 * (step / 2 if step < 2 else 0.5 * (1 + math.cos(math.pi * step / of))),
            "tokens_per_second": 820 + chance.random() * 60,
        }
        found += [
            checkpoint_pb2.CurvePoint(metric=name, step=step, value=value, attempt=1) for name, value in values.items()
        ]
        if step % 5 == 0:
            found.append(
                checkpoint_pb2.CurvePoint(
                    metric="adherence", step=step, value=0.85 * (1 - math.exp(-step / 6)), attempt=1
                )
            )
    world.checkpoints[job_id] = [
        checkpoint_pb2.Checkpoint(
            step=step,
            attempt=1,
            uri="file:///x",
            digest=artifact(f"c{step}", 1).digest,
            size_bytes=39_400_000,
            create_time=stamp(time.time() - 90),
        )
        for step in range(10, steps + 1, 10)
    ]


def add_loop(world: World) -> None:
    world.loops.append(
        loop_pb2.Loop(
            loop_id=LOOP,
            spec=loop_pb2.LoopSpec(
                model_version_id=BASE,
                test_suite_version_id=SUITE,
                prompt_size="compact",
                seed=1,
                num_examples=320,
                goals=[loop_pb2.Goal(metric="conforming_rate", minimum=0.8)],
                budget=loop_pb2.Budget(max_rounds=1),
            ),
            rounds=[
                loop_pb2.Round(
                    round=0,
                    model_version_id=BASE,
                    test_run_id="test_run-b01",
                    evaluation_id="evaluation-b01",
                    evaluated=True,
                    conforming_rate=world.evaluations[2].metrics.overall.conforming_rate,
                    probe_test_run_id="test_run-b01",
                    probe_evaluation_id="evaluation-b01",
                    dataset_version_id=f"{LOOP}@1",
                    training_job_id=DONE_JOB,
                ),
                loop_pb2.Round(
                    round=1,
                    model_version_id=TUNED,
                    test_run_id="test_run-b02",
                    evaluation_id="evaluation-b02",
                    evaluated=True,
                    conforming_rate=world.evaluations[1].metrics.overall.conforming_rate,
                ),
            ],
            best_model_version_id=TUNED,
            stop_reason=loop_pb2.STOP_REASON_OUT_OF_ROUNDS,
            stop_sentence="The last round is used up; the best version conforms in 78 % of the cases.",
            job=job(LOOP, took=548),
        )
    )


def add_live_loop(world: World) -> None:
    """A second loop, on the tuned version, that trains just now."""
    found: dict[str, Any] = {"test_run_id": "test_run-b02", "evaluation_id": "evaluation-b02"}
    probe: dict[str, Any] = {"probe_test_run_id": "test_run-b02", "probe_evaluation_id": "evaluation-b02"}
    spec = loop_pb2.LoopSpec(model_version_id=TUNED, test_suite_version_id=SUITE, budget=loop_pb2.Budget(max_rounds=1))
    spec.goals.add(metric="conforming_rate", minimum=0.9)
    started = loop_pb2.Round(
        round=0, model_version_id=TUNED, **found, **probe, dataset_version_id=f"{LOOP}@1", training_job_id=LIVE_JOB
    )
    started.evaluated = True
    world.loops.insert(
        0,
        loop_pb2.Loop(
            loop_id=LIVE_LOOP, spec=spec, rounds=[started], best_model_version_id=TUNED, job=job(LIVE_LOOP, RUNNING)
        ),
    )
