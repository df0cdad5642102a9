"""The verdict on one answer: layers in order, and the cause of the first that failed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from services.protocols.judging.faults import Fault

__all__ = [
    "CAUSES",
    "FORM_LAYERS",
    "NOT_THE_MODELS",
    "Cause",
    "Fault",
    "Layer",
    "LayerName",
    "LayerStatus",
    "Span",
    "Verdict",
    "fault_of_code",
    "fault_verdict",
    "passed",
    "verdict_of",
]

Span = tuple[int, int]


class LayerName(StrEnum):
    """The layers in the order in which they are judged."""

    CALL_PRESENT = "call_present"
    PARSES = "parses"
    ONE_AND_LAST = "one_and_last"
    KNOWN_TOOL = "known_tool"
    OFFERED = "offered"
    REQUIRED_PARAMETERS = "required_parameters"
    VALID_VALUES = "valid_values"
    RIGHT_TOOL = "right_tool"
    RIGHT_ARGUMENTS = "right_arguments"
    EFFECT = "effect"
    TASK_DONE = "task_done"
    NO_NEEDLESS_CALL = "no_needless_call"


class LayerStatus(StrEnum):
    """Outcome of one layer."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not_applicable"


class Cause(StrEnum):
    """Why an answer does not conform."""

    NO_CALL = "no_call"
    WRONG_FORMAT = "wrong_format"
    UNCLOSED = "unclosed"
    SEVERAL_CALLS = "several_calls"
    TEXT_AFTER = "text_after"
    UNKNOWN_TOOL = "unknown_tool"
    FORBIDDEN_TOOL = "forbidden_tool"
    MISSING_PARAMETER = "missing_parameter"
    BAD_VALUE = "bad_value"
    WRONG_TOOL = "wrong_tool"
    WRONG_ARGUMENTS = "wrong_arguments"
    EFFECT_FAILED = "effect_failed"
    WRONG_RESULT = "wrong_result"
    NEEDLESS_CALL = "needless_call"
    STOPPED = "stopped"
    TRUNCATED_BY_LIMIT = "truncated_by_limit"
    TEMPLATE_FAULT = "template_fault"
    BACKEND_FAULT = "backend_fault"


NOT_THE_MODELS = frozenset((Cause.TEMPLATE_FAULT, Cause.BACKEND_FAULT))
"""Causes that say nothing of the model: its server, or what renders its prompts, has to be mended."""

_TABLE: tuple[tuple[LayerName, Cause, str], ...] = (
    (LayerName.CALL_PRESENT, Cause.NO_CALL, "no_call no_tool empty_answer"),
    (LayerName.CALL_PRESENT, Cause.WRONG_FORMAT, "foreign_form bad_tag answer_too_long"),
    (LayerName.CALL_PRESENT, Cause.TEMPLATE_FAULT, "template_fault"),
    (LayerName.CALL_PRESENT, Cause.BACKEND_FAULT, "backend_fault"),
    (LayerName.PARSES, Cause.TRUNCATED_BY_LIMIT, "cut_off"),
    (LayerName.PARSES, Cause.UNCLOSED, "unclosed"),
    (LayerName.PARSES, Cause.WRONG_FORMAT, "stray_text repeated_parameter foreign_parameter"),
    (LayerName.PARSES, Cause.WRONG_FORMAT, "bad_json not_an_object invalid_arguments"),
    (LayerName.PARSES, Cause.BAD_VALUE, "value_cut"),
    (LayerName.ONE_AND_LAST, Cause.SEVERAL_CALLS, "several_calls second_tool after_new_task"),
    (LayerName.ONE_AND_LAST, Cause.TEXT_AFTER, "text_after"),
    (LayerName.ONE_AND_LAST, Cause.WRONG_FORMAT, "wrapped"),
    (LayerName.KNOWN_TOOL, Cause.UNKNOWN_TOOL, "unknown_tool bad_mcp_name"),
    (LayerName.OFFERED, Cause.FORBIDDEN_TOOL, "not_allowed_in_mode file_pattern experiment_off"),
    (LayerName.REQUIRED_PARAMETERS, Cause.MISSING_PARAMETER, "missing_param"),
    (LayerName.VALID_VALUES, Cause.BAD_VALUE, "bad_value args_xml follow_up_xml bad_range bad_offset bad_path_value"),
    (LayerName.VALID_VALUES, Cause.BAD_VALUE, "mcp_bad_json mcp_unknown_server mcp_unknown_tool"),
    (LayerName.VALID_VALUES, Cause.BAD_VALUE, "unknown_mode same_mode unknown_instruction bad_artifact_id"),
    (LayerName.VALID_VALUES, Cause.BAD_VALUE, "diff_form stray_marker marker_order line_marker_in_replace"),
    (LayerName.VALID_VALUES, Cause.BAD_VALUE, "unfinished_block no_block bad_patch"),
    (LayerName.RIGHT_TOOL, Cause.WRONG_TOOL, "wrong_tool"),
    (LayerName.RIGHT_ARGUMENTS, Cause.WRONG_ARGUMENTS, "wrong_arguments free_text"),
    (LayerName.EFFECT, Cause.EFFECT_FAILED, "file_not_found is_directory range_beyond_end ignored_file"),
    (LayerName.EFFECT, Cause.EFFECT_FAILED, "diff_failed no_match identical empty_search some_parts_failed"),
    (LayerName.EFFECT, Cause.EFFECT_FAILED, "several_matches count_mismatch file_exists write_protected"),
    (LayerName.EFFECT, Cause.EFFECT_FAILED, "tool_failed_before_completion open_todos call_failed"),
    (LayerName.EFFECT, Cause.WRONG_RESULT, "wrong_result"),
    (LayerName.TASK_DONE, Cause.STOPPED, "stopped mistake_limit repeated_call turn_budget"),
    (LayerName.NO_NEEDLESS_CALL, Cause.NEEDLESS_CALL, "needless_call"),
)
"""The one table: the layer on which a fault is found, unless the judge found it on an earlier one, and its cause."""

