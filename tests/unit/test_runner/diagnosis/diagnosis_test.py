"""Diagnoses from the request to the doctor's process and back."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drillyard.test_runner.v1 import diagnosis_pb2, test_run_pb2

from services.chassis.errors import FailedPrecondition, InvalidArgument, PermissionDenied, Unavailable
from services.chassis.wire import check, from_message
from services.lm.doctor.diagnosis import Conversation, Diagnosis, Finding, Rendering, Request, Severity
from services.lm.tiny import write_tiny_model
from services.protocols.profile import get_profile, profile_ids
from services.test_runner.backends.doctor_process import DoctorProcess
from services.test_runner.convert import diagnosis_to_proto
from services.test_runner.domain.diagnosis import DiagnosisSpec, RenderedConversation, Room
from services.test_runner.domain.endpoint import Endpoint, ToolMode
from services.test_runner.domain.test_run import Artifact, Form
from services.test_runner.ports.diagnosis import Comparison
from services.test_runner.ports.registry import ResolvedModel
from services.test_runner.usecases.conversations import conversations_of
from services.test_runner.usecases.diagnosis import DiagnosisUseCases
from tests.unit import run_specs as specs

SPEC = DiagnosisSpec("small@1", "roo_xml", "compact", 192, None)
REQUEST = Request((Conversation("one", ({"role": "user", "content": "Hello"},)),), 16)


def finding(code: str, severity: Severity) -> Finding:
    return Finding(code, severity, f"{code} is so.", "Mend it.", "shown")


class FakeRegistry:
    async def resolve_model(self, model_version_id: str) -> ResolvedModel:
        folder, file = Artifact("file:///small", "sha256:0"), Artifact("file:///gguf", "sha256:1")
        originals = {"small-gguf@1": folder, "bare-gguf@1": None}
        if model_version_id not in originals:
            return ResolvedModel(model_version_id, folder, None)
        return ResolvedModel(model_version_id, file, None, Form.GGUF, original=originals[model_version_id])


class FakeDoctor:
    """Finds a warning, and renders the first conversation."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Request]] = []

    async def examine(self, model_uri: str, request: Request) -> Diagnosis:
        self.asked.append((model_uri, request))
        rendering = Rendering(request.conversations[0].name, "text", (1, 2))
        return Diagnosis((finding("contents_stripped", "warning"),), ("edges",), 900, 2048, (rendering,))


class FakeServed:
    """Finds an error."""

    def __init__(self) -> None:
        self.asked: list[tuple[Endpoint, list[RenderedConversation], Room]] = []

    async def compare(self, endpoint: Endpoint, rendered: list[RenderedConversation], room: Room) -> Comparison:
        self.asked.append((endpoint, rendered, room))
        return Comparison((finding("served_text_differs", "error"),), ("served_rendering",))


class FakeForms:
    """Finds that the form reads other tokens."""

    async def compare(self, model: ResolvedModel, rendered: list[RenderedConversation], room: Room) -> Comparison:
        assert model.form is Form.GGUF and rendered and room.num_context_tokens == 2048
        return Comparison((finding("served_tokens_differ", "error"),), ("served_rendering",))


class OneHostPolicy:
    """Allows this machine alone."""

    def check(self, endpoint: Endpoint) -> None:
        if endpoint.host != "127.0.0.1":
            raise PermissionDenied(f"{endpoint.host} is not allowed.", "Use another.")


class World:
    """A use case and what it asks."""

    def __init__(self) -> None:
        self.doctor, self.served = FakeDoctor(), FakeServed()
        self.usecases = DiagnosisUseCases(
            registry=FakeRegistry(),  # type: ignore[arg-type]
            policy=OneHostPolicy(),
            doctor=self.doctor,
            served=self.served,  # type: ignore[arg-type]
            forms=FakeForms(),  # type: ignore[arg-type]
        )


async def test_a_form_is_compared_with_the_weights_that_it_was_made_from() -> None:
    world = World()
    diagnosis = await world.usecases.diagnose(replace(SPEC, model_version_id="small-gguf@1"))
    assert [one.code for one in diagnosis.findings] == ["served_tokens_differ", "contents_stripped"]
    assert world.doctor.asked[0][0] == "file:///small" and not world.served.asked
    with pytest.raises(FailedPrecondition, match="no template to compare it with"):
        await world.usecases.diagnose(replace(SPEC, model_version_id="bare-gguf@1"))


async def test_a_diagnosis_without_an_endpoint_is_what_the_doctor_finds() -> None:
    world = World()
    diagnosis = await world.usecases.diagnose(SPEC)
    assert [one.code for one in diagnosis.findings] == ["contents_stripped"]
    assert world.doctor.asked[0][0] == "file:///small"
    assert world.served.asked == []


async def test_what_the_endpoint_does_otherwise_stands_first_when_it_is_graver() -> None:
    world = World()
    diagnosis = await world.usecases.diagnose(replace(SPEC, endpoint=specs.endpoint("http://127.0.0.1:1/v1", "m")))
    assert [one.code for one in diagnosis.findings] == ["served_text_differs", "contents_stripped"]
    assert diagnosis.checks == ("edges", "served_rendering")
    (_, rendered, room) = world.served.asked[0]
    assert (room, rendered[0].conversation.name) == (Room(192, 2048), rendered[0].rendering.name)


