"""The verdict on one answer: layers in order, and the cause of the first that failed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

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


class Fault(StrEnum):
    """What can be wrong with an answer, in the client's and the prompt's terms."""

    NO_CALL = "no_call"
    EMPTY_ANSWER = "empty_answer"
    FOREIGN_FORM = "foreign_form"
    BAD_TAG = "bad_tag"
    UNKNOWN_NAME = "unknown_name"
    CUT_OFF = "cut_off"
    UNCLOSED = "unclosed"
    ANSWER_TOO_LONG = "answer_too_long"
    VALUE_CUT = "value_cut"
    STRAY_TEXT = "stray_text"
    REPEATED_PARAMETER = "repeated_parameter"
    FOREIGN_PARAMETER = "foreign_parameter"
    WRAPPED = "wrapped"
    SEVERAL_CALLS = "several_calls"
    TEXT_AFTER = "text_after"
    NOT_ALLOWED_IN_MODE = "not_allowed_in_mode"
    FILE_PATTERN = "file_pattern"
    MISSING_PARAM = "missing_param"
    BAD_VALUE = "bad_value"
    WRONG_TOOL = "wrong_tool"
    WRONG_ARGUMENTS = "wrong_arguments"
    FREE_TEXT = "free_text"
    FILE_NOT_FOUND = "file_not_found"
    DIFF_FORM = "diff_form"
    DIFF_FAILED = "diff_failed"
    WRONG_RESULT = "wrong_result"
    NEEDLESS_CALL = "needless_call"
    STOPPED = "stopped"
    TEMPLATE_FAULT = "template_fault"
    BACKEND_FAULT = "backend_fault"


CAUSES = MappingProxyType(
    {
        Fault.NO_CALL: Cause.NO_CALL,
        Fault.EMPTY_ANSWER: Cause.NO_CALL,
        Fault.FOREIGN_FORM: Cause.WRONG_FORMAT,
        Fault.BAD_TAG: Cause.WRONG_FORMAT,
        Fault.UNKNOWN_NAME: Cause.UNKNOWN_TOOL,
        Fault.CUT_OFF: Cause.TRUNCATED_BY_LIMIT,
        Fault.UNCLOSED: Cause.UNCLOSED,
        Fault.ANSWER_TOO_LONG: Cause.WRONG_FORMAT,
        Fault.VALUE_CUT: Cause.BAD_VALUE,
        Fault.STRAY_TEXT: Cause.WRONG_FORMAT,
        Fault.REPEATED_PARAMETER: Cause.WRONG_FORMAT,
        Fault.FOREIGN_PARAMETER: Cause.WRONG_FORMAT,
        Fault.WRAPPED: Cause.WRONG_FORMAT,
        Fault.SEVERAL_CALLS: Cause.SEVERAL_CALLS,
        Fault.TEXT_AFTER: Cause.TEXT_AFTER,
        Fault.NOT_ALLOWED_IN_MODE: Cause.FORBIDDEN_TOOL,
        Fault.FILE_PATTERN: Cause.FORBIDDEN_TOOL,
        Fault.MISSING_PARAM: Cause.MISSING_PARAMETER,
        Fault.BAD_VALUE: Cause.BAD_VALUE,
        Fault.WRONG_TOOL: Cause.WRONG_TOOL,
        Fault.WRONG_ARGUMENTS: Cause.WRONG_ARGUMENTS,
        Fault.FREE_TEXT: Cause.WRONG_ARGUMENTS,
        Fault.FILE_NOT_FOUND: Cause.EFFECT_FAILED,
        Fault.DIFF_FORM: Cause.BAD_VALUE,
        Fault.DIFF_FAILED: Cause.EFFECT_FAILED,
        Fault.WRONG_RESULT: Cause.WRONG_RESULT,
        Fault.NEEDLESS_CALL: Cause.NEEDLESS_CALL,
        Fault.STOPPED: Cause.STOPPED,
        Fault.TEMPLATE_FAULT: Cause.TEMPLATE_FAULT,
        Fault.BACKEND_FAULT: Cause.BACKEND_FAULT,
    }
)
"""The one table from what is wrong to the cause that is counted."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's outcome.

    Attributes:
        fault: what is wrong, only when the layer failed.
        detail: one sentence on what is wrong, empty when nothing is.
        span: place in the answer in characters, where one can be named.
    """

    name: LayerName
    status: LayerStatus
    fault: Fault | None = None
    detail: str = ""
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one answer.

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


_LAST_OF_FORM = tuple(LayerName).index(LayerName.VALID_VALUES)


def verdict_of(layers: tuple[Layer, ...], *, accepted: bool, tool: str | None) -> Verdict:
    """Return the verdict that `layers`, one per name and in order, amount to."""
    failed = next((layer for layer in layers if layer.status is LayerStatus.FAILED), None)
    form = layers[: _LAST_OF_FORM + 1]
    return Verdict(
        conforming=failed is None,
        accepted=accepted,
        well_formed=all(layer.status is LayerStatus.PASSED for layer in form),
        cause=CAUSES[failed.fault] if failed and failed.fault else None,
        sentence=failed.detail if failed else f"The call of {tool} is what the task asks for.",
        layers=layers,
        tool=tool,
    )


def fault_verdict(fault: Fault, detail: str) -> Verdict:
    """Return the verdict on a turn that gave no answer to judge: stopped, or a fault of template or backend."""
    absent = tuple(Layer(name, LayerStatus.NOT_APPLICABLE) for name in tuple(LayerName)[1:])
    first = Layer(LayerName.CALL_PRESENT, LayerStatus.FAILED, fault, detail)
    return verdict_of((first, *absent), accepted=False, tool=None)


def _layer_document(layer: Layer) -> dict[str, object]:
    return {
        "name": layer.name.value,
        "status": layer.status.value,
        "fault": layer.fault.value if layer.fault else None,
        "detail": layer.detail,
        "span": list(layer.span) if layer.span else None,
    }
