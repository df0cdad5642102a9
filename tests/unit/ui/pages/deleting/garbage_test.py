"""`drillyard gc` and its route: all services, what would go by kind with its size, and the logs of `drillyard up`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from drillyard.registry.v1.deployment_pb2 import ListDeploymentsResponse
from drillyard.storage.v1 import storage_service_pb2 as pb

from services.chassis.errors import Unavailable
from services.chassis.machine.garbage import GarbageCollector
from ui.cli.gc import print_garbage
from ui.cli.processes import rotate
from ui.gateway.clients import Clients
from ui.gateway.storage.actions import collect_garbage, read_storage
from ui.gateway.storage.section import storage_sections


def storage(*garbage: pb.Garbage, away: bool = False) -> Any:
    async def answer(request: pb.CollectGarbageRequest, **options: float) -> pb.CollectGarbageResponse:
        assert request.dry_run and options["timeout"] >= 60
        if away:
            raise Unavailable("Nobody answers.", "Start it.")
        return pb.CollectGarbageResponse(garbage=garbage)

    return SimpleNamespace(CollectGarbage=answer)


EVENTS = pb.Garbage(service="registry", kind="event", name="9 of 2 jobs", size_bytes=90, reason="old")
CHECKPOINT = pb.Garbage(service="trainer", kind="checkpoint", name="train-1", size_bytes=2_000_000, reason="old")


async def test_every_service_is_asked_and_one_that_is_away_is_named() -> None:
    own, request = GarbageCollector("gateway", 0), pb.CollectGarbageRequest(dry_run=True)
    services = {"registry": storage(EVENTS), "trainer": storage(CHECKPOINT)}
    clients = cast(Clients, SimpleNamespace(storage=services))
    assert list((await collect_garbage(clients, request, own)).garbage) == [EVENTS, CHECKPOINT]
    services["trainer"] = storage(away=True)
    with pytest.raises(Unavailable, match="trainer did not do its part: Nobody answers"):
        await collect_garbage(clients, request, own)


async def test_the_page_settings_shows_what_is_kept_and_what_would_go_before_it_goes() -> None:
    async def get(request: pb.GetStorageRequest, **options: float) -> pb.GetStorageResponse:
        setting = pb.OperatorSetting(variable="REGISTRY_SOURCE_HOSTS", value='["hub.example"]', is_set=True)
        kept = pb.ServiceStorage(service="registry", kinds=[pb.StoredKind(kind="artifacts", size_bytes=5_000_000)])
        kept.settings.append(setting)
        kept.secrets.append("hub-token")
        return pb.GetStorageResponse(services=[kept])

    async def away(request: pb.GetStorageRequest, **options: float) -> pb.GetStorageResponse:
        raise Unavailable("Nobody answers.", "Start it.")

    async def list_deployments(request: Any) -> ListDeploymentsResponse:
        return ListDeploymentsResponse()

    services = {"registry": storage(CHECKPOINT, CHECKPOINT), "trainer": storage(away=True)}
    services["registry"].GetStorage, services["trainer"].GetStorage = get, away
    registry = SimpleNamespace(ListDeployments=list_deployments)
    clients = cast(Clients, SimpleNamespace(storage=services, registry=registry))
    request: Any = GarbageCollector("gateway", 0)
    html = await storage_sections(clients, request, "")
    assert "5.00 MB" in html and "hub-token" in html and "REGISTRY_SOURCE_HOSTS" in html and "Remove it" not in html
    assert "trainer did not do its part" in await storage_sections(clients, request, "look-for-garbage")
    del services["trainer"]
    html = await storage_sections(clients, request, "look-for-garbage")
    assert "4.00 MB would be free." in html and "Remove it" in html


@pytest.mark.parametrize("silent", ["trainer", "gateway", ""])
async def test_the_page_settings_says_who_does_not_say_which_keys_it_has(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get(request: pb.GetStorageRequest, **options: float) -> pb.GetStorageResponse:
        if silent == "trainer":
            raise Unavailable("Nobody answers.", "Start it.")
        return pb.GetStorageResponse(services=[pb.ServiceStorage(service="trainer")])

    async def list_deployments(request: Any) -> ListDeploymentsResponse:
        return ListDeploymentsResponse()

    async def places(self: GarbageCollector) -> list[pb.ServiceStorage]:
        if silent == "gateway":
            raise PermissionError("Its folder cannot be read.")
        return [pb.ServiceStorage(service="gateway")]

    monkeypatch.setattr(GarbageCollector, "places", places)
    registry = SimpleNamespace(ListDeployments=list_deployments)
    clients = cast(Clients, SimpleNamespace(storage={"trainer": SimpleNamespace(GetStorage=get)}, registry=registry))
    own = GarbageCollector("gateway", 0)
    html = await storage_sections(clients, own, "")
    assert ("No key is stored for any service." in html) is not bool(silent)
    assert (f"The service {silent} does not say which keys it has" in html) is bool(silent)
    told = {one.service for one in (await read_storage(clients, pb.GetStorageRequest(), own)).services}
    assert told == {"gateway", "trainer"} - {silent}


def test_the_table_sums_by_what_goes(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"service": "trainer", "kind": "checkpoint", "name": "a", "size_bytes": "2000000", "reason": "old"}
    print_garbage([document, document], dry_run=True)
    assert "4.00 MB would be free" in (output := capsys.readouterr().out)
    assert [word for word in output.splitlines()[1].split() if word] == [
        "trainer",
        "checkpoint",
        "2",
        "4.00",
        "MB",
        "old",
    ]
    print_garbage([], dry_run=False)
    assert "nothing to remove" in capsys.readouterr().out


def test_a_log_that_is_too_long_is_kept_once_and_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    with path.open("ab", buffering=0) as log:
        for text in (b"first", b"second"):
            log.write(text)
            rotate(path, len(text))
            assert path.read_bytes() == text, "not yet too long"
            log.write(b".")
            rotate(path, len(text))
            assert path.read_bytes() == b""
            assert path.with_name("trainer.log.1").read_bytes() == text + b"."
