"""Judges what was made of files: the items of feedback imports, and the rows of dataset imports and builds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from tests.storm.asking.requests import NUM_IMPORTED_ROWS, NUM_ITEMS
from tests.storm.databases import Databases
from tests.storm.ledger import Entry
from tests.storm.oracle.judgement import Judgement


def judge_feedback_imports(acknowledged: Mapping[str, Entry], databases: Databases, judgement: Judgement) -> None:
    """Check that each line of an imported file is an item, once and whole; they bear the request's id as author."""
    items = """
        SELECT author, COUNT(*) AS num_items, COUNT(document) AS num_contents FROM feedback_items
        LEFT JOIN feedback_contents USING (feedback_item_id) GROUP BY author
    """
    found = {row["author"]: row for row in databases.read("feedback", items)}
    query = "SELECT job_id, state, saved FROM jobs WHERE kind = 'feedback_import'"
    for job in databases.read("feedback", query):
        request_id = acknowledged[job["job_id"]].request_id if job["job_id"] in acknowledged else ""
        row = found.get(request_id, {"num_items": 0, "num_contents": 0})
        judgement.looked_at["feedback items"] += row["num_items"]
        if row["num_items"] > NUM_ITEMS:
            judgement.doubled.append(f"the import {request_id} made {row['num_items']} items of {NUM_ITEMS} lines")
        if job["state"] == "SUCCEEDED" and min(row["num_items"], row["num_contents"]) < NUM_ITEMS:
            judgement.lost.append(f"the import {request_id} made {row} of {NUM_ITEMS} lines")
        if job["state"] == "SUCCEEDED" and job["saved"]["num_new"] != NUM_ITEMS:
            judgement.wrong.append(f"the import {request_id} says that {job['saved']['num_new']} items were new")


def judge_builds(
    acknowledged: Mapping[str, Entry],
    references: Mapping[tuple[str, str], str],
    databases: Databases,
    judgement: Judgement,
) -> None:
    """Compare each dataset that was imported or built with that of the undisturbed job of its shape."""
    query = "SELECT version_id, artifact_digest, num_train_examples FROM dataset_versions"
    versions = {row["version_id"]: row for row in databases.read("registry", query)}
    of_items = databases.read("feedback", "SELECT dataset_version_id, feedback_item_id FROM feedback_uses")
    uses = Counter(row["dataset_version_id"] for row in of_items)
    for service, kind in (("registry", "dataset_import"), ("feedback", "dataset_build")):
        jobs = databases.read(service, f"SELECT job_id, result FROM jobs WHERE kind = '{kind}' AND state = 'SUCCEEDED'")
        made = {job["job_id"]: job["result"]["dataset_version_id"] for job in jobs}
        for job_id, version_id in made.items():
            entry, version = acknowledged.get(job_id), versions.get(version_id)
            if entry is None or version is None:
                judgement.lost.append(f"the {kind} {job_id} SUCCEEDED, and {version_id} is not there")
                continue
            judgement.looked_at["dataset rows"] += version["num_train_examples"]
            if version["artifact_digest"] != versions[made[references[kind, entry.shape]]]["artifact_digest"]:
                judgement.wrong.append(f"the {kind} {job_id} made other rows than the undisturbed one: {version_id}")
            if kind == "dataset_import" and version["num_train_examples"] != NUM_IMPORTED_ROWS:
                judgement.lost.append(f"{version_id} has {version['num_train_examples']} rows of {NUM_IMPORTED_ROWS}")
            if entry.shape == "items" and uses[version_id] != version["num_train_examples"]:
                judgement.lost.append(f"{version_id} has rows of {uses[version_id]} items by what is noted of them")
