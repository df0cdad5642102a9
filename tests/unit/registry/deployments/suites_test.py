"""Which suite a deployment must pass: the one that is named, else the smoke suite of its export's protocol."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.chassis.errors import InvalidArgument, NotFound
from services.registry.domain.deployment import DeploymentBackend, DeploymentSpec
from services.registry.domain.model import ModelVersionKind
from services.registry.usecases.deployment import DeploymentUseCases

SUITES = ("roo_xml/smoke", "roo_xml/core")


class World:
    """One version of a model and two suites; `profile_id` is what the version was exported for."""

    def __init__(self, profile_id: str) -> None:
        self.profile_id = profile_id

    async def get_version(self, text: str) -> Any:
        if text != "tiny" and text not in SUITES:
            raise NotFound(f"There is no {text}.", "")
        return SimpleNamespace(version_id=f"{text}@1", kind=ModelVersionKind.GGUF)

    async def profile_of(self, version: Any) -> str:
        return self.profile_id

    async def add(self, request_id: str, spec: DeploymentSpec, backend: DeploymentBackend, suite: str) -> str:
        return suite


async def suite_of(profile_id: str = "", **more: Any) -> str:
    world = cast(Any, World(profile_id))
    backends = [DeploymentBackend.WORKER]
    usecases = DeploymentUseCases(
        world, world, world, backends=backends, wake=lambda: None, profile_of=world.profile_of
    )
    spec = DeploymentSpec("tiny", DeploymentBackend.UNSPECIFIED, "", 1, 0, 0, **more)
    return cast(str, await usecases.create("", spec))


async def test_the_suite_is_the_named_one_else_the_smoke_suite_of_the_protocol_that_is_known() -> None:
    assert await suite_of("roo_xml") == "roo_xml/smoke@1"
    assert await suite_of("roo_xml", test_suite_version_id="roo_xml/core") == "roo_xml/core@1"
    assert [await suite_of(), await suite_of("mine"), await suite_of("roo_xml", without_test=True)] == ["", "", ""]
    with pytest.raises(NotFound):
        await suite_of(test_suite_version_id="mine/smoke")
    with pytest.raises(InvalidArgument, match="asks for no test"):
        await suite_of(test_suite_version_id="roo_xml/core", without_test=True)
