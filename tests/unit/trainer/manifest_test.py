"""Checkpoints are whole or not there, and never trusted unseen."""

from __future__ import annotations

import errno
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from services.chassis.errors import ResourceExhausted
from services.trainer import manifest
from services.trainer.manifest import (
    MANIFEST,
    QUARANTINED,
    BadCheckpointError,
    LocalCheckpoints,
    newest_verified,
    place_for,
    places,
    prune,
    verify,
    write_manifest,
)
from tests.integration.processes import ROOT

CONFIG = "sha256:config"

# Saves one checkpoint after another, and kills itself at the nth thing it asks of the filesystem.
KILLED_SAVER = """
import os, signal, sys
from pathlib import Path
from services.trainer.manifest import place_for, prune, write_manifest
parent, fatal = Path(sys.argv[1]), int(sys.argv[2])
seen = 0
def count(event, arguments):
    global seen
    if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.scandir"):
        seen += 1
        if seen == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
for step in (20, 30):
    folder = place_for(parent, step, 1)
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "weights").write_bytes(bytes([step]) * 1000)
    (folder / "position.json").write_text(str(step))
    write_manifest(folder, step=step, attempt=1, config_digest="sha256:config")
    prune(parent, keep=1)
print("saved", seen)
"""


def save(parent: Path, step: int, attempt: int = 1) -> Path:
    folder = place_for(parent, step, attempt)
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "weights").write_bytes(bytes([step]) * 1000)
    (folder / "position.json").write_text(json.dumps({"step": step}))
    write_manifest(folder, step=step, attempt=attempt, config_digest=CONFIG)
    return folder


def flip_a_byte(folder: Path) -> None:
    path = folder / "adapter" / "weights"
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)


def replace_by_link(folder: Path) -> None:
    path = folder / "adapter" / "weights"
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")


def rewrite_manifest(folder: Path, **changes: object) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(content | changes))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a flipped byte": flip_a_byte,
    "a cut file": lambda folder: (folder / "adapter" / "weights").write_bytes(b"x"),
    "an emptied file": lambda folder: (folder / "position.json").write_bytes(b""),
    "a missing file": lambda folder: (folder / "position.json").unlink(),
    "one file too many": lambda folder: (folder / "adapter" / "more").write_bytes(b"x"),
    "a link": replace_by_link,
    "a cut manifest": lambda folder: (folder / MANIFEST).write_bytes(b'{"format": 1, "st'),
    "an empty manifest": lambda folder: (folder / MANIFEST).write_bytes(b""),
    "a manifest of another kind": lambda folder: (folder / MANIFEST).write_text("[]"),
    "an unknown format": lambda folder: rewrite_manifest(folder, format=2),
    "another configuration": lambda folder: rewrite_manifest(folder, config_digest="sha256:other"),
    "a path in the manifest": lambda folder: rewrite_manifest(
        folder, files={"../../escape": {"sha256": "0", "size_bytes": 1}}
    ),
}


def test_a_saved_checkpoint_verifies_and_says_what_it_is(tmp_path: Path) -> None:
    found = verify(save(tmp_path, 10), CONFIG)
    assert (found.step, found.attempt, found.size_bytes) == (10, 1, 1012)
    assert found.digest.startswith("sha256:") and found.uri == place_for(tmp_path, 10, 1).as_uri()


def test_the_newest_step_wins_and_then_the_newest_attempt(tmp_path: Path) -> None:
    for step, attempt in ((9, 1), (10, 1), (10, 2), (100, 1), (11, 3)):
        save(tmp_path, step, attempt)
    found, sentences = newest_verified(tmp_path, CONFIG)
    assert found is not None and (found.step, found.attempt, sentences) == (100, 1, [])
    prune(tmp_path, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000100-attempt-001"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_used(tmp_path: Path, damage: str) -> None:
    save(tmp_path, 10)
    newest = save(tmp_path, 20)
    DAMAGES[damage](newest)
    with pytest.raises(BadCheckpointError):
        verify(newest, CONFIG)
    found, sentences = newest_verified(tmp_path, CONFIG)
    assert found is not None and found.step == 10
    assert len(sentences) == 1 and "step 20 was set aside" in sentences[0]
    assert newest.with_name(newest.name + QUARANTINED).is_dir() and not newest.exists()
    assert newest_verified(tmp_path, CONFIG) == (found, [])


def test_a_folder_without_a_manifest_is_removed(tmp_path: Path) -> None:
    save(tmp_path, 10)
    (save(tmp_path, 20) / MANIFEST).unlink()
    found, sentences = newest_verified(tmp_path, CONFIG)
    assert found is not None and found.step == 10 and sentences == []
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000010-attempt-001"]


def test_a_checkpoint_that_is_removed_during_the_look_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 10)
    newest, digest = save(tmp_path, 20), manifest._hex_digest

    def digest_of(path: Path) -> str:
        if path.is_relative_to(newest):
            shutil.rmtree(newest)
        return digest(path)

    monkeypatch.setattr(manifest, "_hex_digest", digest_of)
    found, sentences = newest_verified(tmp_path, CONFIG)
    assert found is not None and (found.step, sentences) == (10, [])


def test_there_may_be_no_checkpoint_at_all(tmp_path: Path) -> None:
    assert newest_verified(tmp_path / "none", CONFIG) == (None, [])


@pytest.mark.parametrize("keep", [-1, 0, 1])
def test_the_last_checkpoint_and_the_best_are_never_pruned(tmp_path: Path, keep: int) -> None:
    for step in (10, 20, 30):
        save(tmp_path, step)
    prune(tmp_path, keep=keep, best=10)
    assert [place.step for place in places(tmp_path)] == [30, 10]
    assert newest_verified(tmp_path, CONFIG)[0] == verify(place_for(tmp_path, 30, 1), CONFIG)


def run_saver(parent: Path, fatal: int) -> subprocess.CompletedProcess[str]:
    save(parent, 10)
    command = [sys.executable, "-c", KILLED_SAVER, str(parent), str(fatal)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_saver_killed_anywhere_leaves_a_checkpoint_that_verifies(tmp_path: Path) -> None:
    num_points = int(run_saver(tmp_path / "whole", 0).stdout.removeprefix("saved "))
    assert num_points > 30
    found_steps = set()
    for fatal in range(1, num_points + 1, num_points // 14):
        parent = tmp_path / str(fatal)
        assert run_saver(parent, fatal).returncode == -signal.SIGKILL
        whole = [int(path.parent.name[5:13]) for path in parent.glob(f"*/{MANIFEST}")]
        found, sentences = newest_verified(parent, CONFIG)
        assert sentences == [], f"killed at {fatal}: a folder had a manifest and did not verify"
        assert found is not None and found.step == max(whole)
        found_steps.add(found.step)
    assert found_steps == {10, 20, 30}


async def test_a_disk_without_room_for_what_is_brought_back_is_an_outage_and_a_repeat_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save(tmp_path / "elsewhere", 10)
    folders = LocalCheckpoints(tmp_path / "here")

    def full(_source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    with monkeypatch.context() as patch, pytest.raises(ResourceExhausted):
        patch.setattr("services.trainer.manifest.link_or_copy", full)
        await folders.restore("a", source, CONFIG)
    assert (await folders.restore("a", source, CONFIG)).step == 10
