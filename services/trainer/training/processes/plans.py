"""Where a training process has its plans from."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from services.trainer.domain.attempt import AttemptOutcome
from services.trainer.domain.plan import AttemptPlan


class PlanSocket:
    """The plans that the trainer service hands to this process, one after another, until it closes the connection.

    `is_stopped` is whether the plan that is being done shall be saved and ended.
    """

    def __init__(self, path: Path) -> None:
        self.is_stopped = False
        self._plans: queue.SimpleQueue[AttemptPlan | ValueError | None] = queue.SimpleQueue()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        threading.Thread(target=self._receive, name="plans", daemon=True).start()

    def __iter__(self) -> Iterator[AttemptPlan]:
        """Wait for the next plan; end when there will be none.

        Raises:
            ValueError: It cannot be read.
        """
        while (plan := self._plans.get()) is not None:
            if isinstance(plan, ValueError):
                raise plan
            yield plan

    def done(self, outcome: AttemptOutcome) -> None:
        """Say how this process's part of the plan ended."""
        self._socket.sendall(f"{outcome.value}\n".encode())

    def stop(self) -> None:
        """Let the plan that is being done be the last, saved after its step."""
        self.is_stopped = True
        self._plans.put(None)

    def _receive(self) -> None:
        with self._socket.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                try:
                    self._plans.put(AttemptPlan.from_json(line))
                except ValueError as error:
                    # The process ends by it, and does not wait for what will not come.
                    self._plans.put(error)
        self._plans.put(None)
