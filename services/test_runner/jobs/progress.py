"""How far a run is, for those who watch it."""

import time
from dataclasses import dataclass

from services.chassis.jobs import JobContext, Json
from services.test_runner.domain.test_run import TestRunPhase
from services.test_runner.ports.generation import Activity

_UNIT = "transcripts"
# The first answers to end are the shortest, so an estimate from few of them is far too long or too short.
_LEAST_ANSWERS = 5


@dataclass
class _Count:
    """Transcripts or tokens: those that are sure, and those of the window or the turn in work."""

    committed: int = 0
    in_work: int = 0

    @property
    def total(self) -> int:
        return self.committed + self.in_work


class RunProgress:
    """Counts what one attempt of a run does, and reports it each time that one of its methods is called."""

    def __init__(self, context: JobContext, *, num_stored: int, num_total: int) -> None:
        self._context = context
        self._num_before = num_stored
        self._num_total = num_total
        self._phase = TestRunPhase.LOAD_MODEL
        self._answers = _Count()
        self._tokens = _Count()
        self._num_active = 0
        self._generating_since: float | None = None

    async def turn_started(self) -> None:
        """Keep the tokens of the turn before; the next counts its own from 0."""
        self._tokens = _Count(self._tokens.total)
        self._num_active = 0
        await self.report()

    async def restarted(self) -> None:
        """Forget what the last try of a window brought; its tokens took their time all the same."""
        self._answers.in_work = 0
        await self.report()

    async def active(self, activity: Activity) -> None:
        """Take over what the backend says of itself."""
        self._phase = activity.phase
        self._tokens.in_work, self._num_active = max(activity.num_tokens, self._tokens.in_work), activity.num_active
        if activity.phase is TestRunPhase.GENERATE and self._generating_since is None:
            self._generating_since = time.monotonic()
        await self.report()

    async def session_over(self) -> None:
        """Count one more transcript of the window in work."""
        self._answers.in_work += 1
        await self.report()

    async def window_stored(self, num_stored: int) -> None:
        """Count the transcripts that are stored by now; cases without an answer are among them."""
        self._answers = _Count(num_stored - self._num_before)
        self._num_active = 0
        await self.report()

    async def report(self) -> None:
        """Tell how far the run is."""
        done = self._num_before + self._answers.total
        facts = self._facts(done)
        await self._context.progress(
            phase=self._phase,
            done=done,
            total=self._num_total,
            unit=_UNIT,
            message=_message(self._phase, facts),
            facts=facts,
        )

    def _facts(self, done: int) -> Json:
        seconds = time.monotonic() - self._generating_since if self._generating_since is not None else 0.0
        facts: Json = {"num_active": self._num_active}
        if seconds > 0:
            facts["tokens_per_second"] = round(self._tokens.total / seconds, 1)
        if self._answers.total >= max(_LEAST_ANSWERS, self._num_total // 10):
            facts["eta_seconds"] = round((self._num_total - done) * seconds / self._answers.total, 1)
        return facts


def _message(phase: TestRunPhase, facts: Json) -> str:
    if phase is TestRunPhase.LOAD_MODEL:
        return "The model is being loaded."
    if not facts.get("tokens_per_second"):
        return "The prompts are being read."
    number = facts["num_active"]
    parts = [
        f"{facts['tokens_per_second']:.0f} tokens a second",
        f"{number} answer{'' if number == 1 else 's'} in work",
    ]
    if "eta_seconds" in facts:
        seconds = facts["eta_seconds"]
        parts.append(f"about {f'{seconds:.0f} s' if seconds < 90 else f'{seconds / 60:.0f} min'} left")
    return ", ".join(parts) + "."
