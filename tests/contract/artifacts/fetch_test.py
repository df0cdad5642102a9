"""The program by which a pod that serves a version fetches what it serves from the object store."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from services.chassis.artifacts import ArtifactStore
from services.registry.deployers.fetch import fetch


async def test_a_pod_fetches_the_folders_that_it_serves_each_under_its_number(s3_root: str, tmp_path: Path) -> None:
    registry = ArtifactStore(f"{s3_root}/registry", cache_dir=tmp_path / "cache")
    uris = []
    for name in ("base", "adapter"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.gguf").write_text(f"The {name}.")
        uris.append((await registry.put_tree(folder)).uri)
    models = tmp_path / "models"
    program = (sys.executable, "-m", "services.registry.deployers.fetch", str(models), *uris)
    process = await asyncio.create_subprocess_exec(*program, stderr=asyncio.subprocess.PIPE)
    _, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    assert [(models / str(place) / "model.gguf").read_text() for place in (0, 1)] == ["The base.", "The adapter."]
    # The volume is mounted at another place in the container that serves.
    moved = models.rename(tmp_path / "moved")
    assert (moved / "1" / "model.gguf").read_text() == "The adapter."
    # A pod that is started again finds it there.
    (moved / "0" / "model.gguf").resolve().write_text("Not that.")
    await fetch(moved, uris)
    assert (moved / "0" / "model.gguf").read_text() == "The base."
