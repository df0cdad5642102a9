"""What goes through a server of S3's protocol: uploads in parts, a version that is adopted, a pod's checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
from drillyard.registry.v1 import model_pb2
from drillyard.registry.v1.artifact_pb2 import Artifact
from drillyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub

from services.chassis.artifacts import ArtifactStore
from services.chassis.channel import open_channel
from services.chassis.errors import FailedPrecondition
from services.trainer.domain.plan import AttemptPlan
from services.trainer.manifest import ADAPTER, OPTIMIZER, POSITION, place_for, write_manifest
from services.trainer.training.processes.artifacts import fetched, stored
from tests.integration.processes import ServiceProcess, start_service
from tests.unit.registry.model_folders import NUM_PARAMETERS, write_model
from tests.unit.trainer.job_bench import SPEC

# The driver sends larger ones in parts of 50 MiB.
PARTED_BYTES = 101 * 1024**2


async def test_a_large_file_goes_up_in_parts_and_comes_back_with_its_digest(s3_root: str, tmp_path: Path) -> None:
    source = tmp_path / "weights"
    with source.open("wb") as stream:
        stream.truncate(PARTED_BYTES)
        stream.seek(PARTED_BYTES - 5)
        stream.write(b"ended")
    store = ArtifactStore(s3_root, "trainer", cache_dir=tmp_path / "cache")
    artifact = await store.put_file(source)
    fs, path = fsspec.core.url_to_fs(artifact.uri)
    # S3 names a file that came in parts by a digest of theirs and their count.
    assert fs.info(path)["ETag"].strip('"').endswith(("-2", "-3"))
    with (await store.local_path(artifact.uri)).open("rb") as stream:
        stream.seek(-5, 2)
        assert stream.read() == b"ended"


@pytest.fixture
def registry(s3_root: str, tmp_path: Path) -> Iterator[ServiceProcess]:
    sources = f'["{s3_root}/trainer/"]'
    with start_service("registry", tmp_path, artifacts_url=f"{s3_root}/registry", artifact_sources=sources) as process:
        yield process


async def test_a_version_is_adopted_from_another_services_place_and_damage_is_refused(
    registry: ServiceProcess, s3_root: str, tmp_path: Path
) -> None:
    trainer = ArtifactStore(s3_root, "trainer", cache_dir=tmp_path / "cache")
    theirs = await trainer.put_tree(write_model(tmp_path / "model"))
    fs, path = fsspec.core.url_to_fs(theirs.uri)
    fs.pipe_file(f"{path}/files/config.json", b"{}")
    request = model_pb2.CreateModelVersionRequest(
        request_id="job/result",
        model_id="kept",
        kind=model_pb2.MODEL_VERSION_KIND_BASE,
        artifact=Artifact(uri=theirs.uri, digest=theirs.digest, size_bytes=theirs.size_bytes),
        produced_by="training_job:1",
    )
    channel = open_channel(registry.address)
    try:
        stub = RegistryServiceStub(channel)
        with pytest.raises(FailedPrecondition, match="digest"):
            await stub.CreateModelVersion(request)
        assert await trainer.put_tree(tmp_path / "model") == theirs
        version = (await stub.CreateModelVersion(request)).model_version
        assert version.artifact.uri.startswith(f"{s3_root}/registry/") and version.num_parameters == NUM_PARAMETERS
    finally:
        await channel.close()


def test_a_checkpoint_goes_from_one_pod_to_the_next(s3_root: str, tmp_path: Path) -> None:
    url = f"{s3_root}/trainer"
    base = asyncio.run(ArtifactStore(url, cache_dir=tmp_path / "cache").put_tree(write_model(tmp_path / "model")))
    plan = AttemptPlan("job-1", 1, 1, "", "digest", SPEC, base.uri, "", "", "", "", "", 1, artifacts_url=url)
    first = replace(plan, checkpoint_folder=str(tmp_path / "1/checkpoints"), scratch_folder=str(tmp_path / "1"))
    folder = place_for(tmp_path / "1/checkpoints", 30, 1)
    (folder / ADAPTER).mkdir(parents=True)
    for name in (f"{ADAPTER}/adapter_model.safetensors", OPTIMIZER, POSITION):
        (folder / name).write_text(name)
    checkpoint = stored(first, write_manifest(folder, step=30, attempt=1, config_digest="digest"))
    assert checkpoint.uri.startswith(f"{url}/trees/")
    second = replace(plan, attempt=2, resume_from=checkpoint.uri, scratch_folder=str(tmp_path / "2"))
    here = fetched(second)
    assert (Path(here.resume_from) / OPTIMIZER).read_text() == OPTIMIZER
    assert (Path(here.base_folder) / "config.json").is_file()


async def test_a_bucket_that_is_not_there_is_told_by_name(s3_root: str, tmp_path: Path) -> None:
    store = ArtifactStore(f"{s3_root}-other", cache_dir=tmp_path / "cache")
    with pytest.raises(FailedPrecondition, match=r"bucket-\w+-other is not there. Make its bucket"):
        await store.put_bytes(b"x")
