"""Writes checkpoints beside the steps: a step waits for a copy of the state, not for the disk."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from safetensors import SafetensorError

from services.trainer.domain.plan import AttemptPlan
from services.trainer.training.checkpoint import Snapshot, write
from services.trainer.training.reporter import Reporter, Silence


class CheckpointWriter:
    """Writes one checkpoint at a time in a thread of its own, and waits for the last one when the block ends.

    One that cannot be written is told, and the next one comes in its place; without a next one the block fails.
    """

    def __init__(self, plan: AttemptPlan, reporter: Reporter | Silence) -> None:
        self._plan = plan
        self._reporter = reporter
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        """Begin with nothing to write."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        """Wait for what is being written; when the block ended well, raise what kept it from being written."""
        self._pool.shutdown()
        if kind is None and self._writing is not None:
            self._writing.result()

    def save(self, take: Callable[[], Snapshot]) -> None:
        """Wait for the checkpoint before, take a copy of the state and return while it is written.

        Raises:
            ServiceAwayError: The trainer service took no report of the steps before.
        """
        self._end_last()
        snapshot = take()
        self._writing = self._pool.submit(self._write, snapshot)

    def _end_last(self) -> None:
        if self._writing is None:
            return
        try:
            self._writing.result()
        except (OSError, SafetensorError) as error:
            self._reporter.notice(f"A checkpoint could not be written, and the next one is tried: {error}")

    def _write(self, snapshot: Snapshot) -> None:
        # The curve up to a checkpoint is stored before it exists: an attempt that goes on from it leaves no gap.
        self._reporter.flush()
        self._reporter.checkpoint(write(self._plan, snapshot))
