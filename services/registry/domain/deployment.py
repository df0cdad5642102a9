"""Deployments, which serve versions, and aliases, the names by which clients find them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from services.chassis.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from services.chassis.machine.caller import DEFAULT_WORKSPACE
from services.chassis.wire.names import shown
from services.registry.domain.identifiers import check_model_id, version_ref
from services.registry.domain.model import ModelVersion, ModelVersionKind

_ALIAS_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
# With what is put in front of it, a name in a cluster has 63 characters.
_MAX_SLUG = 24
_LIST = "See what there is with `drillyard deployments list`."


class DeploymentBackend(StrEnum):
    """What serves a version."""

    UNSPECIFIED = "unspecified"
    WORKER = "worker"
    LLAMA_SERVER = "llama_server"
    KUBERNETES_VLLM = "kubernetes_vllm"
    KUBERNETES_LLAMA_SERVER = "kubernetes_llama_server"


class DeploymentState(StrEnum):
    """Where a deployment stands."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    STOPPING = "stopping"
    TESTING = "testing"


class DeploymentTestOutcome(StrEnum):
    """What came of a deployment's suite."""

    UNSPECIFIED = "unspecified"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True)
class DeploymentSpec:
    """What is served and how; units, defaults and bounds stand in the contract."""

    model_version_id: str
    backend: DeploymentBackend
    image: str
    num_replicas: int
    num_gpus: int
    num_ctx: int
    test_suite_version_id: str = ""
    minimum_rate: float = 0.0
    without_test: bool = False


@dataclass(frozen=True)
class DeploymentStatus:
    """How a deployment stands: its state, why in the words of what serves it, and where it answers."""

    state: DeploymentState
    reason: str = ""
    base_url: str = ""


@dataclass(frozen=True)
class DeploymentTest:
    """How a deployment does on the suite that it must pass; `summary` is a sentence."""

    outcome: DeploymentTestOutcome = DeploymentTestOutcome.UNSPECIFIED
    test_run_id: str = ""
    evaluation_id: str = ""
    summary: str = ""


@dataclass(frozen=True)
class Deployment:
    """A version that is served, or on its way to be; `test` says how it does on the suite that it must pass."""

    deployment_id: str
    request_id: str
    spec: DeploymentSpec
    state: DeploymentState
    reason: str
    base_url: str
    create_time: datetime
    update_time: datetime
    test: DeploymentTest = DeploymentTest()
    workspace_id: str = DEFAULT_WORKSPACE

    @property
    def served_model(self) -> str:
        """Name of the model at the address."""
        return self.spec.model_version_id if self.base_url else ""

    def tested(self, status: DeploymentStatus) -> DeploymentStatus:
        """Return how it stands as others see it, from how what serves it stands: it may have a suite to pass yet."""
        answers = status.state in (DeploymentState.READY, DeploymentState.TESTING)
        if not answers or not self.spec.test_suite_version_id:
            return status
        state = _STATES_OF_OUTCOMES[self.test.outcome]
        return replace(status, state=state, reason="" if state is DeploymentState.READY else self.test.summary)

    def check_has_test(self) -> None:
        """Return when it has a suite to pass, else raise FailedPrecondition."""
        if not self.spec.test_suite_version_id:
            raise FailedPrecondition(
                f"The deployment {self.deployment_id} has no suite to pass.", "Deploy the version again with one."
            )

    def check_has_workers(self) -> None:
        """Return when test-runner's workers serve it, else raise FailedPrecondition."""
        if self.spec.backend is not DeploymentBackend.WORKER:
            raise FailedPrecondition(
                f"The deployment {self.deployment_id} is served by {self.spec.backend.value.upper()}.",
                "The registry sees by itself how that stands.",
            )

    def check_answers_as(self, model_version_id: str) -> None:
        """Return when this deployment may answer for a version now.

        Raises:
            FailedPrecondition: It serves another one, or is not ready.
        """
        if self.spec.model_version_id != model_version_id:
            raise FailedPrecondition(
                f"The deployment {self.deployment_id} serves {self.spec.model_version_id}, not {model_version_id}.",
                "Name a deployment of the version, or none.",
            )
        if self.state is not DeploymentState.READY:
            reason = f": {self.reason}" if self.reason else ""
            raise FailedPrecondition(
                f"The deployment {self.deployment_id} is {self.state.value}{reason}.",
                "Wait until it is ready, or name another.",
            )


@dataclass(frozen=True)
class AliasMove:
    """What an alias points at from one of its moves on."""

    alias_id: str
    model_version_id: str
    deployment_id: str
    evaluation_ids: tuple[str, ...]
    shadow_model_version_id: str


@dataclass(frozen=True)
class Alias(AliasMove):
    """A name that points at a version, as it stands now; `revision` counts its moves."""

    revision: int
    previous_model_version_id: str
    update_time: datetime

    @property
    def used_version_ids(self) -> set[str]:
        """The versions that answer to the name: now, unseen as a shadow, and after a rollback."""
        return {self.model_version_id, self.shadow_model_version_id, self.previous_model_version_id} - {""}


def new_deployment_id(model_version_id: str) -> str:
    """Return an id that a cluster takes as part of a name, such as "smollm2-3-9f31c2"."""
    ref = version_ref(model_version_id)
    slug = re.sub(r"[^a-z0-9]+", "-", ref.owner_id)[:_MAX_SLUG].strip("-")
    return f"{slug}-{ref.version}-{secrets.token_hex(3)}"


