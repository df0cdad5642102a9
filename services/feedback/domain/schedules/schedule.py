"""A schedule: what is watched, when, what follows when a goal is missed, and what it may spend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar

from services.chassis.errors import InvalidArgument
from services.chassis.machine.caller import DEFAULT_WORKSPACE
from services.chassis.wire import from_document
from services.feedback.domain.goals import Goal
from services.feedback.domain.schedules.scheduled_run import PeriodRuns, ScheduledRun, ScheduledRunOutcome
from services.feedback.domain.schedules.timing import Timing
from services.feedback.domain.spec import LoopSpec
from services.feedback.domain.spending import Spent


class BrokenGoalAction(StrEnum):
    """What a schedule does when a goal is missed."""

    ALERT = "ALERT"
    START_LOOP = "START_LOOP"


class ScheduleState(StrEnum):
    """Whether due times are kept."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"


@dataclass(frozen=True)
class ScheduleBudget:
    """What a schedule may spend in each period; a bound of 0 is none."""

    period_days: int
    max_runs: int
    max_loops: int
    max_minutes: float
    max_cost: float
    price_per_hour: float


@dataclass(frozen=True)
class ScheduleSpent:
    """What a schedule has spent in the period that ends now."""

    num_runs: int
    num_loops: int
    minutes: float
    cost: float


@dataclass(frozen=True)
class ScheduleSpec:
    """What a schedule does; it never changes.

    Attributes:
        model_version_id: What is watched: an alias, a version, or a model for its newest.
        loop: What is started when a goal is missed; what it leaves out is that of the schedule.
    """

    MESSAGE: ClassVar = "drillyard.feedback.v1.schedule_pb2.ScheduleSpec"

    model_version_id: str
    test_suite_version_id: str
    prompt_size: str
    goals: tuple[Goal, ...]
    every_hours: int
    daily_time: str
    time_zone: str
    on_broken_goal: BrokenGoalAction
    loop: LoopSpec | None
    budget: ScheduleBudget
    max_new_tokens: int

    @property
    def timing(self) -> Timing:
        """When it is due."""
        return Timing(self.every_hours, self.daily_time, self.time_zone)

    def check(self) -> None:
        """Raise InvalidArgument, which names the field, unless it is known when it is due and what it does then."""
        self.timing.check()
        if any(goal.metric == "pass_hat_k" for goal in self.goals):
            raise InvalidArgument(
                "A schedule asks each case once, and pass^k is of several answers.",
                "Set a goal on another metric.",
                field="spec.goals",
            )
        if self.loop is not None and self.on_broken_goal is BrokenGoalAction.ALERT:
            raise InvalidArgument(
                "The schedule has a loop, but only tells that a goal is missed.",
                "Set on_broken_goal to BROKEN_GOAL_ACTION_START_LOOP, or leave the loop out.",
                field="spec.on_broken_goal",
            )
        if self.budget.max_cost and not self.budget.price_per_hour:
            raise InvalidArgument(
                "The budget bounds the money, but nothing says what an hour costs.",
                "Set budget.price_per_hour too.",
                field="spec.budget.max_cost",
            )

    def loop_for(self, model_version_id: str) -> LoopSpec:
        """Return the loop that a missed goal of a version starts."""
        loop = self.loop or from_document(LoopSpec, {})
        return replace(
            loop,
            model_version_id=loop.model_version_id or model_version_id,
            test_suite_version_id=loop.test_suite_version_id or self.test_suite_version_id,
            prompt_size=loop.prompt_size or self.prompt_size,
            goals=loop.goals or self.goals,
        )


