"""The backend that generates in worker processes, against a worker that breaks on demand."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from services.chassis.errors import InvalidArgument
from services.chassis.telemetry import Telemetry
from services.test_runner.backends.model_pool import WorkerLimits
from services.test_runner.backends.transformers_worker import TransformersWorkerBackend
from services.test_runner.backends.worker_process import WorkerTimeouts
from services.test_runner.domain.test_run import Artifact
from services.test_runner.domain.transcript import FinishReason, Message
from services.test_runner.ports.generation import Answer, BackendFaultError, GenerationEvent, Prepared, Prompt, Workload
from services.test_runner.telemetry import TestRunnerTelemetry
from tests.fakes import generation_worker
from tests.unit import run_specs as specs

COMMAND = (sys.executable, str(Path(generation_worker.__file__)))


class Bench:
    """A backend on the fake worker, and folders that stand for models."""

    def __init__(self, folder: Path, **limits: object) -> None:
        self.folder = folder
        self.backend = TransformersWorkerBackend(
            place=self._place,
            telemetry=TestRunnerTelemetry(Telemetry()),
            limits=WorkerLimits(**limits),  # type: ignore[arg-type]
            command=COMMAND,
        )

    async def _place(self, uri: str) -> Path:
        return self.folder / uri

    def workload(self, model: str, *, dtype: str = "", num_threads: int = 0) -> Workload:
        (self.folder / model).mkdir(exist_ok=True)
        prompts = tuple(Prompt(str(number), (Message("user", f"task {number}"),), seed=number) for number in range(4))
        return Workload(Artifact(model, ""), None, prompts, specs.sampling(), dtype=dtype, num_threads=num_threads)

    async def run(self, model: str, **choices: object) -> list[GenerationEvent]:
        return [event async for event in self.backend.generate(self.workload(model, **choices))]  # type: ignore[arg-type]

    def pids(self, model: str) -> list[int]:
        return [int(path.name.removeprefix("started-")) for path in (self.folder / model).glob("started-*")]

    def living(self, model: str) -> list[int]:
        return [pid for pid in self.pids(model) if psutil.pid_exists(pid)]


@contextlib.asynccontextmanager
async def bench(folder: Path, **limits: object) -> AsyncIterator[Bench]:
    made = Bench(folder, **limits)
    yield made
    await made.backend.close()


def answers(events: list[GenerationEvent]) -> list[Answer]:
    return [event for event in events if isinstance(event, Answer)]


async def gone(pid: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        await asyncio.to_thread(psutil.Process(pid).wait, 10)


async def test_every_prompt_is_answered_after_the_environment_is_told(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        events = await made.run("steady")
    found = answers(events)
    assert [item.key for item in found] == ["0", "1", "2", "3"]
    assert found[2].text == "task 2 with seed 2"
    assert found[2].finish_reason is FinishReason.STOP
    prepared = [event for event in events if isinstance(event, Prepared)]
    assert (prepared[0].environment.dtype, prepared[0].environment.num_threads) == ("bfloat16", 3)
    assert events.index(prepared[0]) < events.index(found[0])


async def test_an_adapter_is_loaded_on_its_base_by_a_worker_of_its_own(tmp_path: Path) -> None:
    async with bench(tmp_path, max_workers=2) as made:
        await made.run("steady")
        adapted = replace(made.workload("steady"), adapter=Artifact("adapter-7", ""))
        events = [event async for event in made.backend.generate(adapted)]
        assert len(made.pids("steady")) == 2
    prepared = next(event for event in events if isinstance(event, Prepared))
    assert prepared.environment.library_versions == {"adapter": "adapter-7"}
    assert prepared.environment.chat_template_digest == "sha256:template"


async def test_a_loaded_model_serves_the_next_workload(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.run("steady")
        await made.run("steady", dtype="bfloat16", num_threads=3)
        assert len(made.pids("steady")) == 1


async def test_another_number_format_loads_the_model_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.run("steady")
        events = await made.run("steady", dtype="float32")
        assert len(made.pids("steady")) == 2
    assert [event.environment.dtype for event in events if isinstance(event, Prepared)] == ["float32"]


async def test_a_run_goes_on_where_it_began_whatever_device_is_the_default(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.run("steady")
        found = []
        for device in ("cpu", "cuda"):
            asked = replace(made.workload("steady"), device=device)
            events = [event async for event in made.backend.generate(asked)]
            found += [event.environment.device for event in events if isinstance(event, Prepared)]
        assert len(made.pids("steady")) == 2
    assert found == ["cpu", "cuda"]


async def test_another_model_takes_the_place_of_an_idle_one(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.run("steady")
        await made.run("another")
        assert not made.living("steady")
        assert len(made.living("another")) == 1


async def test_two_models_stay_loaded_where_two_are_allowed(tmp_path: Path) -> None:
    async with bench(tmp_path, max_workers=2) as made:
        await asyncio.gather(made.run("one"), made.run("two"))
        assert len(made.living("one")) == len(made.living("two")) == 1


async def test_an_idle_worker_is_ended(tmp_path: Path) -> None:
    async with bench(tmp_path, idle_seconds=0.05) as made:
        await made.run("steady")
        await gone(made.pids("steady")[0])


async def test_closing_the_backend_ends_all_workers(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.run("steady")
    assert not made.living("steady")


async def test_a_killed_worker_is_a_fault_after_the_answers_it_gave(tmp_path: Path) -> None:
    seen: list[GenerationEvent] = []
    async with bench(tmp_path) as made:
        with pytest.raises(BackendFaultError, match="killed"):
            async for event in made.backend.generate(made.workload("dies-always")):
                seen.append(event)
        assert len(answers(seen)) == 2
        assert not made.living("dies-always")


async def test_the_next_workload_after_a_fault_gets_a_new_worker(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        with pytest.raises(BackendFaultError):
            await made.run("dies-once")
        assert len(answers(await made.run("dies-once"))) == 4


async def test_a_worker_that_ends_while_it_loads_is_a_fault(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        with pytest.raises(BackendFaultError, match="code 3"):
            await made.run("dies-loading")


async def test_a_model_that_is_refused_is_the_callers_error(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        with pytest.raises(InvalidArgument, match="does not fit"):
            await made.run("refuses")


async def test_a_silent_worker_is_ended(tmp_path: Path) -> None:
    async with bench(tmp_path, timeouts=WorkerTimeouts(load_seconds=30, stall_seconds=0.2)) as made:
        with pytest.raises(BackendFaultError, match="silent"):
            await made.run("silent")
        assert not made.living("silent")


async def test_a_worker_that_takes_too_much_memory_is_ended_before_the_container_is(tmp_path: Path) -> None:
    async with bench(tmp_path, memory_bytes=1 << 20) as made:
        with pytest.raises(BackendFaultError, match="more than 1 MiB of memory"):
            await made.run("silent")
        assert not made.living("silent")


async def test_a_worker_that_writes_something_else_is_a_fault(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        with pytest.raises(BackendFaultError, match="something else"):
            await made.run("babbles")


async def test_leaving_the_stream_early_ends_the_worker(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        async with contextlib.aclosing(made.backend.generate(made.workload("silent"))) as events:
            async for event in events:
                if isinstance(event, Answer):
                    break
        assert not made.living("silent")
