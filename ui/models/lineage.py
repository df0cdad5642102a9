"""Where a version came from and what was made of it, as a graph with what each version learned and how well it does."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from drillyard.evaluator.v1.evaluation_pb2 import Evaluation, ListEvaluationsRequest
from drillyard.job.v1.job_pb2 import JOB_STATE_SUCCEEDED
from drillyard.registry.v1.model_pb2 import (
    GetModelVersionRequest,
    ListModelVersionsRequest,
    ModelVersion,
    ModelVersionKind,
)
from drillyard.trainer.v1.training_job_pb2 import ListTrainingJobsRequest, TrainingJob

from services.chassis.errors import ServiceError
from ui.gateway.clients import Clients, every
from ui.shared.documents import Document, document
from ui.shared.words import kind_text

_TRAINED = "training_job:"
_MOST_NODES = 60
_NUM_EVALUATIONS = 500
# Of the drawing, in its own units.
NODE_SIZE = _WIDTH, _HEIGHT = 210, 78
_GAP, _ROW, _MARGIN = 46, 94, 4


@dataclass(frozen=True)
class Node:
    """A version in its place: `column` counts from the oldest ancestor, no two versions share a place."""

    version: ModelVersion
    made_from: str
    column: int
    row: int
    training_job: TrainingJob | None
    evaluations: tuple[Evaluation, ...]

    @property
    def kind(self) -> str:
        """What its bytes are, in words."""
        return kind_text(ModelVersionKind.Name(self.version.kind))

    @property
    def x(self) -> int:
        """Its left side in the drawing."""
        return _MARGIN + self.column * (_WIDTH + _GAP)

    @property
    def y(self) -> int:
        """Its upper side in the drawing."""
        return _MARGIN + self.row * _ROW


@dataclass(frozen=True)
class Lineage:
    """The ancestors of a version, itself, and all that was made of it, parents before children.

    Attributes:
        num_hidden: Versions of a very large family that are left out.
    """

    model_version_id: str
    nodes: tuple[Node, ...]
    num_hidden: int

    @property
    def edges(self) -> list[tuple[Node, Node]]:
        """Each version but the first with what it was made from."""
        by_name = {node.version.model_version_id: node for node in self.nodes}
        return [(by_name[node.made_from], node) for node in self.nodes if node.made_from in by_name]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the drawing."""
        width = max((node.x for node in self.nodes), default=0) + _WIDTH
        return width + _MARGIN, max((node.y for node in self.nodes), default=0) + _HEIGHT + _MARGIN


class _Place(NamedTuple):
    column: int
    row: int


async def read_lineage(clients: Clients, model_version_id: str) -> Lineage:
    """Return the graph around a version; what a service that is away knows is left out of it.

    Raises:
        NotFound: There is no such version.
    """
    request = GetModelVersionRequest(model_version_id=model_version_id)
    chosen = (await clients.registry.GetModelVersion(request)).model_version.model_version_id
    versions = await every(clients.registry.ListModelVersions, ListModelVersionsRequest(), "model_versions")
    jobs, evaluations = await asyncio.gather(_jobs(clients, versions), _evaluations(clients))
    return lineage_of(versions, chosen, jobs, evaluations)


def lineage_of(
    versions: Sequence[ModelVersion], chosen: str, jobs: Mapping[str, TrainingJob], evaluations: Sequence[Evaluation]
) -> Lineage:
    """Return the graph around a version.

    Args:
        versions: All of them, newest first.
        chosen: The version.
        jobs: Training jobs by the version that they made: an adapter may have gone on from another one.
        evaluations: Newest first; of each suite the newest that is whole stands at the version.
    """
    by_id = {version.model_version_id: version for version in reversed(versions)}
    parents = {
        name: jobs[name].spec.model_version_id if name in jobs else version.base_model_version_id
        for name, version in by_id.items()
    }
    places, num_hidden = _places(parents, chosen)
    rates: dict[str, dict[str, Evaluation]] = {}
    for one in evaluations:
        if one.job.state == JOB_STATE_SUCCEEDED and not one.is_incomplete and one.metrics.overall.num_cases:
            rates.setdefault(one.model_version_id, {}).setdefault(one.test_suite_version_id, one)
    nodes = (
        Node(by_id[name], parents[name], *place, jobs.get(name), tuple(rates.get(name, {}).values()))
        for name, place in places.items()
    )
    return Lineage(chosen, tuple(nodes), num_hidden)


