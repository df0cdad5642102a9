import json
from pathlib import Path

import pytest

from services.chassis.artifacts import ArtifactStore
from services.chassis.database import Database
from services.chassis.settings import ServiceSettings, except_loopback, load_settings, without_proxies


class ScoutSettings(ServiceSettings, env_prefix="SCOUT_UNIT_"):
    registry_address: str = "127.0.0.1:1"


def test_settings_come_from_variables_with_the_services_prefix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SCOUT_UNIT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SCOUT_UNIT_GRPC_PORT", "5001")
    monkeypatch.setenv("SCOUT_UNIT_REGISTRY_ADDRESS", "registry:50051")
    monkeypatch.setenv("OTHER_GRPC_PORT", "9")
    settings = load_settings(ScoutSettings)
    assert (settings.grpc_port, settings.registry_address) == (5001, "registry:50051")
    assert settings.resolved_database_url("scout_unit") == f"sqlite+aiosqlite:///{tmp_path}/scout_unit/state.db"
    assert settings.resolved_artifacts_url("scout_unit") == f"file://{tmp_path}/scout_unit/artifacts"
    assert settings.resolved_artifact_sources() == (f"file://{tmp_path}/",)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_a_data_folder_may_have_any_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "données 100%41 #?"
    monkeypatch.setenv("SCOUT_UNIT_DATA_DIR", str(folder))
    settings = load_settings(ScoutSettings)
    database = Database.open(settings.resolved_database_url("scout_unit"))
    await database.ping()
    await database.close()
    owner = ArtifactStore(settings.resolved_artifacts_url("scout_unit"))
    artifact = await owner.put_bytes(b"x")
    reader = ArtifactStore(tmp_path.as_uri(), sources=settings.resolved_artifact_sources())
    assert await reader.read_bytes(artifact.uri) == b"x"
    assert names(tmp_path) == {folder.name}
    assert {"state.db", "artifacts"} <= names(folder / "scout_unit")


def test_two_webhooks_with_one_address_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = {"url": "https://hooks.example/T0KEN", "secret": "hook", "kinds": ["loop"]}
    monkeypatch.setenv("SCOUT_UNIT_WEBHOOKS", json.dumps([first, {**first, "kinds": []}]))
    with pytest.raises(SystemExit):
        load_settings(ScoutSettings)
    out = capsys.readouterr().err
    assert "SCOUT_UNIT_WEBHOOKS" in out and "the same url" in out and "T0KEN" not in out


def test_urls_that_are_set_win_over_the_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOUT_UNIT_DATABASE_URL", "postgresql+psycopg://u:pw@db/x")
    monkeypatch.setenv("SCOUT_UNIT_ARTIFACTS_URL", "s3://bucket/scout")
    settings = load_settings(ScoutSettings)
    assert settings.resolved_database_url("scout_unit") == "postgresql+psycopg://u:pw@db/x"
    assert settings.resolved_artifacts_url("scout_unit") == "s3://bucket/scout"
    assert "pw" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"), [("GRPC_PORT", "65536"), ("LOG_LEVEL", "loud"), ("LEASE_SECONDS", "0"), ("REFLECTION", "maybe")]
)
def test_a_wrong_variable_ends_the_process_with_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(f"SCOUT_UNIT_{name}", value)
    with pytest.raises(SystemExit) as caught:
        load_settings(ScoutSettings)
    assert caught.value.code == 2
    complaint = capsys.readouterr().err.splitlines()
    assert len(complaint) == 1
    assert f"SCOUT_UNIT_{name}" in complaint[0]


OFFICE = {"http_proxy": "http://proxy:8080", "ALL_PROXY": "socks5://proxy:1080", "PATH": "/bin"}


@pytest.mark.parametrize("former", [{}, {"no_proxy": ""}, {"NO_PROXY": ""}])
def test_this_machine_needs_no_proxy_and_the_world_keeps_it(former: dict[str, str]) -> None:
    environment = except_loopback(OFFICE | former)
    assert environment.items() >= OFFICE.items()
    assert environment["no_proxy"] == environment["NO_PROXY"] == "localhost,127.0.0.1,::1"


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_other_hosts_that_need_no_proxy_stay(name: str) -> None:
    environment = except_loopback(OFFICE | {name: ".example.com,10.0.0.0/8"})
    assert environment["no_proxy"] == environment["NO_PROXY"] == ".example.com,10.0.0.0/8,localhost,127.0.0.1,::1"


def test_an_environment_without_proxies_stays_as_it_is() -> None:
    assert except_loopback({"PATH": "/bin"}) == {"PATH": "/bin"}


@pytest.mark.parametrize("former", ["*", "example.com, *"])
def test_where_no_host_needs_a_proxy_none_does_afterwards(former: str) -> None:
    environment = except_loopback({"http_proxy": "http://127.0.0.1:9", "NO_PROXY": former})
    assert environment["no_proxy"] == environment["NO_PROXY"] == "*"


def test_a_process_that_asks_nothing_outside_gets_no_proxy_at_all() -> None:
    assert without_proxies(OFFICE | {"No_Proxy": "[::1", "grpc_proxy": "x", "https_proxy": ""}) == {"PATH": "/bin"}


def test_only_jobs_that_nobody_else_can_take_over_have_a_long_lease_and_a_lease_that_is_set_stays() -> None:
    assert ServiceSettings().lease_seconds_of_jobs(is_only_owner=False) == 30
    assert ServiceSettings().lease_seconds_of_jobs(is_only_owner=True) == 300
    assert ServiceSettings(lease_seconds=6).lease_seconds_of_jobs(is_only_owner=True) == 6
