"""Models are sent to the gateway in parts, over breaks of the line, and become artifacts that the registry reads."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from ui.cli.connection import Document, Gateway, GatewayError
from ui.cli.follow import PlainLines
from ui.models import sending
from ui.models.model_uploads import ModelUploads, UploadFile
from ui.models.sources import SourceText, read_source

CONTENT = bytes(range(256)) * 10


@pytest.fixture
def uploads(tmp_path: Path) -> ModelUploads:
    return ModelUploads(tmp_path / "uploads", ArtifactStore((tmp_path / "artifacts").as_uri()))


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for place in range(0, len(content), 100):
        yield content[place : place + 100]


async def test_what_came_in_parts_becomes_one_folder(uploads: ModelUploads, tmp_path: Path) -> None:
    digest = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    template = UploadFile("additional_chat_templates/tool_use.jinja", 0)
    upload_id = await uploads.create([UploadFile("m.gguf", len(CONTENT), digest), template])
    assert await uploads.append(upload_id, "m.gguf", 0, pieces(CONTENT[:1000])) == 1000
    with pytest.raises(FailedPrecondition, match=r"1000 bytes of m\.gguf have come, not 1500"):
        await uploads.append(upload_id, "m.gguf", 1500, pieces(CONTENT[1500:]))
    with pytest.raises(FailedPrecondition, match="1000 of 2560 bytes"):
        await uploads.finish(upload_id)
    # Another process of the gateway goes on with what the first one left.
    again = ModelUploads(tmp_path / "uploads", ArtifactStore((tmp_path / "artifacts").as_uri()))
    assert [count for _, count in await again.received(upload_id)] == [1000, 0]
    await again.append(upload_id, "m.gguf", 1000, pieces(CONTENT[1000:]))
    artifact = await again.finish(upload_id)
    (kept,) = (tmp_path / "artifacts").glob("trees/*/*/files/m.gguf")
    assert (kept.read_bytes(), artifact.size_bytes) == (CONTENT, len(CONTENT))
    with pytest.raises(NotFound):
        await again.received(upload_id)
    assert list((tmp_path / "uploads").iterdir()) == []


async def test_an_upload_reaches_an_object_store_from_where_another_service_reads_it(tmp_path: Path) -> None:
    root = f"memory:///{uuid.uuid4().hex}"
    store = ArtifactStore(root, "gateway", cache_dir=tmp_path / "cache")
    uploads = ModelUploads(tmp_path / "uploads", store)
    upload_id = await uploads.create([UploadFile("m.gguf", len(CONTENT))])
    await uploads.append(upload_id, "m.gguf", 0, pieces(CONTENT))
    artifact = await uploads.finish(upload_id)
    registry = ArtifactStore(root, "registry", sources=(f"{root}/gateway/",), cache_dir=tmp_path / "other_cache")
    assert artifact.uri.startswith(f"{root}/gateway/")
    assert (await registry.local_path(artifact.uri) / "m.gguf").read_bytes() == CONTENT


async def test_more_bytes_than_announced_or_others_are_refused(uploads: ModelUploads) -> None:
    upload_id = await uploads.create([UploadFile("m.gguf", 100, f"sha256:{'0' * 64}")])
    with pytest.raises(InvalidArgument, match="announced with 100 bytes"):
        await uploads.append(upload_id, "m.gguf", 0, pieces(CONTENT))
    with pytest.raises(NotFound):
        await uploads.append(upload_id, "other.gguf", 0, pieces(CONTENT))
    await uploads.append(upload_id, "m.gguf", 100, pieces(b""))
    with pytest.raises(FailedPrecondition, match="another digest"):
        await uploads.finish(upload_id)


@pytest.mark.parametrize("name", ["", "../m.gguf", "/m.gguf", "a/b/c", ".hidden", "a\0b", "x/../y", "a\\b"])
async def test_a_file_that_would_lie_elsewhere_is_refused(uploads: ModelUploads, name: str) -> None:
    with pytest.raises(InvalidArgument):
        await uploads.create([UploadFile(name, 1)])


async def test_an_upload_that_no_disk_holds_is_refused_with_the_figure(uploads: ModelUploads) -> None:
    with pytest.raises(ResourceExhausted, match=str(2 << 44)):
        await uploads.create([UploadFile("m.gguf", 1 << 44)])


async def test_an_upload_to_which_nothing_comes_is_removed(uploads: ModelUploads, tmp_path: Path) -> None:
    await uploads.create([UploadFile("m.gguf", 1)])
    assert [item async for item in uploads.garbage(1)] == []
    for item in [item async for item in uploads.garbage(-1)]:
        await item.remove()
    assert list((tmp_path / "uploads").iterdir()) == []


class BreakingGateway(Gateway):
    """Takes an upload, and breaks off at every second part, half of it taken."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.num_parts = 0

    def post(self, path: str, body: Document | None = None, **_query: object) -> Document:
        if body:
            self.files = {file["name"]: b"" for file in body["files"]}
        return {"upload": {"upload_id": "1"}, "artifact": {"uri": "file:///x"}}

    def send(self, path: str, content: bytes, **query: object) -> Document:
        name = path.rpartition("/")[2]
        self.num_parts += 1
        half = content[: len(content) // 2]
        if query.get("offset", 0) != len(self.files[name]):
            raise GatewayError("FAILED_PRECONDITION", "Other bytes have come.", "")
        self.files[name] += half if self.num_parts % 2 else content
        if self.num_parts % 2:
            raise GatewayError("UNAVAILABLE", "It broke off.", "")
        return {"received_bytes": len(self.files[name])}

    def get(self, path: str, **_query: object) -> Document:
        received = [{"name": name, "received_bytes": len(content)} for name, content in self.files.items()]
        return {"upload": {"files": received}}


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_PART_BYTES", 100)
    monkeypatch.setattr(sending, "_FIRST_PAUSE_SECONDS", 0.0)


def test_the_command_line_goes_on_where_a_break_left_it(
    tmp_path: Path, parts: None, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_bytes(CONTENT[:150])
    (tmp_path / "m" / "model.safetensors").write_bytes(CONTENT)
    gateway = BreakingGateway()
    assert sending.send_model(gateway, tmp_path / "m", PlainLines(sys.stdout)) == {"uri": "file:///x"}
    assert gateway.files == {"config.json": CONTENT[:150], "model.safetensors": CONTENT}


@pytest.mark.parametrize(
    ("text", "field", "value", "model_id"),
    [
        ("hf:HuggingFaceTB/SmolLM2-135M@main", "hub_id", "HuggingFaceTB/SmolLM2-135M@main", "smollm2-135m"),
        ("hf:lab/m:q/Big.Q4_K_M.gguf", "hub_id", "lab/m:q/Big.Q4_K_M.gguf", "big.q4-k-m"),
        ("https://huggingface.co/lab/M-1/tree/main", "hub_id", "lab/M-1", "m-1"),
        ("https://huggingface.co/lab/m/blob/v2/a%20b.gguf", "hub_id", "lab/m@v2:a b.gguf", "a-b"),
        ("ollama:qwen3:4b", "ollama_tag", "qwen3:4b", "qwen3-4b"),
        ("ollama:reg.example/lab/m:latest", "ollama_tag", "reg.example/lab/m:latest", "m"),
        ("oci:reg.example/lab/m@sha256:ab", "oci_reference", "reg.example/lab/m@sha256:ab", "m"),
        ("https://h.example/M-00001-of-00002.gguf?s=1", "url", "https://h.example/M-00001-of-00002.gguf?s=1", "m"),
        ("/models/Tiny.gguf", "gguf_path", "/models/Tiny.gguf", "tiny"),
        ("/models/My..Model", "folder_path", "/models/My..Model", "my.model"),
    ],
)
def test_a_source_is_what_a_person_writes(text: str, field: str, value: str, model_id: str) -> None:
    assert read_source(text) == SourceText(field, value, model_id)


def test_an_address_of_another_scheme_is_no_path() -> None:
    with pytest.raises(InvalidArgument, match="Models are not fetched by 's3'"):
        read_source("s3://bucket/model.gguf")
