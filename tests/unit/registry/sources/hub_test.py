"""Models of a Hugging Face hub, which `huggingface_hub` asks."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from services.chassis.errors import FailedPrecondition, InvalidArgument, PermissionDenied, ResourceExhausted
from services.chassis.machine.hosts import HostPolicy, HostVariables
from services.chassis.machine.secrets import Secrets
from services.registry.domain.model_import import FetchedModel, ImportSource, SourceKind
from services.registry.downloads.download import Downloader
from services.registry.importers.sources.hub import HubId, HubSource
from services.registry.importers.sources.hub_files import HubFile, choose
from services.registry.importers.sources.hub_listing import listed
from tests.unit.registry.model_folders import write_model
from tests.unit.registry.sources.downloads_test import LIMITS, ignore
from tests.unit.registry.sources.hub import COMMIT, TOKEN, Hub, serving_hub
from tests.unit.registry.sources.imports import fetch_place


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with serving_hub() as hub:
        folder = write_model(tmp_path / "source")
        (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
        (folder / "modeling_own.py").write_text("import os")
        hub.add("lab/tiny", folder)
        yield hub


def hub_source(environment: Mapping[str, str], hosts: tuple[str, ...] = ()) -> HubSource:
    secrets = Secrets("REGISTRY_", None, {"REGISTRY_SECRET_HF": TOKEN})
    policy = HostPolicy(hosts, secrets, variables=HostVariables("REGISTRY_SOURCE_HOSTS", "REGISTRY_SECRET_HOSTS"))
    return HubSource(policy, Downloader(policy, LIMITS), environment)


def source(value: str, secret: str = "") -> ImportSource:
    return ImportSource(SourceKind.HUB_ID, value, secret)


async def fetch(hub: Hub, folder: Path, value: str, secret: str = "") -> FetchedModel:
    place = fetch_place(folder, ignore)
    return await hub_source({"HF_ENDPOINT": hub.url}).fetch(source(value, secret), place)


async def test_a_snapshot_is_pinned_to_its_commit_and_holds_no_code(hub: Hub, tmp_path: Path) -> None:
    hub.gated.add("lab/tiny")
    fetched = await fetch(hub, tmp_path / "fetched", "lab/tiny@main", "hf")
    assert (fetched.path, fetched.uri) == (tmp_path / "fetched", f"hf://lab/tiny@{COMMIT}")
    names = {path.name for path in fetched.path.iterdir()}
    assert names == {"config.json", "tokenizer.json", "tokenizer_config.json", "README.md", "model.safetensors"}
    assert all((fetched.path / name).read_bytes() == hub.repositories["lab/tiny"][name] for name in names)
    assert fetched.notes == ("Left aside on the hub, since it can run code when it is loaded: pytorch_model.bin.",)
    # The token is the hub's, not that of the host to which it sends for weights.
    assert all("authorization" not in asked.headers for asked in hub.other_host.requests)


async def test_the_cache_is_asked_in_place_of_the_hub_when_it_is_offline(hub: Hub, tmp_path: Path) -> None:
    place = fetch_place(tmp_path / "fetched", ignore)
    environment = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    with pytest.raises(InvalidArgument, match="HF_HUB_OFFLINE"):
        await hub_source(environment).fetch(source("lab/tiny"), place)
    cached = tmp_path / "home" / "hub" / "models--lab--tiny"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(COMMIT)
    write_model(cached / "snapshots" / COMMIT)
    fetched = await hub_source(environment).fetch(source("lab/tiny"), place)
    assert (fetched.path, fetched.uri) == (cached / "snapshots" / COMMIT, f"hf://lab/tiny@{COMMIT}")
    assert not hub.server.requests


@pytest.mark.parametrize(
    ("repository", "revision", "token", "words"),
    [
        ("lab/none", "", "", ("has no repository lab/none, or it is private", "name the secret")),
        ("lab/none", "", TOKEN, ("has no repository lab/none, or it is private", "token's account")),
        ("lab/tiny", "v9", "", ("no revision 'v9'", "/lab/tiny")),
        ("lab/gated", "", "", ("is gated", "Accept its terms")),
        ("lab/gated", "", "hf_other", ("is gated", "Ask for access")),
        ("lab/a--b", "", "", ("no name of a repository", "owner/name")),
    ],
)
async def test_what_a_hub_does_not_give_is_explained_with_what_to_do(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, repository: str, revision: str, token: str, words: tuple[str, str]
) -> None:
    monkeypatch.setenv("HF_TOKEN_PATH", "/dev/null")
    monkeypatch.setenv("HF_TOKEN", token)
    hub.repositories["lab/gated"] = {}
    hub.gated.add("lab/gated")
    answer = await asyncio.to_thread(listed, repository, revision, hub.url)
    assert words[0] in answer["problem"] and words[1] in answer["next_step"]


async def test_a_hub_that_does_not_answer_is_away() -> None:
    answer = await asyncio.to_thread(listed, "lab/tiny", "", "http://127.0.0.1:9")
    assert "does not answer" in answer["away"]


async def test_all_that_will_be_fetched_is_measured_before_the_first_byte(hub: Hub, tmp_path: Path) -> None:
    sizes: list[int] = []

    def refuse(size_bytes: int, _written: int) -> None:
        sizes.append(size_bytes)
        raise ResourceExhausted("Full.")

    with pytest.raises(ResourceExhausted):
        await hub_source({"HF_ENDPOINT": hub.url}).fetch(
            source("lab/tiny"), fetch_place(tmp_path / "fetched", ignore, refuse)
        )
    left = ("pytorch_model.bin", "modeling_own.py")
    assert sizes == [sum(len(content) for name, content in hub.repositories["lab/tiny"].items() if name not in left)]
    assert not [asked for asked in hub.server.requests if "/resolve/" in asked.path]


async def test_the_licence_of_a_gguf_is_that_of_its_card(hub: Hub, tmp_path: Path) -> None:
    card = b"---\nlicense: cc-by-nc-nd-4.0\n---\n# A model\n"
    hub.repositories["lab/gguf"] = {"q4/m.gguf": b"GGUF", "README.md": card}
    fetched = await fetch(hub, tmp_path / "fetched", "lab/gguf")
    assert (fetched.path, fetched.licence) == (tmp_path / "fetched" / "q4" / "m.gguf", "cc-by-nc-nd-4.0")
    assert any("forbids derivatives" in note for note in fetched.notes)


def files(*names: str) -> list[HubFile]:
    return [HubFile(name, 1, "", "") for name in names]


INDEX = "model.safetensors.index.json"
FROM_ZERO = ("model-00000-of-00002.safetensors", "model-00001-of-00002.safetensors")
SPLIT = tuple(f"q4/m-0000{number}-of-00003.gguf" for number in (1, 2, 3))


@pytest.mark.parametrize(
    ("names", "file", "taken", "model"),
    [
        (("m.gguf", "README.md"), "", ("m.gguf", "README.md"), "m.gguf"),
        (("a.gguf", "b.gguf"), "b.gguf", ("b.gguf",), "b.gguf"),
        (SPLIT, "", SPLIT, SPLIT[0]),
        ((*SPLIT, "b.gguf"), SPLIT[1], SPLIT, SPLIT[0]),
        (
            ("config.json", "model.safetensors", "model.safetensors.bak", "a.gguf", "x/model.safetensors", "run.py"),
            "",
            ("config.json", "model.safetensors"),
            "",
        ),
        (
            ("adapter_config.json", "adapter_model.safetensors", "drillyard.json", "README.md", "optimizer.pt"),
            "",
            ("README.md", "adapter_config.json", "adapter_model.safetensors", "drillyard.json"),
            "",
        ),
        (
            ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"),
            "",
            ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"),
            "",
        ),
        # Some tools count from 0.
        ((*FROM_ZERO, INDEX), "", (*FROM_ZERO, INDEX), ""),
    ],
)
def test_of_a_repository_one_model_is_taken(
    names: tuple[str, ...], file: str, taken: tuple[str, ...], model: str
) -> None:
    choice = choose(files(*names), "lab/m", file)
    assert (tuple(each.name for each in choice.files), choice.model) == (taken, model)


@pytest.mark.parametrize(
    ("names", "file", "words"),
    [
        (("a.gguf", "b.gguf", *SPLIT), "", "3 GGUF models: a.gguf, b.gguf, q4/m-00001-of-00003.gguf"),
        (("a.gguf",), "c.gguf", "Choose of these: a.gguf"),
        (("a.gguf", "model.safetensors"), "model.safetensors", "no GGUF file 'model.safetensors'"),
        (SPLIT[1:], "", "missing: q4/m-00001-of-00003.gguf"),
        (("config.json", "pytorch_model.bin"), "", "can run code when it is loaded: pytorch_model.bin"),
        (FROM_ZERO[1:], "", "some are missing: model.safetensors.index.json, model-00002-of-00002.safetensors"),
        ((FROM_ZERO[0], INDEX), "", "some are missing: model-00001-of-00002.safetensors"),
        (("README.md",), "", "neither safetensors nor a GGUF file"),
    ],
)
def test_what_cannot_be_taken_is_named(names: tuple[str, ...], file: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        choose(files(*names), "lab/m", file)


@pytest.mark.parametrize(
    ("value", "repository", "revision", "file"),
    [
        ("lab/m", "lab/m", "", ""),
        ("lab/m@refs/pr/3", "lab/m", "refs/pr/3", ""),
        ("lab/m:q4/a b.gguf", "lab/m", "", "q4/a b.gguf"),
        ("Lab-1/m.v2@0123abc:x.gguf", "Lab-1/m.v2", "0123abc", "x.gguf"),
    ],
)
def test_a_model_of_a_hub_is_written_as_owner_name_revision_and_file(
    value: str, repository: str, revision: str, file: str
) -> None:
    assert HubId.of(value) == HubId(repository, revision, file)


@pytest.mark.parametrize("value", ["", "m", "a/b/c", "lab/../m", "lab/m@", "lab/m:../x.gguf", "lab/m@a b", "-x/m\n"])
def test_another_writing_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgument, match="owner/name"):
        HubId.of(value)


def test_hosts_and_secrets_are_checked_when_an_import_is_asked_for() -> None:
    hub_source({"HF_ENDPOINT": "https://hub.example"}).check(source("lab/m", "hf"))
    with pytest.raises(PermissionDenied, match="REGISTRY_SOURCE_HOSTS"):
        hub_source({}, ("hub.example",)).check(source("lab/m"))
    with pytest.raises(FailedPrecondition, match="REGISTRY_SECRET_NONE"):
        hub_source({}).check(source("lab/m", "none"))
