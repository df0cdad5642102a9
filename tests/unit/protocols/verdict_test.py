import json

from services.protocols.verdict import CAUSES, Cause, Fault, LayerName, LayerStatus, fault_verdict


def test_every_fault_has_a_cause_and_every_cause_a_fault() -> None:
    assert set(CAUSES) == set(Fault)
    assert set(CAUSES.values()) == set(Cause)


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
