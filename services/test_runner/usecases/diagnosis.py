"""What callers may do with diagnoses."""

from dataclasses import replace

from services.chassis.errors import FailedPrecondition, InvalidArgument, Unavailable
from services.lm.doctor.diagnosis import Conversation, Diagnosis, Request, gravest_first
from services.protocols.profile import UnknownProfile, get_profile
from services.test_runner.domain.diagnosis import DiagnosisSpec, RenderedConversation, Room
from services.test_runner.domain.endpoint import ToolMode
from services.test_runner.domain.test_run import Artifact, Form
from services.test_runner.ports.diagnosis import Doctor, FormTemplate, ServedTemplate
from services.test_runner.ports.generation import BackendFaultError, EndpointPolicy
from services.test_runner.ports.registry import Registry, ResolvedModel
from services.test_runner.resolution import check_prompt_size
from services.test_runner.usecases.conversations import conversations_of


class DiagnosisUseCases:
    """One method per RPC, in the terms of the domain."""

    def __init__(
        self, *, registry: Registry, policy: EndpointPolicy, doctor: Doctor, served: ServedTemplate, forms: FormTemplate
    ) -> None:
        self._registry = registry
        self._forms = forms
        self._policy = policy
        self._doctor = doctor
        self._served = served

    async def diagnose(self, spec: DiagnosisSpec) -> Diagnosis:
        """Return whether the model's template and settings can carry the profile, the gravest finding first.

        Raises:
            InvalidArgument: The endpoint cannot be used, or there is no such profile or size.
            NotFound: There is no such model version.
            FailedPrecondition: The model is of a kind without a template, or its files cannot be read.
            PermissionDenied: The operator does not allow the endpoint's host.
        """
        if spec.endpoint is not None:
            spec.endpoint.check()
            self._policy.check(spec.endpoint)
        conversations = _conversations(spec)
        model = await self._registry.resolve_model(spec.model_version_id)
        request = Request(conversations, spec.max_new_tokens)
        diagnosis = await self._doctor.examine(_folder_of(model).uri, request)
        if spec.endpoint is None and model.form is Form.FOLDER:
            return diagnosis
        return await self._compared(spec, model, conversations, diagnosis)

    async def _compared(
        self, spec: DiagnosisSpec, model: ResolvedModel, conversations: tuple[Conversation, ...], diagnosis: Diagnosis
    ) -> Diagnosis:
        by_name = {conversation.name: conversation for conversation in conversations}
        rendered = [RenderedConversation(by_name[rendering.name], rendering) for rendering in diagnosis.renderings]
        room = Room(spec.max_new_tokens, diagnosis.num_context_tokens)
        try:
            comparison = await (
                self._served.compare(spec.endpoint, rendered, room)
                if spec.endpoint
                else self._forms.compare(model, rendered, room)
            )
        except BackendFaultError as fault:
            raise Unavailable(f"The backend broke: {fault}", "Try again.") from fault
        return replace(
            diagnosis,
            findings=gravest_first((*diagnosis.findings, *comparison.findings)),
            checks=(*diagnosis.checks, *comparison.checks),
        )


def _folder_of(model: ResolvedModel) -> Artifact:
    """Return the folder whose template is right: of a form, that of the weights which it was made from."""
    if model.form is Form.FOLDER:
        return model.base
    if model.original is None:
        raise FailedPrecondition(
            f"The model version {model.model_version_id} came as a GGUF, so there is no template to compare it with.",
            "Import it so that it can be trained, and diagnose that version.",
        )
    return model.original


def _conversations(spec: DiagnosisSpec) -> tuple[Conversation, ...]:
    try:
        profile = get_profile(spec.profile_id)
    except UnknownProfile as error:
        raise InvalidArgument(f"{str(error).capitalize()}.", "Choose one of these.", field="profile_id") from error
    check_prompt_size(profile, spec.prompt_size, "prompt_size")
    conversations = conversations_of(profile, spec.prompt_size)
    if spec.endpoint is None or spec.endpoint.tool_mode is not ToolMode.PROMPT:
        return conversations
    return tuple(replace(conversation, tools=()) for conversation in conversations)
