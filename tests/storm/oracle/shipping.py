"""Judges what was brought out: folders that were published, and the steps of shipments."""

from __future__ import annotations

from pathlib import Path

from services.registry.jobs.exporters.card import CARD
from tests.storm.databases import Databases, Row
from tests.storm.oracle.judgement import Judgement

_STEPS = ["EXPORT", "PROMPTS", "LOG_PROBS", "SUITE", "PUBLICATION"]


def judge_publications(databases: Databases, judgement: Judgement, data_dir: Path) -> None:
    """Compare every published folder with the version that it is, and look for what is no whole one."""
    uris = databases.read("registry", "SELECT version_id, artifact_uri FROM model_versions")
    folders = {row["version_id"]: _files_of(row["artifact_uri"], data_dir) for row in uris}
    known: dict[str, Row] = {}
    for job in databases.read("registry", "SELECT job_id, state, spec, result FROM jobs WHERE kind = 'publication'"):
        place = Path(job["spec"]["destination"]["folder_path"])
        judgement.looked_at["publications"] += 1
        if job["state"] == "SUCCEEDED" and not place.is_dir():
            judgement.lost.append(f"the publication {job['job_id']} SUCCEEDED, and {place.name} is not there")
        elif place.is_dir():
            known[place.name] = job["spec"]
    for folder in sorted((data_dir / "published").iterdir()):
        if not (spec := known.get(folder.name)):
            judgement.left.append(f"{folder.name} is left of a publication")
        # A card that came with the order stands in the place of the version's own.
        elif _files(folder, spec) != _files(folders[spec["model_version_id"]], spec):
            judgement.wrong.append(f"the published folder {folder.name} is not {spec['model_version_id']}")


def _files(folder: Path, spec: Row) -> dict[str, bytes]:
    left_out = CARD if spec.get("card") else ""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != left_out}


def judge_shipments(databases: Databases, judgement: Judgement) -> None:
    """Check that each step of a shipment was passed once, and that the form is where it says."""
    for job in databases.read("feedback", "SELECT job_id, state, spec, saved FROM jobs WHERE kind = 'shipment'"):
        if job["state"] != "SUCCEEDED":
            continue
        steps = [result["step"] for result in job["saved"]["results"] if result["passed"]]
        judgement.looked_at["shipment steps"] += len(steps)
        if steps != _STEPS:
            judgement.wrong.append(f"the shipment {job['job_id']} passed {steps}")
        if not _is_published(job):
            judgement.lost.append(f"the shipment {job['job_id']} SUCCEEDED, and is not at {job['saved']['locations']}")


def _is_published(job: Row) -> bool:
    locations = job["saved"]["locations"]
    return len(locations) == len(job["spec"]["spec"]["destinations"]) and all(Path(each).is_dir() for each in locations)


def _files_of(uri: str, data_dir: Path) -> Path:
    root = data_dir / "registry" / "artifacts"
    return root / uri.removeprefix(f"{root.as_uri()}/") / "files"
