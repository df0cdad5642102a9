"""How a person writes forms and destinations."""

import pytest
from drillyard.registry.v1.export_pb2 import ExportSpec
from drillyard.registry.v1.publication_pb2 import Destination
from google.protobuf.json_format import ParseDict

from services.chassis.errors import InvalidArgument
from ui.models.exports.destinations import destination_fields, destination_text
from ui.models.exports.forms import form_fields, form_text


@pytest.mark.parametrize("text", ["adapter", "merged", "merged:BF16", "gguf:Q4_K_M", "gguf-adapter", "ollama:Q8_0"])
def test_a_form_is_read_as_it_is_written(text: str) -> None:
    spec = ParseDict(form_fields(text), ExportSpec())
    assert form_text(spec.form, spec.number_type) == text


@pytest.mark.parametrize("text", ["", "gguf:", "onnx", ":Q8_0"])
def test_a_form_that_there_is_not_is_refused_with_those_that_there_are(text: str) -> None:
    with pytest.raises(InvalidArgument, match="no form") as refusal:
        form_fields(text)
    assert "gguf-adapter" in refusal.value.next_step


@pytest.mark.parametrize(
    "text",
    [
        "folder:/models/roo",
        "ollama:roo:q4",
        "ollama:team/roo@/srv/ollama/models",
        "ollama-daemon:roo@http://127.0.0.1:11434",
        "ollama-registry:registry.example/team/roo:q4",
        "hf:owner/name@branch",
        "oci:registry.example:5000/models/roo:1",
    ],
)
def test_a_destination_is_read_as_it_is_written(text: str) -> None:
    destination = ParseDict(destination_fields(text, secret="key", replace=True), Destination())
    assert (destination_text(destination), destination.secret, destination.replace) == (text, "key", True)


def test_a_daemon_without_an_address_is_the_one_of_the_registry_s_machine() -> None:
    assert destination_fields("ollama-daemon:roo")["address"] == "http://127.0.0.1:11434"


@pytest.mark.parametrize("text", ["", "roo", "hf:", "s3:bucket/roo", "Folder:/x"])
def test_a_text_that_names_no_place_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="names no place"):
        destination_fields(text)
