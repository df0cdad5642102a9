"""What the trainer shows of the attempts that go on."""

from __future__ import annotations

import re

from services.chassis.telemetry import Telemetry
from services.trainer.domain.attempt import AttemptReport, CurvePoint, TrainingJobPhase
from services.trainer.live_attempts import LiveAttempts
from services.trainer.telemetry import TrainerTelemetry


async def shown(telemetry: Telemetry) -> dict[str, float]:
    text = (await telemetry.render()).decode()
    lines = re.findall(r"^drillyard_trainer_attempt_(\S+) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in lines}


def report(job_id: str, speed: float, gpu_memory_bytes: int = 0) -> AttemptReport:
    return AttemptReport(
        training_job_id=job_id,
        attempt=1,
        epoch=1,
        phase=TrainingJobPhase.TRAIN,
        curve_points=(CurvePoint("tokens_per_second", 3, speed, 1),),
        host_memory_bytes=1 << 30,
        gpu_memory_bytes=gpu_memory_bytes,
    )


async def test_an_attempt_is_shown_from_its_first_step_to_its_end_under_a_slot_that_others_take_over() -> None:
    telemetry, live = Telemetry(), LiveAttempts()
    trainer = TrainerTelemetry(telemetry)
    telemetry.on_scrape(lambda: trainer.show(live))
    live.begin("train-a", 1, start_step=0)
    live.begin("train-b", 1, start_step=0)
    assert await shown(telemetry) == {}

    live.observe(report("train-b", 250.0, gpu_memory_bytes=5))
    series = await shown(telemetry)
    assert 0 <= series.pop('checkpoint_age_seconds{slot="1"}') < 60
    assert series == {
        'tokens_per_second{slot="1"}': 250.0,
        'memory_bytes{device="cpu",slot="1"}': float(1 << 30),
        'memory_bytes{device="gpu",slot="1"}': 5.0,
    }

    live.end("train-a")
    live.begin("train-c", 1, start_step=0)
    live.observe(report("train-c", 9.0))
    live.end("train-b")
    assert {name: value for name, value in (await shown(telemetry)).items() if name.startswith("tokens")} == {
        'tokens_per_second{slot="0"}': 9.0
    }
