"""The process that looks at rows stays warm, ends when nobody asks, and breaks without breaking the service."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from services.chassis.errors import FailedPrecondition, Unavailable
from services.trainer.backends.preflight_process import PreflightProcess
from services.trainer.domain.preflight import PreflightRequest
from tests.machine import PATIENCE_SECONDS
from tests.unit.trainer.training_bench import dataset_rows, write_plan

# Answers each request with one line; a program in place of the one that takes seconds to import a tokenizer.
PROGRAM = "import sys\nfor line in sys.stdin:\n    print({}, flush=True)\n"


def request(tmp_path: Path) -> PreflightRequest:
    plan = write_plan(tmp_path, dataset_rows(3))
    return PreflightRequest(
        spec={},
        base_folder=plan.base_folder,
        base_digest="model",
        dataset_file=plan.dataset_file,
        dataset_digest="rows",
        suites=(),
        line=0,
        dtype="float32",
        seconds=60.0,
    )


def answering(expression: str) -> PreflightProcess:
    return PreflightProcess(command=(sys.executable, "-c", PROGRAM.format(expression)))


def test_a_real_process_answers_again_from_what_it_remembers_and_ends_when_idle(tmp_path: Path) -> None:
    async def scenario() -> None:
        process = PreflightProcess(idle_seconds=0.2)
        wanted = request(tmp_path)
        report = await process.look(wanted)
        assert (report.num_train_rows, report.refusals) == (3, ())
        started = process._process
        # By the digest it is the same dataset: no other row than the one that is shown is read again.
        write_plan(tmp_path, dataset_rows(1))
        assert (await process.look(wanted)).num_train_rows == 3
        assert started is not None
        assert process._process is started
        assert await asyncio.wait_for(started.wait(), PATIENCE_SECONDS) < 0
        await process.close()

    asyncio.run(scenario())


def test_a_model_that_cannot_be_used_is_the_persons_to_mend(tmp_path: Path) -> None:
    async def scenario() -> None:
        process = answering(repr('{"refusal": "It has no chat template."}'))
        with pytest.raises(FailedPrecondition, match="cannot begin: It has no chat template"):
            await process.look(request(tmp_path))
        await process.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("answer", ["'nonsense'", "'{}'", "'x' * (9 << 20)", "sys.exit(3)"])
def test_a_process_that_breaks_is_replaced(tmp_path: Path, answer: str) -> None:
    async def scenario() -> None:
        process = answering(answer)
        for _ in range(2):
            with pytest.raises(Unavailable, match="broke down"):
                await process.look(request(tmp_path))
            assert process._process is not None
            assert process._process.returncode is not None
        await process.close()

    asyncio.run(scenario())
