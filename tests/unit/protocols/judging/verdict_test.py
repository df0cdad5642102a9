import json
from dataclasses import replace

import pytest

from services.protocols.verdict import (
    Cause,
    Fault,
    Layer,
    LayerName,
    LayerStatus,
    fault_of_code,
    fault_verdict,
    passed,
    verdict_of,
)


def test_every_fault_has_a_cause_and_every_cause_a_fault() -> None:
    assert {fault.cause for fault in Fault} == set(Cause)


def test_a_turn_without_an_answer_gets_a_verdict_of_its_own_cause() -> None:
    verdict = fault_verdict(Fault.BACKEND_FAULT, "The backend timed out.")
    assert (verdict.conforming, verdict.accepted, verdict.well_formed) == (False, False, False)
    assert verdict.cause is Cause.BACKEND_FAULT
    assert verdict.sentence == "The backend timed out."
    assert [layer.name for layer in verdict.layers] == list(LayerName)
    assert {layer.status for layer in verdict.layers[1:]} == {LayerStatus.NOT_APPLICABLE}


def test_a_verdict_is_json() -> None:
    document = fault_verdict(Fault.STOPPED, "Cancelled.").to_document()
    assert json.loads(json.dumps(document)) == document
    assert document["cause"] == "stopped"


def test_a_clients_code_has_a_layer_and_a_cause() -> None:
    assert fault_of_code("missing_param:path") == (LayerName.REQUIRED_PARAMETERS, Fault.MISSING_PARAM)
    assert fault_of_code("no_match") == (LayerName.EFFECT, Fault.NO_MATCH)
    assert fault_of_code("denied_by_user") is None
    assert fault_of_code("after_denial") is None
    assert fault_of_code("something new") == (LayerName.EFFECT, Fault.CALL_FAILED)


def test_layers_that_are_not_given_do_not_apply() -> None:
    verdict = verdict_of((passed(LayerName.NO_NEEDLESS_CALL),), accepted=True, tool=None)
    assert (verdict.conforming, verdict.well_formed) == (True, True)
    assert [layer.name for layer in verdict.layers] == list(LayerName)
    assert verdict.sentence == "No call is due, and none is made."


def test_a_layers_score_is_its_status_unless_it_was_measured() -> None:
    failed = Layer(LayerName.EFFECT, LayerStatus.FAILED, Fault.NO_MATCH)
    scores = [passed(LayerName.EFFECT).score, failed.score, replace(failed, measured=0.7).score]
    assert scores == [1.0, 0.0, 0.7]
    document = verdict_of((replace(failed, measured=0.7, turn=2),), accepted=False, tool="x").to_document()
    layers = document["layers"]
    assert isinstance(layers, list)
    assert [(layer["score"], layer["turn"]) for layer in layers if layer["status"] == "failed"] == [(0.7, 2)]
    assert {layer["score"] for layer in layers if layer["status"] == "not_applicable"} == {None}


def test_the_document_of_a_failed_answer_names_layer_fault_and_place() -> None:
    failed = Layer(LayerName.EFFECT, LayerStatus.FAILED, Fault.NO_MATCH, "The lines are not there.", (3, 9))
    document = verdict_of((passed(LayerName.CALL_PRESENT), failed), accepted=True, tool="apply_diff").to_document()
    layers = document.pop("layers")
    assert document == {
        "conforming": False,
        "accepted": True,
        "well_formed": True,
        "cause": "effect_failed",
        "sentence": "The lines are not there.",
        "tool": "apply_diff",
    }
    assert isinstance(layers, list)
    assert [layer for layer in layers if layer["status"] == "failed"] == [
        {
            "name": "effect",
            "status": "failed",
            "fault": "no_match",
            "detail": "The lines are not there.",
            "span": [3, 9],
            "score": 0.0,
            "turn": 0,
        }
    ]
    nothing = {"status": "not_applicable", "fault": None, "detail": "", "span": None, "score": None, "turn": 0}
    assert layers[1] == {"name": "parses", **nothing}


def test_the_document_of_a_conforming_answer_has_no_cause_and_praises_the_call() -> None:
    verdict = verdict_of((passed(LayerName.CALL_PRESENT),), accepted=True, tool="read_file")
    assert verdict.sentence == "The call of read_file is what the task asks for."
    document = verdict.to_document()
    assert (document["cause"], document["conforming"], document["tool"]) == (None, True, "read_file")


@pytest.mark.parametrize(
    ("code", "layer", "cause"),
    [
        ("bad_patch", LayerName.VALID_VALUES, Cause.BAD_VALUE),
        ("file_exists", LayerName.EFFECT, Cause.EFFECT_FAILED),
        ("several_matches", LayerName.EFFECT, Cause.EFFECT_FAILED),
        ("count_mismatch", LayerName.EFFECT, Cause.EFFECT_FAILED),
        ("open_todos", LayerName.EFFECT, Cause.EFFECT_FAILED),
    ],
)
def test_codes_of_the_opt_in_tools_and_of_an_unfinished_checklist_have_their_place(
    code: str, layer: LayerName, cause: Cause
) -> None:
    meaning = fault_of_code(code)
    assert meaning and (meaning[0], meaning[1].value, meaning[1].cause) == (layer, code, cause)