CAUSES = MappingProxyType({Fault(code): cause for _, cause, codes in _TABLE for code in codes.split()})
_LAYERS = MappingProxyType({Fault(code): layer for layer, _, codes in _TABLE for code in codes.split()})
_BY_CODE = MappingProxyType({fault.value: fault for fault in Fault})
_HARMLESS = frozenset(("denied_by_user", "after_denial"))


def fault_of_code(code: str) -> tuple[LayerName, Fault] | None:
    """Return the layer and the fault that a client's code stands for; None for one that blames nobody.

    A code may carry a name behind a colon, as in `missing_param:path`. One that the table lacks is a failed call.
    """
    name = code.partition(":")[0]
    if name in _HARMLESS:
        return None
    fault = _BY_CODE.get(name, Fault.CALL_FAILED)
    return _LAYERS[fault], fault


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's outcome.

    Attributes:
        fault: what is wrong, only when the layer failed.
        detail: one sentence on what is wrong, empty when nothing is.
        span: place in the answer in characters, where one can be named.
        measured: how much of what the layer asks is there, 0 to 1, where that is more than yes or no.
        turn: number of the answer, from 0, that the failure is in.
    """

    name: LayerName
    status: LayerStatus
    fault: Fault | None = None
    detail: str = ""
    span: Span | None = None
    measured: float | None = None
    turn: int = 0

    @property
    def score(self) -> float | None:
        """How much of what the layer asks is there, 0 to 1; None where it does not apply."""
        if self.status is LayerStatus.NOT_APPLICABLE:
            return None
        if self.measured is not None:
            return self.measured
        return 1.0 if self.status is LayerStatus.PASSED else 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one answer, or of all answers of one session.

    Attributes:
        conforming: every layer that applies passed.
        accepted: the client would run the call.
        well_formed: every layer up to valid values passed.
        cause: cause of the first layer that failed; None when the answer conforms.
        sentence: the same for a person.
        layers: all layers in order.
        tool: name of the first call's tool, if there is a call.
    """

    conforming: bool
    accepted: bool
    well_formed: bool
    cause: Cause | None
    sentence: str
    layers: tuple[Layer, ...]
    tool: str | None = None

    def to_document(self) -> dict[str, object]:
        """Return the verdict as a JSON document."""
        return {
            "conforming": self.conforming,
            "accepted": self.accepted,
            "well_formed": self.well_formed,
            "cause": self.cause.value if self.cause else None,
            "sentence": self.sentence,
            "tool": self.tool,
            "layers": [_layer_document(layer) for layer in self.layers],
        }


FORM_LAYERS = tuple(LayerName)[: tuple(LayerName).index(LayerName.VALID_VALUES) + 1]
"""The layers that ask for the form of a call only, whatever the task."""

_ABSENT = MappingProxyType({name: Layer(name, LayerStatus.NOT_APPLICABLE) for name in LayerName})
_PASSED = MappingProxyType({name: Layer(name, LayerStatus.PASSED) for name in LayerName})


def passed(name: LayerName) -> Layer:
    """Return the layer of that name that passed."""
    return _PASSED[name]


def verdict_of(layers: tuple[Layer, ...], *, accepted: bool, tool: str | None) -> Verdict:
    """Return the verdict that `layers` amount to: in order, one per name; those that lack do not apply."""
    if len(layers) < len(_ABSENT):
        given = {layer.name: layer for layer in layers}
        layers = tuple(given.get(name) or _ABSENT[name] for name in LayerName)
    failed = next((layer for layer in layers if layer.status is LayerStatus.FAILED), None)
    form = layers[: len(FORM_LAYERS)]
    is_answer = form[0].status is not LayerStatus.NOT_APPLICABLE or failed is None
    return Verdict(
        conforming=failed is None,
        accepted=accepted,
        well_formed=is_answer and all(layer.status is not LayerStatus.FAILED for layer in form),
        cause=CAUSES[failed.fault] if failed and failed.fault else None,
        sentence=failed.detail if failed else _praise(tool),
        layers=layers,
        tool=tool,
    )


def _praise(tool: str | None) -> str:
    return f"The call of {tool} is what the task asks for." if tool else "No call is due, and none is made."


def fault_verdict(fault: Fault, detail: str) -> Verdict:
    """Return the verdict on a turn that gave no answer to judge: stopped, or a fault of template or backend."""
    return verdict_of((Layer(LayerName.CALL_PRESENT, LayerStatus.FAILED, fault, detail),), accepted=False, tool=None)


def _layer_document(layer: Layer) -> dict[str, object]:
    return {
        "name": layer.name.value,
        "status": layer.status.value,
        "fault": layer.fault.value if layer.fault else None,
        "detail": layer.detail,
        "span": list(layer.span) if layer.span else None,
        "score": layer.score,
        "turn": layer.turn,
    }
