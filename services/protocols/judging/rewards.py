"""Reward components of a verdict, kept apart: a sum would hide which of them an answer earned."""

from collections.abc import Mapping
from types import MappingProxyType

from services.protocols.cases import Case
from services.protocols.verdict import FORM_LAYERS, Layer, LayerName, LayerStatus, Verdict

_NO_SCORER = "none"
_CONTENT = MappingProxyType(
    {
        "tool": LayerName.RIGHT_TOOL,
        "arguments": LayerName.RIGHT_ARGUMENTS,
        "effect": LayerName.EFFECT,
        "done": LayerName.TASK_DONE,
        "restraint": LayerName.NO_NEEDLESS_CALL,
    }
)
CONFORMING = "conforming"
"""Name of the reward that is 1 where every layer that applies passed, else 0; the verdict itself as a number."""

_WEIGHTS = MappingProxyType({"format": 0.5, **dict.fromkeys(_CONTENT, 0.25), CONFORMING: 1.0})


def components(case: Case, verdict: Verdict) -> dict[str, float]:
    """Return the reward components of a verdict by name, each 0 to 1.

    `format`: the mean over the layers of form (call present … valid values), where one that could not be judged because
    another failed counts 0. `tool`, `arguments`, `effect`, `done` and `restraint` (no needless call) are the scores of
    the layers `right_tool`, `right_arguments`, `effect`, `task_done` and `no_needless_call`. A layer that the case asks
    for and that was not reached, since an earlier one failed, gives 0; one that the case does not ask for is absent.
    A case in plain text has one component, named by its scorer, such as `rouge_l`, or none without a scorer.
    """
    layers = {layer.name: layer for layer in verdict.layers}
    if case.scoring is not None:
        is_scored = case.scoring.scorer != _NO_SCORER
        return {case.scoring.scorer: layers[LayerName.TASK_DONE].score or 0.0} if is_scored else {}
    scores: dict[str, float] = {}
    form = _form_score([layers[name] for name in FORM_LAYERS], failed=not verdict.conforming)
    if form is not None:
        scores["format"] = form
    due_names = _asked(case)
    for name, layer_name in _CONTENT.items():
        score = layers[layer_name].score
        if score is not None:
            scores[name] = score
        elif name in due_names and not verdict.conforming:
            scores[name] = 0.0
    return scores


def rewards(case: Case, verdict: Verdict) -> dict[str, float]:
    """Return what an answer is rewarded for in training, each 0 to 1: its components, and `conforming`."""
    return components(case, verdict) | {CONFORMING: float(verdict.conforming)}


def default_weights(case: Case) -> Mapping[str, float]:
    """Return the weight of each reward that a verdict on this case can have.

    Conforming counts most; form is worth something before the content is right, so that a model which makes no call yet
    finds its way to one. A case in plain text is rewarded by its scorer alone, or for conforming where it has none.
    """
    if case.scoring is None:
        return _WEIGHTS
    return {case.scoring.scorer: 1.0, CONFORMING: 0.0} if case.scoring.scorer != _NO_SCORER else {CONFORMING: 1.0}


def _form_score(layers: list[Layer], *, failed: bool) -> float | None:
    judged = [layer.score for layer in layers if layer.score is not None]
    if not judged:
        return None
    has_failure = failed and any(layer.status is LayerStatus.FAILED for layer in layers)
    return sum(judged) / (len(layers) if has_failure else len(judged))


def _asked(case: Case) -> tuple[str, ...]:
    if case.max_turns > 1 or case.goal is not None:
        return ("done",)
    return ("tool", "arguments") if case.expected.due else ()
