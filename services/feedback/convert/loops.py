"""What differs between the wire's words for loops and the domain's; all else has equal names."""

from __future__ import annotations

from typing import Any

from drillyard.feedback.v1 import loop_answer_pb2, loop_goal_pb2, loop_pb2
from drillyard.registry.v1 import export_pb2
from google.protobuf.json_format import MessageToDict

from services.chassis.wire import from_message, to_message
from services.feedback.decisions.decision import DecisionChange
from services.feedback.domain.guardrails import guardrail_sentence
from services.feedback.domain.loop import Loop
from services.feedback.domain.rounds import Rates, Round
from services.feedback.domain.rules import readings_in
from services.feedback.domain.spec import LoopSpec

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