def lineage_document(lineage: Lineage) -> Document:
    """Return the graph as JSON: a node for each version, with what it was made from."""
    nodes = [
        {
            "model_version": document(node.version),
            "made_from": node.made_from,
            "training_job_id": node.training_job.training_job_id if node.training_job else "",
            "dataset_version_id": node.training_job.spec.dataset_version_id if node.training_job else "",
            "evaluations": [
                {
                    "evaluation_id": one.evaluation_id,
                    "test_run_id": one.test_run_id,
                    "test_suite_version_id": one.test_suite_version_id,
                    "num_cases": one.metrics.overall.num_cases,
                    "conforming_rate": one.metrics.overall.conforming_rate,
                }
                for one in node.evaluations
            ],
        }
        for node in lineage.nodes
    ]
    return {"model_version_id": lineage.model_version_id, "nodes": nodes, "num_hidden": lineage.num_hidden}


def _places(parents: Mapping[str, str], chosen: str) -> tuple[dict[str, _Place], int]:
    """Return the places of the versions around one, and how many have none: a first child stands beside its parent."""
    family = _nearest_first(parents, chosen)
    shown = set(family[:_MOST_NODES])
    children = _children({name: parent for name, parent in parents.items() if name in shown})
    above = [chosen] if family else []
    while above and (parent := parents[above[0]]) in shown and parent not in above:
        above.insert(0, parent)
    places = {name: _Place(column, 0) for column, name in enumerate(above[:-1])}
    waiting, num_rows = [(chosen, _Place(len(above) - 1, 0))] if above else [], 1
    while waiting:
        name, (column, row) = waiting.pop()
        if name in places:
            continue
        # A row below all that there is, found when its turn has come.
        row, num_rows = (row, num_rows) if row >= 0 else (num_rows, num_rows + 1)
        places[name] = _Place(column, row)
        mine = children.get(name, [])
        waiting += [(child, _Place(column + 1, -1)) for child in reversed(mine[1:])]
        waiting += [(child, _Place(column + 1, row)) for child in mine[:1]]
    return places, len(family) - len(places)


def _nearest_first(parents: Mapping[str, str], chosen: str) -> list[str]:
    """Return a version, its ancestors and all that was made of it, by the number of steps from it."""
    children = _children(parents)
    found, above, below = dict.fromkeys([chosen] if chosen in parents else ()), chosen, [chosen]
    while True:
        above = parents.get(above, "")
        below = [child for name in below for child in children.get(name, ())]
        step = [name for name in (above, *below) if name in parents and name not in found]
        if not step:
            return list(found)
        found |= dict.fromkeys(step)
        below = [name for name in step if name != above]


def _children(parents: Mapping[str, str]) -> dict[str, list[str]]:
    children: dict[str, list[str]] = {}
    for name, parent in parents.items():
        children.setdefault(parent, []).append(name)
    return children


async def _jobs(clients: Clients, versions: Sequence[ModelVersion]) -> dict[str, TrainingJob]:
    """Return by version the training job that made it; one may be deleted, and what it made stays."""
    try:
        jobs = await every(clients.trainer.ListTrainingJobs, ListTrainingJobsRequest(), "training_jobs")
    except ServiceError:
        return {}
    by_name = {f"{_TRAINED}{job.training_job_id}": job for job in jobs}
    return {one.model_version_id: by_name[one.produced_by] for one in versions if one.produced_by in by_name}


async def _evaluations(clients: Clients) -> list[Evaluation]:
    try:
        request = ListEvaluationsRequest(page_size=_NUM_EVALUATIONS)
        return list((await clients.evaluator.ListEvaluations(request)).evaluations)
    except ServiceError:
        return []