def check_alias_id(alias_id: str) -> None:
    """Raise InvalidArgument unless `alias_id` is "<model_id>:<name>"."""
    model_id, _, name = alias_id.partition(":")
    if not _ALIAS_NAME.fullmatch(name) or ".." in name:
        raise InvalidArgument(
            f"alias_id {shown(alias_id)} is no alias.",
            "Use the model, a colon and a name of lower-case letters, digits and dashes: smollm2:champion.",
            field="alias_id",
        )
    check_model_id(model_id)


def chosen_backend(
    kind: ModelVersionKind, asked: DeploymentBackend, available: Collection[DeploymentBackend]
) -> DeploymentBackend:
    """Return what serves a version of a kind: `asked`, or the first of those that are there and can.

    Raises:
        FailedPrecondition: None can, or the one that was asked for cannot; the error says what to do.
    """
    fitting = [backend for backend in _PREFERENCE if kind in _KINDS[backend]]
    if asked is DeploymentBackend.UNSPECIFIED:
        asked = next((backend for backend in fitting if backend in available), asked)
    fit = " or ".join(_WORDS[backend] for backend in fitting) or "nothing"
    if asked is DeploymentBackend.UNSPECIFIED:
        raise FailedPrecondition(
            f"Nothing here can serve a version of kind {kind.value}; {fit} can.", _EXPORT, field="spec.backend"
        )
    if asked not in fitting:
        raise FailedPrecondition(
            f"The backend {asked.value} cannot serve a version of kind {kind.value}; {fit} can.",
            f"Leave the backend open, or name one of {', '.join(fitting)}." if fitting else _EXPORT,
            field="spec.backend",
        )
    if asked not in available:
        problem = f"This installation has no {_WORDS[asked]}."
        raise FailedPrecondition(problem, _HOW_TO_GET[asked.value.split("_")[0]], field="spec.backend")
    return asked


def check_settings(spec: DeploymentSpec, backend: DeploymentBackend) -> None:
    """Raise InvalidArgument when a backend leaves a setting unused that was asked for."""
    asked = {
        "image": spec.image,
        "num_gpus": spec.num_gpus,
        "num_replicas": spec.num_replicas > 1,
        "num_ctx": spec.num_ctx and backend is DeploymentBackend.WORKER,
    }
    unused = next((name for name, is_set in asked.items() if is_set), "")
    if unused and not backend.value.startswith("kubernetes"):
        problem = f"{_WORDS[backend][0].upper()}{_WORDS[backend][1:]} has no use for {unused}."
        raise InvalidArgument(problem, "Leave it out, or name a backend that takes it.", field=f"spec.{unused}")


def check_same_spec(known: DeploymentSpec, spec: DeploymentSpec) -> None:
    """Raise AlreadyExists unless a deployment was asked for with the same words before."""
    if known != spec:
        raise AlreadyExists(
            "The request_id was used before with another spec.", "Use a new request_id for a new request."
        )


def moved_before(alias_id: str, revision: int) -> Aborted:
    """Return the error for an alias that another caller moved first."""
    return Aborted(
        f"The alias {alias_id} was moved by somebody else: its revision is {revision}.",
        "Look where it points now, and move it again if that is still right.",
    )


def deployment_not_found(deployment_id: str) -> NotFound:
    """Return the error for a deployment that isn't there."""
    return NotFound(f"There is no deployment {shown(deployment_id)}.", _LIST)


def alias_not_found(alias_id: str) -> NotFound:
    """Return the error for an alias that isn't there."""
    return NotFound(f"There is no alias {shown(alias_id)}.", "See what there is with `drillyard aliases list`.")


_STATES_OF_OUTCOMES = {
    DeploymentTestOutcome.UNSPECIFIED: DeploymentState.TESTING,
    DeploymentTestOutcome.PASSED: DeploymentState.READY,
    DeploymentTestOutcome.FAILED: DeploymentState.FAILED,
}
_WEIGHTS = frozenset(
    (ModelVersionKind.BASE, ModelVersionKind.ADAPTER, ModelVersionKind.MERGED, ModelVersionKind.TRAINED)
)
_GGUF = frozenset(kind for kind in ModelVersionKind if kind.is_served_form)
_KINDS = {
    DeploymentBackend.KUBERNETES_VLLM: _WEIGHTS,
    DeploymentBackend.KUBERNETES_LLAMA_SERVER: _GGUF,
    DeploymentBackend.LLAMA_SERVER: _GGUF,
    DeploymentBackend.WORKER: _WEIGHTS | _GGUF,
}
# What the installation has: the cluster, else llama.cpp's server, else a worker.
_PREFERENCE = tuple(_KINDS)
_WORDS = {
    DeploymentBackend.KUBERNETES_VLLM: "vLLM in the cluster",
    DeploymentBackend.KUBERNETES_LLAMA_SERVER: "llama.cpp's server in the cluster",
    DeploymentBackend.LLAMA_SERVER: "llama.cpp's server",
    DeploymentBackend.WORKER: "a worker of test-runner",
}
_EXPORT = "Write a form that can be served: `drillyard models export VERSION --as gguf:Q8_0`."
_HOW_TO_GET = {
    "llama": "Put llama.cpp's llama-server on the registry's PATH, or name its command in REGISTRY_LLAMA_SERVER.",
    "kubernetes": "Set REGISTRY_KUBERNETES_NAMESPACE, or deployments.enabled of the chart.",
}


@dataclass(frozen=True)
class ServedVersion:
    """A version to serve; `base` is what an adapter is put on."""

    version: ModelVersion
    base: ModelVersion | None = None
