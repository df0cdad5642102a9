"""Publications to a Hugging Face hub: a server on this machine, and the hub's own client in its process."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.chassis.errors import AlreadyExists, FailedPrecondition, InvalidArgument, PermissionDenied, ServiceError
from services.chassis.machine.hosts import HostPolicy, HostVariables
from services.chassis.machine.secrets import Secrets
from services.registry.domain.publication import Package
from services.registry.jobs.publishers.hub import HubPublisher
from tests.unit.registry.exports.hub_server import TOKEN, Hub, hub_server
from tests.unit.registry.exports.shipping_registry import PLACE
from tests.unit.registry.model_folders import write_adapter

NAME = "roo/adapter"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with hub_server() as hub:
        yield hub


def publisher(hub: Hub, token: str = TOKEN) -> HubPublisher:
    secrets = Secrets("REGISTRY_", None, {"REGISTRY_SECRET_HUB": token})
    policy = HostPolicy((), secrets, variables=HostVariables("HOSTS", "SECRET_HOSTS"))
    return HubPublisher(policy, {"HF_ENDPOINT": hub.url})


def package(folder: Path, hub_id: str = NAME, *, replaces: bool = False, is_dataset: bool = False) -> Package:
    destination = replace(PLACE, hub_id=hub_id, secret="hub", replace=replaces)
    return Package("p", "tuned@1", 1, folder, destination, is_dataset)


async def publish(publisher: HubPublisher, package: Package) -> tuple[str, list[tuple[int, int]]]:
    reports: list[tuple[int, int]] = []

    async def progress(done: int, total: int) -> None:
        reports.append((done, total))

    return await publisher.publish(package, progress), reports


async def test_a_version_is_committed_whole_once_and_replaced_only_on_request(hub: Hub, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "a")
    location, reports = await publish(publisher(hub), package(folder))
    expected = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name: hub.files[NAME][name] for name in expected} == expected
    assert (location, hub.num_commits, hub.private[NAME]) == (f"{hub.url}/{NAME}/commit/{hub.head}", 1, True)
    size = sum(map(len, expected.values()))
    assert reports[0] == (0, size) and reports[-1] == (size, size)

    again, _ = await publish(publisher(hub), package(folder))
    assert (again, hub.num_commits) == (location, 1)

    other = write_adapter(tmp_path / "b", r=4)
    (other / "more.txt").write_text("more")
    with pytest.raises(AlreadyExists, match="holds other files"):
        await publish(publisher(hub), package(other))
    (folder / "old.txt").write_text("old")
    await publish(publisher(hub), package(folder, replaces=True))
    await publish(publisher(hub), package(other, replaces=True))
    assert sorted(hub.files[NAME]) == sorted([".gitattributes", *(path.name for path in other.iterdir())])


async def test_a_dataset_is_committed_to_a_repository_of_datasets(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "a" / "data").mkdir(parents=True)
    (tmp_path / "a" / "data" / "train.jsonl").write_text("{}\n")
    for _ in range(2):
        location, _ = await publish(publisher(hub), package(tmp_path / "a", "roo/rows", is_dataset=True))
        assert location == f"{hub.url}/datasets/roo/rows/commit/{hub.head}"
    assert hub.files["datasets/roo/rows"]["data/train.jsonl"] == b"{}\n" and "roo/rows" not in hub.files


async def test_what_a_refused_commit_uploaded_stays_invisible(hub: Hub, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "a")
    hub.refuse_commit = 507
    try:
        with pytest.raises(FailedPrecondition, match="status 507: No room left"):
            await publish(publisher(hub), package(folder, "roo/full"))
    finally:
        hub.refuse_commit = 0
    assert list(hub.files["roo/full"]) == [".gitattributes"]


async def test_a_token_that_may_not_write_is_told_and_never_shown(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(PermissionDenied) as refusal:
        await publish(publisher(hub, "hf_wrong"), package(write_adapter(tmp_path / "a"), "roo/other"))
    assert "hf_wrong" not in str(refusal.value)


@pytest.mark.parametrize("hub_id", ["roo", "a/b/c", "../b", "a/b@", "a b/c"])
def test_a_text_that_names_no_repository_is_refused(hub: Hub, hub_id: str) -> None:
    with pytest.raises(InvalidArgument, match="no repository"):
        publisher(hub).check(replace(PLACE, hub_id=hub_id))


def test_a_secret_that_is_not_there_is_told_before_the_first_byte(hub: Hub) -> None:
    with pytest.raises(ServiceError, match="nobody"):
        publisher(hub).check(replace(PLACE, hub_id=NAME, secret="nobody"))
