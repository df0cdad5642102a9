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

UNANSWERED = Cause.BACKEND_FAULT
"""The cause of a case that the machine did not answer: it is in no rate, and asking it again may bring an answer."""

_MAX_UNANSWERED_SHARE = 0.02


def is_incomplete(num_answered: int, num_total: int) -> bool:
    """Return whether so many cases have no answer (more than 2 %) that the rates of the others decide nothing."""
    return num_total - num_answered > _MAX_UNANSWERED_SHARE * num_total


class Fault(StrEnum):
    """What can be wrong, in the prompt's terms and, by its own codes, in the client's.

    Attributes:
        layer: the layer on which it is found, unless the judge found it on an earlier one.
        cause: its cause.
    """

    layer: LayerName
    cause: Cause

    def __new__(cls, code: str, layer: LayerName, cause: Cause) -> Fault:
        """Make a fault of its code, layer and cause."""
        fault = str.__new__(cls, code)
        fault._value_, fault.layer, fault.cause = code, layer, cause
        return fault

    NO_CALL = "no_call", LayerName.CALL_PRESENT, Cause.NO_CALL
    NO_TOOL = "no_tool", LayerName.CALL_PRESENT, Cause.NO_CALL
    EMPTY_ANSWER = "empty_answer", LayerName.CALL_PRESENT, Cause.NO_CALL
    FOREIGN_FORM = "foreign_form", LayerName.CALL_PRESENT, Cause.WRONG_FORMAT
    BAD_TAG = "bad_tag", LayerName.CALL_PRESENT, Cause.WRONG_FORMAT
    CUT_OFF = "cut_off", LayerName.PARSES, Cause.TRUNCATED_BY_LIMIT
    UNCLOSED = "unclosed", LayerName.PARSES, Cause.UNCLOSED
    ANSWER_TOO_LONG = "answer_too_long", LayerName.CALL_PRESENT, Cause.WRONG_FORMAT
    VALUE_CUT = "value_cut", LayerName.PARSES, Cause.BAD_VALUE
    STRAY_TEXT = "stray_text", LayerName.PARSES, Cause.WRONG_FORMAT
    REPEATED_PARAMETER = "repeated_parameter", LayerName.PARSES, Cause.WRONG_FORMAT
    FOREIGN_PARAMETER = "foreign_parameter", LayerName.PARSES, Cause.WRONG_FORMAT
    BAD_JSON = "bad_json", LayerName.PARSES, Cause.WRONG_FORMAT
    NOT_AN_OBJECT = "not_an_object", LayerName.PARSES, Cause.WRONG_FORMAT
    INVALID_ARGUMENTS = "invalid_arguments", LayerName.PARSES, Cause.WRONG_FORMAT
    WRAPPED = "wrapped", LayerName.ONE_AND_LAST, Cause.WRONG_FORMAT
    SEVERAL_CALLS = "several_calls", LayerName.ONE_AND_LAST, Cause.SEVERAL_CALLS
    SECOND_TOOL = "second_tool", LayerName.ONE_AND_LAST, Cause.SEVERAL_CALLS
    AFTER_NEW_TASK = "after_new_task", LayerName.ONE_AND_LAST, Cause.SEVERAL_CALLS
    TEXT_AFTER = "text_after", LayerName.ONE_AND_LAST, Cause.TEXT_AFTER
    UNKNOWN_TOOL = "unknown_tool", LayerName.KNOWN_TOOL, Cause.UNKNOWN_TOOL
    BAD_MCP_NAME = "bad_mcp_name", LayerName.KNOWN_TOOL, Cause.UNKNOWN_TOOL
    NOT_ALLOWED_IN_MODE = "not_allowed_in_mode", LayerName.OFFERED, Cause.FORBIDDEN_TOOL
    FILE_PATTERN = "file_pattern", LayerName.OFFERED, Cause.FORBIDDEN_TOOL
    EXPERIMENT_OFF = "experiment_off", LayerName.OFFERED, Cause.FORBIDDEN_TOOL
    MISSING_PARAM = "missing_param", LayerName.REQUIRED_PARAMETERS, Cause.MISSING_PARAMETER
    BAD_VALUE = "bad_value", LayerName.VALID_VALUES, Cause.BAD_VALUE
    ARGS_XML = "args_xml", LayerName.VALID_VALUES, Cause.BAD_VALUE
    FOLLOW_UP_XML = "follow_up_xml", LayerName.VALID_VALUES, Cause.BAD_VALUE
    BAD_RANGE = "bad_range", LayerName.VALID_VALUES, Cause.BAD_VALUE
    BAD_OFFSET = "bad_offset", LayerName.VALID_VALUES, Cause.BAD_VALUE
    BAD_PATH_VALUE = "bad_path_value", LayerName.VALID_VALUES, Cause.BAD_VALUE
    MCP_BAD_JSON = "mcp_bad_json", LayerName.VALID_VALUES, Cause.BAD_VALUE
    MCP_UNKNOWN_SERVER = "mcp_unknown_server", LayerName.VALID_VALUES, Cause.BAD_VALUE
    MCP_UNKNOWN_TOOL = "mcp_unknown_tool", LayerName.VALID_VALUES, Cause.BAD_VALUE
    UNKNOWN_MODE = "unknown_mode", LayerName.VALID_VALUES, Cause.BAD_VALUE
    SAME_MODE = "same_mode", LayerName.VALID_VALUES, Cause.BAD_VALUE
    UNKNOWN_INSTRUCTION = "unknown_instruction", LayerName.VALID_VALUES, Cause.BAD_VALUE
    BAD_ARTIFACT_ID = "bad_artifact_id", LayerName.VALID_VALUES, Cause.BAD_VALUE
    DIFF_FORM = "diff_form", LayerName.VALID_VALUES, Cause.BAD_VALUE
    STRAY_MARKER = "stray_marker", LayerName.VALID_VALUES, Cause.BAD_VALUE
    MARKER_ORDER = "marker_order", LayerName.VALID_VALUES, Cause.BAD_VALUE
    LINE_MARKER_IN_REPLACE = "line_marker_in_replace", LayerName.VALID_VALUES, Cause.BAD_VALUE
    UNFINISHED_BLOCK = "unfinished_block", LayerName.VALID_VALUES, Cause.BAD_VALUE
    NO_BLOCK = "no_block", LayerName.VALID_VALUES, Cause.BAD_VALUE
    BAD_PATCH = "bad_patch", LayerName.VALID_VALUES, Cause.BAD_VALUE
    WRONG_TOOL = "wrong_tool", LayerName.RIGHT_TOOL, Cause.WRONG_TOOL
    WRONG_ARGUMENTS = "wrong_arguments", LayerName.RIGHT_ARGUMENTS, Cause.WRONG_ARGUMENTS
    FREE_TEXT = "free_text", LayerName.RIGHT_ARGUMENTS, Cause.WRONG_ARGUMENTS
    FILE_NOT_FOUND = "file_not_found", LayerName.EFFECT, Cause.EFFECT_FAILED
    IS_DIRECTORY = "is_directory", LayerName.EFFECT, Cause.EFFECT_FAILED
    RANGE_BEYOND_END = "range_beyond_end", LayerName.EFFECT, Cause.EFFECT_FAILED
    IGNORED_FILE = "ignored_file", LayerName.EFFECT, Cause.EFFECT_FAILED
    NO_MATCH = "no_match", LayerName.EFFECT, Cause.EFFECT_FAILED
    IDENTICAL = "identical", LayerName.EFFECT, Cause.EFFECT_FAILED
    EMPTY_SEARCH = "empty_search", LayerName.EFFECT, Cause.EFFECT_FAILED
    SOME_PARTS_FAILED = "some_parts_failed", LayerName.EFFECT, Cause.EFFECT_FAILED
    SEVERAL_MATCHES = "several_matches", LayerName.EFFECT, Cause.EFFECT_FAILED
    COUNT_MISMATCH = "count_mismatch", LayerName.EFFECT, Cause.EFFECT_FAILED
    FILE_EXISTS = "file_exists", LayerName.EFFECT, Cause.EFFECT_FAILED
    WRITE_PROTECTED = "write_protected", LayerName.EFFECT, Cause.EFFECT_FAILED
    TOOL_FAILED_BEFORE_COMPLETION = "tool_failed_before_completion", LayerName.EFFECT, Cause.EFFECT_FAILED
    OPEN_TODOS = "open_todos", LayerName.EFFECT, Cause.EFFECT_FAILED
    CALL_FAILED = "call_failed", LayerName.EFFECT, Cause.EFFECT_FAILED
    WRONG_RESULT = "wrong_result", LayerName.EFFECT, Cause.WRONG_RESULT
    STOPPED = "stopped", LayerName.TASK_DONE, Cause.STOPPED
    MISTAKE_LIMIT = "mistake_limit", LayerName.TASK_DONE, Cause.STOPPED
    REPEATED_CALL = "repeated_call", LayerName.TASK_DONE, Cause.STOPPED
    TURN_BUDGET = "turn_budget", LayerName.TASK_DONE, Cause.STOPPED
    NEEDLESS_CALL = "needless_call", LayerName.NO_NEEDLESS_CALL, Cause.NEEDLESS_CALL
    TEMPLATE_FAULT = "template_fault", LayerName.CALL_PRESENT, Cause.TEMPLATE_FAULT
    BACKEND_FAULT = "backend_fault", LayerName.CALL_PRESENT, Cause.BACKEND_FAULT


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
    return fault.layer, fault


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
        by_name = {layer.name: layer for layer in layers}
        layers = tuple(by_name.get(name) or _ABSENT[name] for name in LayerName)
    failed = next((layer for layer in layers if layer.status is LayerStatus.FAILED), None)
    form = layers[: len(FORM_LAYERS)]
    is_answer = form[0].status is not LayerStatus.NOT_APPLICABLE or failed is None
    return Verdict(
        conforming=failed is None,
        accepted=accepted,
        well_formed=is_answer and all(layer.status is not LayerStatus.FAILED for layer in form),
        cause=failed.fault.cause if failed and failed.fault else None,
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
