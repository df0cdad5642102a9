"""The requests of a storm's callers, each of a shape that was done once in calm weather."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from drillyard.evaluator.v1 import evaluation_pb2
from drillyard.feedback.v1 import (
    dataset_build_pb2,
    feedback_file_pb2,
    loop_goal_pb2,
    loop_pb2,
    schedule_pb2,
    scheduled_run_pb2,
    shipment_pb2,
)
from drillyard.registry.v1 import artifact_pb2, dataset_import_pb2, export_pb2, import_pb2, model_pb2, publication_pb2
from drillyard.test_runner.v1 import test_run_pb2
from drillyard.trainer.v1 import training_job_pb2, training_spec_pb2

from services.chassis.artifacts import Artifact, ArtifactStore
from tests.unit.registry.model_folders import write_model

MODEL, TUNED, DATASET, SUITE = "tiny@1", "tuned@1", "drills@1", "roo_xml/storm@1"
NUM_CASES, NUM_ROWS = 24, 16
# More than one batch, so that a process can die between two of them.
NUM_ITEMS, NUM_IMPORTED_ROWS = 600, 300
NUM_RATINGS = 4
CALM = "calm/"
_NUM_FOLDERS, _NUM_PLACES, _NUM_CARDS = 25, 8, 5
_SHAPES = {
    "test_run": ["1/7", "2/7", "3/8"],
    "training_job": ["24/1", "40/2"],
    "dataset_import": ["rows", "messages"],
    "dataset_build": ["items", "prompts"],
}


class Requests:
    """Makes requests; equal shapes make equal specs."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "work"
        self._files = ArtifactStore((data_dir / "made_up").as_uri())
        self._run_ids: list[str] = []
        # All that were there in the beginning: some have the cases of others.
        self.suite_ids: list[str] = []
        # The first evaluation, of a run that asked each case several times.
        self.evaluation_id = ""
        self._make: dict[str, Callable[[str, str, random.Random], Awaitable[Any]]] = {
            "import": self._import,
            "test_run": self._test_run,
            "evaluation": self._evaluation,
            "training_job": self._training_job,
            "loop": self._loop,
            "dataset_import": self._dataset_import,
            "export": self._export,
            "publication": self._publication,
            "shipment": self._shipment,
            "scheduled_run": self._scheduled_run,
            "feedback_import": self._feedback_import,
            "dataset_build": self._dataset_build,
        }

    def add_run(self, test_run_id: str) -> None:
        """Take note of a run that an evaluation may judge; the first has ended when others ask for its answers."""
        self._run_ids.append(test_run_id)

    def shapes(self, kind: str) -> list[str]:
        """Return the shapes that a kind has; those without one are all done alike."""
        return _SHAPES.get(kind, [""])

    async def make(self, kind: str, request_id: str, shape: str, chance: random.Random) -> Any:
        """Return a request that creates a job."""
        return await self._make[kind](request_id, shape, chance)

    async def adapter(self, folder: Path) -> Any:
        """Return the request that registers the adapter in a folder as `TUNED`."""
        artifact, kind = _named(await self._files.put_tree(folder)), model_pb2.MODEL_VERSION_KIND_ADAPTER
        name = TUNED.partition("@")[0]
        return model_pb2.CreateModelVersionRequest(
            model_id=name, kind=kind, artifact=artifact, base_model_version_id=MODEL
        )

    def schedule(self, request_id: str) -> Any:
        """Return the request for the schedule of which a run is asked for; its hours are seconds in a storm."""
        spec = schedule_pb2.ScheduleSpec(
            model_version_id=MODEL,
            test_suite_version_id=SUITE,
            goals=[loop_goal_pb2.Goal(metric="conforming_rate", minimum=0.8)],
            every_hours=1,
        )
        spec.budget.max_runs = 3
        return schedule_pb2.CreateScheduleRequest(request_id=request_id, spec=spec)

    async def _import(self, request_id: str, shape: str, chance: random.Random) -> Any:
        number = chance.randrange(_NUM_FOLDERS)
        folder = self._folder / "sources" / str(number)
        if not folder.exists():
            write_model(folder, max_position_embeddings=1024 + number)
        source = import_pb2.ImportSource(folder_path=str(folder))
        return import_pb2.CreateImportRequest(request_id=request_id, model_id=f"model-{number}", source=source)

    async def _test_run(self, request_id: str, shape: str, chance: random.Random) -> Any:
        repeats, seed = map(int, shape.split("/"))
        spec = test_run_pb2.TestRunSpec(
            model_version_id=MODEL, test_suite_version_id=SUITE, num_repeats=repeats, seed=seed, dtype="float32"
        )
        return test_run_pb2.CreateTestRunRequest(request_id=request_id, spec=spec)

    async def _evaluation(self, request_id: str, shape: str, chance: random.Random) -> Any:
        run_id = chance.choice(self._run_ids) if self.evaluation_id else self._run_ids[-1]
        return evaluation_pb2.CreateEvaluationRequest(request_id=request_id, test_run_id=run_id)

    async def _training_job(self, request_id: str, shape: str, chance: random.Random) -> Any:
        steps, seed = map(int, shape.split("/"))
        spec = training_spec_pb2.TrainingJobSpec(
            model_version_id=MODEL,
            dataset_version_id=DATASET,
            num_epochs=steps * 4 // NUM_ROWS,
            batch_size=4,
            save_steps=5,
            save_total_limit=2,
            seed=seed,
        )
        return training_job_pb2.CreateTrainingJobRequest(request_id=request_id, spec=spec)

    async def _loop(self, request_id: str, shape: str, chance: random.Random) -> Any:
        spec = loop_pb2.LoopSpec(
            model_version_id=MODEL,
            test_suite_version_id=SUITE,
            goals=[loop_goal_pb2.Goal(metric="conforming_rate", minimum=0.8)],
            num_examples=26,
            num_probe_cases=13,
            seed=1,
            training=training_spec_pb2.TrainingJobSpec(batch_size=2, save_steps=4),
        )
        spec.budget.max_rounds = 1
        return loop_pb2.CreateLoopRequest(request_id=request_id, spec=spec)

    async def _dataset_import(self, request_id: str, shape: str, chance: random.Random) -> Any:
        """Rows are registered as they are; messages are made into rows by a process of their own."""
        rows = [{"messages": _said(f"{shape} {number}")} for number in range(NUM_IMPORTED_ROWS)]
        if shape == "rows":
            rows = [{"example_id": f"e{number}", **row} for number, row in enumerate(rows)]
        artifact = await self._put(rows)
        dataset_id = f"imported-{shape}"
        return dataset_import_pb2.CreateDatasetImportRequest(
            request_id=request_id, dataset_id=dataset_id, artifact=artifact
        )

    async def _export(self, request_id: str, shape: str, chance: random.Random) -> Any:
        # What was exported with the same card before is not written again.
        card = f"Card {chance.randrange(_NUM_CARDS)}."
        spec = export_pb2.ExportSpec(model_version_id=TUNED, form=export_pb2.EXPORT_FORM_ADAPTER, card=card)
        return export_pb2.CreateExportRequest(request_id=request_id, spec=spec)

    async def _publication(self, request_id: str, shape: str, chance: random.Random) -> Any:
        spec = publication_pb2.PublicationSpec(model_version_id=TUNED, destination=self._place(chance))
        return publication_pb2.CreatePublicationRequest(request_id=request_id, spec=spec)

    async def _shipment(self, request_id: str, shape: str, chance: random.Random) -> Any:
        place = self._published() / f"shipment-{request_id.replace('/', '-')}"
        spec = shipment_pb2.ShipmentSpec(
            model_version_id=TUNED,
            export=export_pb2.ExportSpec(form=export_pb2.EXPORT_FORM_ADAPTER),
            destinations=[publication_pb2.Destination(folder_path=str(place))],
            test_suite_version_id=SUITE,
        )
        return shipment_pb2.CreateShipmentRequest(request_id=request_id, spec=spec)

    async def _scheduled_run(self, request_id: str, shape: str, chance: random.Random) -> Any:
        """Shape is the id of its schedule."""
        return scheduled_run_pb2.RunScheduleRequest(request_id=request_id, schedule_id=shape)

    async def _feedback_import(self, request_id: str, shape: str, chance: random.Random) -> Any:
        """Most items are on answers that it brings, some on answers of the first run."""
        chats = [_item(request_id, number) for number in range(NUM_ITEMS - NUM_RATINGS)]
        ratings = [
            {"author": request_id, "transcript_id": f"{self._run_ids[0]}-{place}", "rating": {"value": 1}}
            for place in range(1, NUM_RATINGS + 1)
        ]
        artifact = await self._put([*ratings, *chats])
        return feedback_file_pb2.CreateFeedbackImportRequest(request_id=request_id, artifact=artifact)

    async def _dataset_build(self, request_id: str, shape: str, chance: random.Random) -> Any:
        spec = dataset_build_pb2.DatasetBuildSpec(dataset_id="built", author=f"{CALM}feedback_import/")
        if shape == "prompts":
            spec = dataset_build_pb2.DatasetBuildSpec(
                dataset_id="prompts",
                profile_id="roo_xml",
                form=dataset_build_pb2.DATASET_FORM_GRPO,
                evaluation_ids=[self.evaluation_id],
                material_test_suite_version_ids=self.suite_ids,
            )
        return dataset_build_pb2.CreateDatasetBuildRequest(request_id=request_id, spec=spec)

    def _place(self, chance: random.Random) -> publication_pb2.Destination:
        return publication_pb2.Destination(folder_path=str(self._published() / str(chance.randrange(_NUM_PLACES))))

    def _published(self) -> Path:
        folder = self._folder.parent / "published"
        folder.mkdir(exist_ok=True)
        return folder

    async def _put(self, rows: list[dict[str, Any]]) -> artifact_pb2.Artifact:
        return _named(await self._files.put_bytes("".join(json.dumps(row) + "\n" for row in rows).encode()))


def _named(stored: Artifact) -> artifact_pb2.Artifact:
    return artifact_pb2.Artifact(uri=stored.uri, digest=stored.digest, size_bytes=stored.size_bytes)


def _said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Say {text}."}, {"role": "assistant", "content": text}]


def _item(author: str, number: int) -> dict[str, Any]:
    right = {"role": "assistant", "content": f"{number}, rightly"}
    return {
        "author": author,
        "chat": {"model_version_id": MODEL, "messages": _said(f"{author} {number}")},
        "correction": {"answers": [right]},
    }
