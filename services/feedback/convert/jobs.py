"""What differs between the wire's words for jobs and schedules, and the domain's; all else has equal names."""

from __future__ import annotations

from typing import Any

from drillyard.feedback.v1 import dataset_build_pb2 as pb
from drillyard.feedback.v1 import (
    loop_answer_pb2,
    loop_goal_pb2,
    loop_pb2,
    schedule_pb2,
    scheduled_run_pb2,
    shipment_pb2,
)
from drillyard.registry.v1 import export_pb2
from google.protobuf.json_format import MessageToDict

from services.chassis.jobs.convert import job_to_proto
from services.chassis.wire import from_message, to_message
from services.feedback.decisions.decision import DecisionChange
from services.feedback.domain.dataset_build import DatasetBuild, DatasetBuildSpec
from services.feedback.domain.guardrails import guardrail_sentence
from services.feedback.domain.loop import Loop
from services.feedback.domain.rounds import Rates, Round
from services.feedback.domain.rules import readings_in
from services.feedback.domain.schedules.schedule import ScheduleSpec
from services.feedback.domain.schedules.scheduled_run import ScheduledRun
from services.feedback.domain.shipment import Shipment, ShipmentSpec
from services.feedback.domain.spec import LoopSpec
from services.feedback.usecases.schedules import ScheduleStanding

# A loop sets these itself, every round anew.
_OWN_TRAINING_FIELDS = ("model_version_id", "dataset_version_id", "seed")
_NO_RATES = Rates(0.0, 0.0, 0.0)


def spec_from_proto(spec: loop_pb2.LoopSpec) -> LoopSpec:
    """Return the spec with its defaults; of the training settings only those that were set."""
    training = MessageToDict(spec.training, preserving_proto_field_name=True)
    kept = {name: value for name, value in training.items() if name not in _OWN_TRAINING_FIELDS}
    return from_message(LoopSpec, spec, training=kept, goal_form=export_fields(spec.goal_form))


def loop_to_proto(loop: Loop) -> loop_pb2.Loop:
    """Return the loop; the ids in its spec are those of the versions that they named."""
    message = to_message(
        loop,
        loop_pb2.Loop,
        spec=to_message(loop.asked, loop_pb2.LoopSpec),
        rounds=[_round_to_proto(loop, item) for item in loop.rounds],
        stop_reason=loop_pb2.StopReason.Value(f"STOP_REASON_{loop.stop.reason if loop.stop else 'UNSPECIFIED'}"),
        stop_sentence=loop.stop.sentence if loop.stop else "",
        next_step=loop.stop.next_step if loop.stop else "",
    )
    message.spec.model_version_id = loop.inputs.model_version_id
    message.spec.test_suite_version_id = loop.inputs.suite.test_suite_version_id
    for guardrail, suite in zip(message.spec.guardrails, loop.inputs.guardrail_suites, strict=True):
        guardrail.test_suite_version_id = suite.test_suite_version_id
    return message


def change_from_proto(change: loop_answer_pb2.DecisionChange) -> DecisionChange:
    """Return what a person wants otherwise; of the training settings only those that were set."""
    training = MessageToDict(change.training, preserving_proto_field_name=True)
    return from_message(DecisionChange, change, training=training)


def export_fields(spec: export_pb2.ExportSpec) -> dict[str, Any]:
    """Return what was set of a form; which version it is of is filled in."""
    fields = MessageToDict(spec, preserving_proto_field_name=True)
    fields.pop("model_version_id", None)
    return fields


def _round_to_proto(loop: Loop, item: Round) -> loop_pb2.Round:
    rates = item.rates or _NO_RATES
    return to_message(
        item,
        loop_pb2.Round,
        round=item.number,
        evaluated=item.rates is not None,
        goal_readings=_goal_readings(loop, item),
        guardrail_readings=_guardrail_readings(loop, item),
        **vars(rates),
    )


def _goal_readings(loop: Loop, item: Round) -> list[loop_goal_pb2.GoalReading]:
    messages = []
    for goal, reading in zip(loop.asked.goals, readings_in(loop.asked.goals, item), strict=False):
        low, high = goal.interval(reading)
        message = loop_goal_pb2.GoalReading(
            metric=goal.metric,
            slice=goal.slice,
            value=reading.value,
            low=low,
            high=high,
            num_cases=reading.num_cases,
            is_met=goal.is_met(reading),
            sentence=goal.sentence(reading),
        )
        messages.append(message)
    return messages


def _guardrail_readings(loop: Loop, item: Round) -> list[loop_goal_pb2.GuardrailReading]:
    suites = loop.inputs.guardrail_suites
    return [
        to_message(
            reading,
            loop_goal_pb2.GuardrailReading,
            test_suite_version_id=suite.test_suite_version_id,
            metric=guardrail.metric,
            sentence=guardrail_sentence(guardrail, reading),
        )
        for guardrail, suite, reading in zip(loop.asked.guardrails, suites, item.guardrails, strict=False)
    ]


def shipment_spec_from_proto(spec: shipment_pb2.ShipmentSpec) -> ShipmentSpec:
    """Return the spec with its defaults; of the export only what was set."""
    endpoint = MessageToDict(spec.endpoint, preserving_proto_field_name=True) if spec.HasField("endpoint") else None
    return from_message(ShipmentSpec, spec, export=export_fields(spec.export), endpoint=endpoint)


def shipment_to_proto(shipment: Shipment) -> shipment_pb2.Shipment:
    """Return the shipment; the ids in its spec are those of the versions that they named."""
    message = to_message(
        shipment.state,
        shipment_pb2.Shipment,
        shipment_id=shipment.shipment_id,
        spec=to_message(shipment.asked, shipment_pb2.ShipmentSpec),
        job=job_to_proto(shipment.job),
    )
    message.spec.model_version_id = shipment.inputs.model_version_id
    message.spec.test_suite_version_id = shipment.inputs.suite.test_suite_version_id
    return message


def build_spec_from_proto(spec: pb.DatasetBuildSpec) -> DatasetBuildSpec:
    """Return the spec with its defaults."""
    return from_message(DatasetBuildSpec, spec)


def build_to_proto(build: DatasetBuild) -> pb.DatasetBuild:
    """Return the build."""
    return to_message(
        build.state,
        pb.DatasetBuild,
        dataset_build_id=build.dataset_build_id,
        spec=to_message(build.spec, pb.DatasetBuildSpec),
        job=job_to_proto(build.job),
    )


def schedule_spec_from_proto(spec: schedule_pb2.ScheduleSpec) -> ScheduleSpec:
    """Return the spec with its defaults."""
    # A loop that is left out has the defaults of this release; read from a document, it would be one of an earlier one.
    has_loop = spec.HasField("loop") or spec.on_broken_goal == schedule_pb2.BROKEN_GOAL_ACTION_START_LOOP
    loop = spec_from_proto(spec.loop) if has_loop else None
    return from_message(ScheduleSpec, spec, loop=loop)


def schedule_to_proto(standing: ScheduleStanding) -> schedule_pb2.Schedule:
    """Return a schedule with its newest due time."""
    return to_message(
        standing.schedule,
        schedule_pb2.Schedule,
        last_run=run_to_proto(standing.last_run) if standing.last_run else None,
        spent=to_message(standing.spent, schedule_pb2.ScheduleSpent),
    )


def run_to_proto(run: ScheduledRun) -> scheduled_run_pb2.ScheduledRun:
    """Return a due time."""
    return to_message(run, scheduled_run_pb2.ScheduledRun)
