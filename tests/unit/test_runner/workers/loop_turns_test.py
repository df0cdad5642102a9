"""The event loop goes on while much is done: it is never away for long, however large a window is."""

from __future__ import annotations

from pathlib import Path

from services.test_runner.domain.test_run import Artifact
from services.test_runner.domain.transcript import Message
from services.test_runner.ports.generation import Answer, Prompt, Workload
from tests.unit import run_specs as specs
from tests.unit.loop_turns import LONGEST_TURN_SECONDS, longest_turn
from tests.unit.test_runner.workers.workers_test import bench

LONG = "A line with a “quote”.\n" * 20_000


def test_a_window_of_long_prompts_is_written_to_its_worker(tmp_path: Path) -> None:
    async def work() -> None:
        async with bench(tmp_path) as made:
            await made.run("steady")
            prompts = tuple(Prompt(str(number), (Message("user", LONG),), seed=1) for number in range(64))
            workload = Workload(Artifact("steady", ""), None, prompts, specs.sampling())
            events = [event async for event in made.backend.generate(workload)]
            assert sum(isinstance(event, Answer) for event in events) == 64

    assert longest_turn(work()) < LONGEST_TURN_SECONDS
