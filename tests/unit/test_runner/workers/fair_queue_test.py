"""The queue for models: in turn, bounded, and nothing is lost when a caller goes away."""

from __future__ import annotations

import asyncio

import pytest

from services.chassis.errors import Busy
from services.test_runner.backends.fair_queue import FairQueue, QueueLimits
from tests.machine import PATIENCE_SECONDS


class Line:
    """Callers of one queue with one place, who note their turn."""

    def __init__(self, **limits: float) -> None:
        self.queue = FairQueue(1, QueueLimits(**limits))  # type: ignore[arg-type]
        self.turns: list[str] = []
        self.free = asyncio.Event()

    async def ask(self, caller: str, num_bytes: int = 0, *, is_bounded: bool = True) -> None:
        async with self.queue.place(caller, num_bytes, is_bounded=is_bounded):
            self.turns.append(caller)
            await self.free.wait()

    async def start(self, *callers: str, **options: object) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.ask(caller, **options)) for caller in callers]  # type: ignore[arg-type]
        await asyncio.sleep(0)
        return tasks


async def test_callers_are_served_in_turn_however_many_calls_one_has() -> None:
    line = Line()
    tasks = await line.start("run", "a", "a", "a", "b", "run", "b", "run")
    line.free.set()
    await asyncio.gather(*tasks)
    assert line.turns == ["run", "a", "b", "run", "a", "b", "run", "a"]


@pytest.mark.parametrize(
    ("limits", "caller", "num_bytes"),
    [({"num_calls": 2}, "c", 0), ({"num_calls_of_caller": 1}, "a", 0), ({"num_bytes": 100}, "c", 90)],
)
async def test_what_waits_is_bounded(limits: dict[str, float], caller: str, num_bytes: int) -> None:
    line = Line(**limits)
    tasks = await line.start("run", "a", "b", num_bytes=20)
    with pytest.raises(Busy, match="waiting") as refusal:
        await line.ask(caller, num_bytes)
    assert int(refusal.value.fields["retry_after_seconds"]) > 0
    tasks += await line.start("other run", is_bounded=False)
    line.free.set()
    await asyncio.gather(*tasks)
    assert line.turns == ["run", "a", "b", "other run"]
    await asyncio.wait_for(line.ask(caller, num_bytes), PATIENCE_SECONDS)


async def test_a_wait_ends_in_time_and_its_place_goes_to_the_next() -> None:
    line = Line(seconds=0.05)
    first = await line.start("run")
    with pytest.raises(Busy, match="busy for"):
        await line.ask("a")
    line.free.set()
    await asyncio.gather(*first, line.ask("b"))
    assert line.turns == ["run", "b"]


async def test_a_caller_that_goes_away_as_its_turn_comes_passes_it_on() -> None:
    line = Line()
    first, second, third = await line.start("run", "a", "b")
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second.cancel()
    line.free.set()
    await asyncio.gather(second, return_exceptions=True)
    await asyncio.wait_for(third, PATIENCE_SECONDS)
    assert line.turns[-1] == "b"


async def test_a_place_is_not_lost_on_callers_that_go_away_in_the_moment_in_which_it_comes_free() -> None:
    line = Line()
    first, *gone, third = await line.start("run", "a", "b", "a")
    for task in (first, *gone):
        task.cancel()
    await asyncio.gather(first, *gone, return_exceptions=True)
    line.free.set()
    await asyncio.wait_for(asyncio.gather(third, line.ask("c")), PATIENCE_SECONDS)
    assert line.turns == ["run", "a", "c"]
