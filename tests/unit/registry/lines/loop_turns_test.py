"""The event loop goes on while a dataset of many rows is checked."""

from __future__ import annotations

import json
from pathlib import Path

from services.chassis.artifacts import ArtifactStore
from services.chassis.waiting import Places
from services.registry.__main__ import MIGRATIONS
from services.registry.domain.dataset import DatasetVersionDraft
from services.registry.importers.rows.conversion import RowFiles
from services.registry.importers.workspace import Workspace
from services.registry.store.claims import SqlClaims
from services.registry.store.datasets import SqlDatasetStore
from services.registry.usecases.adoption import Adoption
from services.registry.usecases.dataset import DatasetUseCases
from tests.fakes.databases import new_database
from tests.unit.loop_turns import LONGEST_TURN_SECONDS, longest_turn


def test_a_dataset_of_many_rows_is_checked(tmp_path: Path) -> None:
    database = new_database(MIGRATIONS)
    own = ArtifactStore((tmp_path / "own").as_uri(), sources=((tmp_path / "other").as_uri() + "/",))
    other = ArtifactStore((tmp_path / "other").as_uri())
    files, adoption = Places("files", num_running=1, num_waiting=1), Adoption(own, SqlClaims(database))
    row_files = RowFiles(Workspace(tmp_path / "work"))
    datasets = DatasetUseCases(SqlDatasetStore(database), own, adoption=adoption, files=files, row_files=row_files)

    async def create(name: str, num_rows: int) -> None:
        messages = [{"role": "user", "content": "a" * 500}, {"role": "assistant", "content": "b" * 500}]
        rows = "".join(json.dumps({"example_id": f"e{n}", "messages": messages}) + "\n" for n in range(num_rows))
        artifact = await other.put_bytes(rows.encode())
        draft = DatasetVersionDraft(
            request_id=name,
            dataset_id=name,
            artifact=artifact,
            produced_by="test",
            num_train_examples=0,
            num_validation_examples=0,
        )
        assert (await datasets.create_version(draft)).version.num_train_examples == num_rows

    longest_turn(create("short", 1))
    assert longest_turn(create("long", 3000)) < LONGEST_TURN_SECONDS
