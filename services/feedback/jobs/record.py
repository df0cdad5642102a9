"""What a loop has done and tells about it: rounds in its checkpoint, steps in its history, progress for people."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from services.chassis.jobs import JobContext
from services.feedback.decisions.decision import DECISION_EVENT, Decision
from services.feedback.domain.loop import job_state, loop_of
from services.feedback.domain.rounds import ENDED, LAST_ROUND_STEPS, ROUND_STEPS, STEP_EVENT, Round, Step, Stop
from services.feedback.domain.rules import readings_in, spent_by
from services.feedback.domain.work import WorkProgress
from services.feedback.ports.stores import LoopStore
from services.feedback.telemetry import FeedbackTelemetry


class LoopRecord:
    """The durable record of one loop; only the process that holds the loop's epoch can write it.

    What is recorded is stored before the call returns. A step is told as started and as finished once each, whatever
    was killed between.
    """

    def __init__(
        self,
        context: JobContext,
        step_events: set[tuple[int, str, str]],
        measures: FeedbackTelemetry,
        *,
        clock: Callable[[], float],
    ) -> None:
        loop = loop_of(context.job)
        self.loop_id = loop.loop_id
        self.spec = loop.asked
        self.inputs = loop.inputs
        self.rounds = loop.rounds
        self._context = context
        self._step_events = step_events
        self._measures = measures
        self._began: dict[Step, float] = {}
        self._clock = clock
        self._start = clock() - float((context.job.saved or {}).get("seconds", 0.0))
        self._latest: tuple[Step, WorkProgress] | None = None
        self._wait = ""
        self._stopped: float | None = None
        self._asks_person = False
        num_rounds, num_more = self.spec.budget.max_rounds, bool(self.spec.goal_form) + bool(self.spec.guardrails)
        self._num_steps = 1 + len(LAST_ROUND_STEPS) + num_more + (len(ROUND_STEPS) + num_more) * num_rounds

    @property
    def seconds(self) -> float:
        """For how long the loop has worked, in this attempt and before; what a killed one did not store is missing."""
        return (self._clock() if self._stopped is None else self._stopped) - self._start

    @property
    def round(self) -> Round:
        """The round that is going on."""
        return self.rounds[-1]

    def request_id(self, name: str) -> str:
        """Return the id under which this round asks another service for `name`, the same after every restart."""
        return f"{self.loop_id}/{self.round.number}/{name}"

    async def begin(self, new_round: Round) -> None:
        """Record a new round."""
        await self._save((*self.rounds, new_round))

    async def update(self, **values: Any) -> None:
        """Record what the round that is going on has made, by the names of its fields."""
        await self._save((*self.rounds[:-1], replace(self.round, **values)))
        if "rates" in values:
            goals = self.spec.goals
            for goal, reading in zip(goals, readings_in(goals, self.round), strict=True):
                self._measures.goal_read(goal.metric, goal.is_met(reading))

    async def decided(self, *decisions: Decision) -> Decision:
        """Record decisions of this round, a new one with the next number, tell each once, and return the last."""
        known, number = {each.number: each for each in self.round.decisions}, self._num_decisions()
        for decision in decisions:
            number += not decision.number
            known[decision.number or number] = replace(
                decision, number=decision.number or number, round=self.round.number
            )
        if (recorded := tuple(known.values())) != self.round.decisions:
            await self.update(decisions=recorded)
        for each in recorded:
            await self._tell_decision(each)
        return recorded[-1] if decisions[-1].number == 0 else known[decisions[-1].number]

    async def started(self, step: Step, message: str, **ids: str) -> None:
        """Tell that a step of this round has begun."""
        self._began.setdefault(step, time.monotonic())
        await self._tell(step, "started", message, ids)

    async def finished(self, step: Step, message: str, **ids: str) -> None:
        """Tell that a step of this round has ended."""
        seconds = time.monotonic() - self._began.setdefault(step, time.monotonic())
        if await self._tell(step, "finished", message, ids):
            self._measures.step_ended(step, seconds)

    async def report(self, step: Step, progress: WorkProgress) -> None:
        """Tell how far a step has come; while a person is asked, the loop's time stands still."""
        if step is Step.ASK and self._stopped is None:
            self._stopped = self._clock()
        elif step is not Step.ASK and self._stopped is not None:
            self._start += self._clock() - self._stopped
            self._stopped = None
        self._latest, self._wait, self._asks_person = (step, progress), "", False
        # Of a round's work only the dataset is made in this process.
        self._context.waits = step is not Step.DATASET
        self._context.awaits_person = step is Step.ASK
        await self.beat()
        self._asks_person = step is Step.ASK

    async def waits(self, sentence: str, is_waiting: bool) -> None:
        """Tell what is waited for, until the next report, or that the wait is over."""
        self._wait = sentence
        if self._latest is None:
            await self._context.progress(message=sentence)
            self._context.tells_wait = is_waiting
        await self.beat()

    async def beat(self) -> None:
        """Tell again what was reported last; the seconds in the message show that the loop lives.

        A person may take days, each of which would make tens of thousands of events; he is told of once.
        """
        if self._latest is None or self._asks_person:
            return
        step, progress = self._latest
        seconds = time.monotonic() - self._began.setdefault(step, time.monotonic())
        parts = [
            f"Round {self.round.number}, {step.replace('_', ' ')}",
            self._wait or _progress_text(progress),
            f"{seconds:.0f} s",
        ]
        await self._context.progress(
            phase=str(step),
            done=self._num_finished(),
            total=max(self._num_steps, self._num_finished()),
            unit="steps",
            message=" · ".join(part for part in parts if part),
        )

    async def ended(self, stop: Stop) -> None:
        """Tell why the loop ends."""
        self._latest = None
        done = self._num_finished()
        await self._context.progress(phase=ENDED, done=done, total=done, unit="steps", message=stop.sentence)
        self._measures.loop_ended(stop.reason)

    async def _save(self, rounds: tuple[Round, ...]) -> None:
        await self._context.checkpoint(job_state(rounds, self.seconds))
        before, after = (spent_by(self.spec, made, self.seconds) for made in (self.rounds, rounds))
        self._measures.spent(before, after)
        self.rounds = rounds

    async def _tell(self, step: Step, state: str, message: str, ids: dict[str, str]) -> bool:
        key = (self.round.number, str(step), state)
        if key in self._step_events:
            return False
        payload = {"round": self.round.number, "step": str(step), "state": state, "message": message, "ids": ids}
        await self._context.event(STEP_EVENT, payload)
        self._step_events.add(key)
        return True

    async def _tell_decision(self, decision: Decision) -> None:
        key = (decision.round, str(decision.number), str(decision.state))
        if key not in self._step_events:
            await self._context.event(DECISION_EVENT, asdict(decision))
            self._step_events.add(key)

    def _num_decisions(self) -> int:
        return sum(len(made.decisions) for made in self.rounds)

    def _num_finished(self) -> int:
        return sum(1 for _round, _step, state in self._step_events if state == "finished")


async def open_record(
    context: JobContext, store: LoopStore, measures: FeedbackTelemetry, *, clock: Callable[[], float]
) -> LoopRecord:
    """Return the record as the last attempt left it; `clock` counts the seconds of the loop's work."""
    return LoopRecord(context, await store.told_steps(context.job.job_id), measures, clock=clock)


def _progress_text(progress: WorkProgress) -> str:
    if progress.num_total:
        count = f"{progress.num_done} of {progress.num_total} {progress.unit}".rstrip()
        return f"{count}, {progress.message}" if progress.message else count
    return progress.message or progress.phase.replace("_", " ")