@dataclass(frozen=True)
class Schedule:
    """A schedule, and how far it has come.

    Attributes:
        next_due_time: None while it is paused.
        workspace_id: To which belongs what it starts.
    """

    schedule_id: str
    spec: ScheduleSpec
    state: ScheduleState
    next_due_time: datetime | None
    create_time: datetime
    workspace_id: str = DEFAULT_WORKSPACE

    @property
    def sentence(self) -> str:
        """When it is due and what it does then."""
        spec = self.spec
        follows = "starts a loop" if spec.on_broken_goal is BrokenGoalAction.START_LOOP else "tells it"
        goals = ", ".join(f"{goal.words} {goal.text(goal.bound)}" for goal in spec.goals)
        return (
            f"Tests {spec.model_version_id} on {spec.test_suite_version_id} {spec.timing.words} "
            f"and {follows} when it misses {goals}."
        )

    def next_due(self, after: datetime) -> datetime:
        """Return the first due time later than a moment."""
        return self.spec.timing.next_due(self.create_time, after)

    def period_start(self, now: datetime) -> datetime:
        """Return when the period of its budget began that ends now."""
        return now - timedelta(days=self.spec.budget.period_days)

    def spent(self, runs: PeriodRuns, loops: Mapping[str, Spent]) -> ScheduleSpent:
        """Return what the runs of a period have cost, with the loops that they started, by id."""
        own = [loops[loop_id] for loop_id in runs.loop_ids if loop_id in loops]
        machine_seconds = runs.machine_seconds + sum(spent.machine_seconds for spent in own)
        return ScheduleSpent(
            num_runs=runs.num_begun,
            num_loops=len(runs.loop_ids),
            minutes=(runs.machine_seconds + sum(spent.seconds for spent in own)) / 60,
            cost=machine_seconds / 3600 * self.spec.budget.price_per_hour,
        )

    def decided(self, run: ScheduledRun, runs: PeriodRuns, loops: Mapping[str, Spent]) -> ScheduledRun:
        """Return a due time as it begins, or ended where it cannot begin.

        Args:
            run: The due time.
            runs: The others of the period.
            loops: What their loops cost, by id.
        """
        if runs.going_on_id:
            sentence = f"The run {runs.going_on_id} went on; one goes on at a time."
            return run.ended(ScheduledRunOutcome.OVERRUN, sentence)
        if bound := used_up(self.spec.budget, self.spent(runs, loops)):
            return run.ended(ScheduledRunOutcome.OUT_OF_BUDGET, f"Nothing was run: {bound}.")
        return run

    def bounded_loop(self, model_version_id: str, spent: ScheduleSpent) -> LoopSpec:
        """Return the loop that a missed goal starts, with no more of a budget than what is left of the schedule's."""
        spec, own = self.spec.loop_for(model_version_id), self.spec.budget
        budget = spec.budget
        price_per_hour = budget.price_per_hour or own.price_per_hour
        minutes = _left(budget.max_minutes, own.max_minutes, spent.minutes)
        cost = _left(budget.max_cost, own.max_cost, spent.cost)
        return replace(spec, budget=replace(budget, max_minutes=minutes, max_cost=cost, price_per_hour=price_per_hour))


def used_up(budget: ScheduleBudget, spent: ScheduleSpent) -> str:
    """Return which bound on runs, minutes or money is reached, as a clause; empty for none."""
    period = f"of {budget.period_days} days are used up"
    if 0 < budget.max_runs <= spent.num_runs:
        return f"all {budget.max_runs} runs {period}"
    if 0 < budget.max_minutes <= spent.minutes:
        return f"the {budget.max_minutes:g} minutes {period}"
    if 0 < budget.max_cost <= spent.cost:
        return f"the {budget.max_cost:g} of money {period}"
    return ""


def loops_used_up(budget: ScheduleBudget, spent: ScheduleSpent) -> str:
    """Return which bound keeps a loop from being started, as a clause; empty for none."""
    if 0 < budget.max_loops <= spent.num_loops:
        return f"all {budget.max_loops} loops of {budget.period_days} days are used up"
    return used_up(replace(budget, max_runs=0), spent)


def _left(own: float, bound: float, spent: float) -> float:
    """Return the smaller of a loop's own bound and what is left of the schedule's; 0 is no bound."""
    bounds = [value for value in (own, bound and bound - spent) if value > 0]
    return min(bounds, default=0.0)
