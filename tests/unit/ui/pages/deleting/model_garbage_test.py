"""Versions that nothing names go; what something names, what was imported and what is newest stays."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from drillyard.feedback.v1.loop_pb2 import ListLoopsResponse
from drillyard.registry.v1 import deployment_pb2, model_pb2
from drillyard.storage.v1.storage_service_pb2 import CollectGarbageRequest

from services.chassis.errors import FailedPrecondition
from services.chassis.wire import timestamp
from tests.unit.ui.pages.deleting.dependants_test import LOOP, clients
from ui.models.garbage import collect_versions

OLD = datetime.now(UTC) - timedelta(days=30)


def version(version_id: str, base: str, made_by: str, time: datetime = OLD) -> model_pb2.ModelVersion:
    return model_pb2.ModelVersion(
        model_version_id=version_id,
        model_id=version_id.partition("@")[0],
        base_model_version_id=base,
        produced_by=made_by,
        artifact={"size_bytes": 7},
        create_time=timestamp(time),
    )


# Newest first, as the registry lists them; the run, the training job and the loop of `clients` name m@1 and m@2.
VERSIONS = [
    version("fresh-gguf@1", "m@3", "export:6", datetime.now(UTC)),
    version("m-gguf@2", "m@6", "export:5"),
    version("alias-gguf@1", "m@5", "export:4"),
    version("m-gguf@1", "m@4", "export:3"),
    version("m@7", "m@1", "training_job:5"),
    version("m@6", "m@1", "training_job:4"),
    version("m@5", "m@1", "training_job:3"),
    version("m@4", "m@1", "training_job:3"),
    version("m@3", "m@1", "training_job:2"),
    version("m@2", "m@1", "training_job:1"),
    version("m@1", "", "import:1"),
    version("unused@2", "", "import:2"),
    version("unused@1", "", "import:0"),
]


def registry(deleted: list[str], needed: str = "") -> Any:
    class Registry:
        async def ListModelVersions(self, request: Any) -> Any:
            return model_pb2.ListModelVersionsResponse(model_versions=VERSIONS)

        async def ListAliases(self, request: Any) -> Any:
            alias = deployment_pb2.Alias(alias_id="a:b", model_version_id="m@1", shadow_model_version_id="alias-gguf@1")
            return deployment_pb2.ListAliasesResponse(aliases=[alias])

        async def ListDeployments(self, request: Any) -> Any:
            return deployment_pb2.ListDeploymentsResponse()

        async def DeleteModelVersion(self, request: model_pb2.DeleteModelVersionRequest) -> Any:
            if request.model_version_id == needed:
                raise FailedPrecondition("It is served.", "")
            deleted.append(request.model_version_id)

    return Registry()


@pytest.mark.parametrize("dry_run", [True, False])
async def test_what_nothing_names_goes_behind_what_is_made_of_it(dry_run: bool) -> None:
    services, deleted = clients()[0], list[str]()
    services.registry = registry(deleted)  # type: ignore[misc]
    request = CollectGarbageRequest(dry_run=dry_run)
    garbage = (await collect_versions(services, request)).garbage
    # m@4 is that of a running shipment, m@7 the newest of its model, m@3 has a form that is young.
    assert [item.name for item in garbage] == ["m-gguf@2", "m-gguf@1", "m@6"]
    assert deleted == [] if dry_run else [item.name for item in garbage]
    assert {item.reason for item in garbage[:2]} == {"a form that can be exported again, which nothing names"}
    assert sum(item.size_bytes for item in garbage) == 21


@pytest.mark.parametrize("days", [1e9, 1e300, math.inf])
async def test_of_versions_that_must_be_older_than_all_time_none_goes(days: float) -> None:
    services, deleted = clients()[0], list[str]()
    services.registry = registry(deleted)  # type: ignore[misc]
    assert not (await collect_versions(services, CollectGarbageRequest(), days=days)).garbage and not deleted


async def test_what_came_into_use_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    services, deleted = clients()[0], list[str]()
    services.registry = registry(deleted, needed="m-gguf@1")  # type: ignore[misc]
    assert LOOP in (await services.feedback.ListLoops(ListLoopsResponse())).loops
    garbage = (await collect_versions(services, CollectGarbageRequest(), days=7)).garbage
    assert [item.name for item in garbage] == deleted == ["m-gguf@2", "m@6"]
