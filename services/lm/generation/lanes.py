"""Several batches at a time, each computed by its own thread.

Dividing the sequences takes one meeting of the threads per batch, dividing each product takes hundreds per pass. Which
sequence goes where depends on the prompts alone, never on time.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from threading import Event, Thread
from typing import Final

import torch

from services.lm.generation.batch import Batch, Step, Task

_MAX_LANES: Final = 4
# Fewer are better off in one lane: much of a pass is fetching the weights (measured on one core, 135M weights: 36 ms
# for a row, 46 for 32, 62 for 64, 88 for 128).
_TASKS_PER_LANE: Final = 16


@dataclass(frozen=True)
class LanePlan:
    """How many batches may run at a time, and the compute threads of each; the same for any number of sequences."""

    num_lanes: int
    num_threads: int

    @staticmethod
    def of(num_threads: int, device: torch.device) -> LanePlan:
        """For this many compute threads in all; a GPU divides its work itself."""
        lanes = min(_MAX_LANES, num_threads) if device.type == "cpu" else 1
        return LanePlan(lanes, num_threads // lanes)

    def lanes_for(self, num_tasks: int) -> int:
        """How many lanes so many tasks keep busy."""
        return max(1, min(self.num_lanes, num_tasks // _TASKS_PER_LANE))


@dataclass(frozen=True)
class LaneUpdate:
    """What a pass of one lane brought, and where that lane stands."""

    lane: int
    step: Step
    written: int
    active: int
    waiting: int


def divide(tasks: Sequence[Task], num_lanes: int, prefix_length: int) -> list[list[Task]]:
    """The tasks dealt to lanes of nearly equal work, longest first; those that share own segments go together."""
    families: dict[tuple[int, ...], list[Task]] = {}
    for place, task in enumerate(tasks):
        end = task.own_ends[0] if task.own_ends and not task.request.is_continued else 0
        name = tuple(task.request.prompt_ids[prefix_length:end]) if end else (-1, place)
        families.setdefault(name, []).append(task)
    lanes: list[list[Task]] = [[] for _ in range(min(num_lanes, len(families)))]
    work = [0] * len(lanes)
    for family in sorted(families.values(), key=lambda family: -_work(family, prefix_length)):
        least = work.index(min(work))
        lanes[least] += family
        work[least] += _work(family, prefix_length)
    return lanes


def run(lanes: Sequence[Callable[[], Batch]], num_threads: int) -> Generator[LaneUpdate]:
    """The updates of all lanes as they come, each lane's in order; closing the iterator ends the lanes.

    A lane's exception is raised here.
    """
    updates: queue.Queue[LaneUpdate | BaseException | None] = queue.Queue()
    is_over = Event()
    threads = [
        Thread(target=_work_lane, args=(lane, make, num_threads, updates.put, is_over), daemon=True)
        for lane, make in enumerate(lanes)
    ]
    before = torch.get_num_threads()
    try:
        for thread in threads:
            thread.start()
        working = len(threads)
        while working:
            update = updates.get()
            if isinstance(update, BaseException):
                raise update
            if update is None:
                working -= 1
            else:
                yield update
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
        torch.set_num_threads(before)


def _work_lane(
    lane: int,
    make: Callable[[], Batch],
    num_threads: int,
    put: Callable[[LaneUpdate | BaseException | None], None],
    is_over: Event,
) -> None:
    try:
        torch.set_num_threads(num_threads)
        batch = make()
        while batch.is_busy and not is_over.is_set():
            step = batch.step()
            put(LaneUpdate(lane, step, batch.written, batch.active, batch.num_waiting))
        put(None)
    # Whatever happens in this thread is raised in the one that waits for it.
    except BaseException as error:
        put(error)


def _work(family: Sequence[Task], prefix_length: int) -> int:
    """Tokens to read, and as many again as a short answer has."""
    answers = sum(min(task.request.max_new_tokens, 64) for task in family)
    return answers + sum(len(task.request.prompt_ids) - prefix_length for task in family)