async def test_a_host_that_the_operator_does_not_allow_is_not_asked() -> None:
    world = World()
    with pytest.raises(PermissionDenied):
        await world.usecases.diagnose(replace(SPEC, endpoint=specs.endpoint("http://elsewhere/v1", "m")))
    assert world.doctor.asked == []


async def test_functions_are_left_out_where_the_endpoint_is_not_offered_any() -> None:
    world = World()
    endpoint = specs.endpoint("http://127.0.0.1:1/v1", "m", tool_mode=ToolMode.PROMPT)
    native = replace(SPEC, profile_id="roo_native", prompt_size="full")
    await world.usecases.diagnose(native)
    await world.usecases.diagnose(replace(native, endpoint=endpoint))
    offered = [any(one.tools for one in request.conversations) for _, request in world.doctor.asked]
    assert offered == [True, False]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"profile_id": "absent"}, "profile_id"),
        ({"prompt_size": "huge"}, "prompt_size"),
        ({"endpoint": specs.endpoint("gopher://x", "m")}, "endpoint.base_url"),
    ],
)
async def test_a_request_that_is_wrong_names_its_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await World().usecases.diagnose(replace(SPEC, **change))  # type: ignore[arg-type]
    assert raised.value.fields["field"] == field


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"profile_id": ""}, "profile_id"),
        ({"model_version_id": ""}, "model_version_id"),
        ({"max_new_tokens": 9000}, "max_new_tokens"),
    ],
)
def test_a_request_out_of_bounds_does_not_reach_the_use_case(change: dict[str, Any], field: str) -> None:
    values = {"model_version_id": "small@1", "profile_id": "roo_xml", **change}
    with pytest.raises(InvalidArgument) as raised:
        check(diagnosis_pb2.DiagnoseModelRequest(**values))
    assert raised.value.fields["field"] == field


@pytest.mark.parametrize("profile_id", profile_ids())
def test_every_profile_has_conversations_to_examine_a_model_with(profile_id: str) -> None:
    profile = get_profile(profile_id)
    for size in profile.prompt_sizes:
        conversations = conversations_of(profile, size)
        assert json.dumps([[one.messages, one.tools] for one in conversations])
        assert len({one.name for one in conversations}) == len(conversations)
        assert any(one.answers for one in conversations)


def test_a_conversation_of_several_turns_holds_what_the_client_replies() -> None:
    played = conversations_of(get_profile("roo_native"), "full")[1]
    roles = [message["role"] for message in played.messages]
    assert roles.count("assistant") > 2
    assert "tool" in roles


def test_the_wire_form_has_defaults_and_carries_everything_back() -> None:
    request = diagnosis_pb2.DiagnoseModelRequest(model_version_id="small", profile_id="roo_xml")
    assert from_message(DiagnosisSpec, request) == DiagnosisSpec("small", "roo_xml", "compact", 192, None)
    request.endpoint.CopyFrom(
        test_run_pb2.Endpoint(
            base_url="http://h/v1/", model="m", extra_body='{"a": 1}', tool_mode=test_run_pb2.TOOL_MODE_PROMPT
        )
    )
    expected = specs.endpoint("http://h/v1/", "m", tool_mode=ToolMode.PROMPT, extra_body='{"a": 1}')
    assert from_message(DiagnosisSpec, request).endpoint == expected
    response = diagnosis_to_proto(Diagnosis((finding("no_template", "error"),), ("template",), 3, 4))
    assert (response.findings[0].severity, response.findings[0].code) == (diagnosis_pb2.SEVERITY_ERROR, "no_template")
    assert (list(response.checks), response.num_prompt_tokens, response.num_context_tokens) == (["template"], 3, 4)


async def place(uri: str) -> Path:
    return Path(uri)


async def test_the_doctors_process_examines_a_real_folder(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model")
    diagnosis = await DoctorProcess(place=place).examine(str(tmp_path / "model"), REQUEST)
    assert [one for one in diagnosis.findings if one.severity == "error"] == []
    assert (diagnosis.num_context_tokens, diagnosis.renderings[0].name) == (4096, "one")


async def test_a_template_that_eats_memory_is_a_finding(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").write_text("{% set n = 10 %}{{ 'x' * (10 ** n) }}")
    diagnosis = await DoctorProcess(place=place).examine(str(tmp_path / "model"), REQUEST)
    assert [one.code for one in diagnosis.findings] == ["template_too_costly"]


async def test_a_folder_without_a_tokenizer_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match=r"tokenizer\.json is missing"):
        await DoctorProcess(place=place).examine(str(tmp_path), REQUEST)


@pytest.mark.parametrize("program", ["raise SystemExit(1)", "print('no diagnosis')", "print('{}')"])
async def test_a_process_that_breaks_down_is_said_to_have(tmp_path: Path, program: str) -> None:
    doctor = DoctorProcess(place=place, command=(sys.executable, "-c", program))
    with pytest.raises(Unavailable, match="broke down"):
        await doctor.examine(str(tmp_path), REQUEST)


async def test_a_process_that_hangs_is_ended(tmp_path: Path) -> None:
    doctor = DoctorProcess(
        place=place, seconds=0.2, command=(sys.executable, "-c", "import sys, time; sys.stdin.read(); time.sleep(60)")
    )
    with pytest.raises(Unavailable, match="longer than"):
        await doctor.examine(str(tmp_path), REQUEST)
