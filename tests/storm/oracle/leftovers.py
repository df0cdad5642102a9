"""Judges what lies in folders and runs in the process table when all work has ended."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import ServiceError
from tests.storm.compute.training import AT_WORK
from tests.storm.oracle.judgement import Judgement
from tests.storm.stack import Stack

_LOOK_SECONDS = 0.5
# A driver whose service was killed gets its signal from the kernel; one of a frozen service is ended by the next owner.
_MOST_SECONDS_OF_TWO = 3.0
_GONE_SECONDS = 10.0
_STILL = (psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED)


def judge_folders(data_dir: Path, judgement: Judgement, *, are_shared: bool) -> None:
    """Look for what unfinished writes left behind.

    A service that is alone with its folders removes it at its start. Where replicas share them none can tell whose
    write it is, and `gc` removes it after a day: it is counted, and judged no more.
    """
    patterns = ("*/artifacts/staging/*", "registry/imports/*", "registry/exports/*", "published/.*", "scratch/*")
    # What an attempt links to is removed before the next one.
    linked = {link.resolve() for link in data_dir.glob("trainer/attempts/*/*/scratch")}
    places = [place for pattern in patterns for place in data_dir.glob(pattern) if place.resolve() not in linked]
    if are_shared:
        judgement.looked_at["unfinished writes, for gc"] += len(places)
    else:
        judgement.left += [f"{place.relative_to(data_dir)} is left of a write" for place in places]


async def judge_processes(stack: Stack, judgement: Judgement) -> None:
    """Look for processes that outlived the services, which have been stopped."""
    end = time.monotonic() + _GONE_SECONDS
    while (orphans := stack.processes()) and time.monotonic() < end:
        await asyncio.sleep(_LOOK_SECONDS)
    for process in orphans:
        with suppress(psutil.Error):
            judgement.left.append(f"the process {process.pid} runs on: {' '.join(process.cmdline())[:200]}")
            process.kill()


async def watch_artifacts(data_dir: Path, judgement: Judgement) -> None:
    """Look, until cancelled, for artifacts that can be seen before they are whole."""
    seen: set[Path] = set()
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        for path in _artifacts(data_dir) - seen:
            seen.add(path)
            uri, digest = path.as_uri(), f"sha256:{path.name}"
            try:
                await ArtifactStore(path.parents[2].as_uri()).verify(uri, digest)
            except ServiceError as error:
                # One that was deleted meanwhile was nobody's.
                if path.exists():
                    judgement.wrong.append(f"{path.relative_to(data_dir)} was visible before it was whole: {error}")


def _artifacts(data_dir: Path) -> set[Path]:
    return {path for kind in ("blobs", "trees") for path in data_dir.glob(f"*/artifacts/{kind}/*/*")}


async def watch_drivers(judgement: Judgement) -> None:
    """Look, until cancelled, for two processes that train one job at the same time."""
    since: dict[str, float] = {}
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        jobs = Counter(_trained_jobs())
        doubled = {job for job, count in jobs.items() if count > 1}
        since = {job: since.get(job, time.monotonic()) for job in doubled}
        for job, begin in since.items():
            sentence = f"two processes train {job} at once"
            if time.monotonic() - begin > _MOST_SECONDS_OF_TWO and sentence not in judgement.doubled:
                judgement.doubled.append(sentence)


def _trained_jobs() -> list[str]:
    jobs = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            command = process.cmdline()
            if "tests.storm.compute.training" in command and process.status() not in _STILL:
                places = [Path(file.path).name for file in process.open_files()]
                jobs += [name.removesuffix(AT_WORK) for name in places if name.endswith(AT_WORK)]
    return jobs
