"""A dataset as others load it: a folder with a file of each split, and a card that names them."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from itertools import groupby
from pathlib import Path

from services.chassis.machine.files import size_below, write_atomically
from services.chassis.waiting import patiently
from services.registry.domain.dataset import DatasetFileForm, DatasetVersion
from services.registry.importers.workspace import Workspace
from services.registry.usecases.dataset import DatasetUseCases
from services.registry.usecases.row_index import DatasetPart, RowIndex

_CARD = "README.md"


class DatasetFolders:
    """Writes versions of datasets into folders that a hub, and `datasets.load_dataset`, understand."""

    def __init__(self, datasets: DatasetUseCases, workspace: Workspace) -> None:
        self._datasets = datasets
        self._workspace = workspace

    async def write(self, dataset_version_id: str, form: DatasetFileForm, out: Path) -> int:
        """Write a version into the folder `out` and return its bytes; the same version makes the same files.

        Raises:
            NotFound: The version was deleted.
            FailedPrecondition: The stored bytes are damaged.
            ResourceExhausted: The disk has no room.
        """
        version = await self._datasets.get_version(dataset_version_id)
        await asyncio.to_thread(self._workspace.check_space, 0, version.artifact.size_bytes)
        index = await patiently(lambda: self._datasets.index(version), "the artifact store")
        ending = "parquet" if form is DatasetFileForm.PARQUET else "jsonl"
        files = {part.name: f"data/{part.name}.{ending}" for part in index.parts if part.respect == "split"}
        (out / "data").mkdir()
        for split, name in files.items():
            await patiently(partial(self._datasets.write_split, version, split, form, out / name), "the registry")
        write_atomically(out / _CARD, dataset_card(version, index, form, files))
        return await asyncio.to_thread(size_below, out)


def dataset_card(version: DatasetVersion, index: RowIndex, form: DatasetFileForm, files: dict[str, str]) -> str:
    """Return the card: metadata as a hub reads them, then what the rows are and what they are made of.

    Args:
        version: The version.
        index: Its rows.
        form: What its files are.
        files: Path of the file by split.
    """
    # A JSON text is YAML too.
    configs = [{"config_name": "default", "data_files": [{"split": split, "path": files[split]} for split in files]}]
    number = sum(part.num_rows for part in index.parts if part.respect == "split")
    metadata = {
        "pretty_name": version.version_id,
        "task_categories": ["text-generation"],
        "tags": ["drillyard", *(["preference"] if index.num_pairs else [])],
        "configs": configs,
    }
    head = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in metadata.items()]
    made_by = f", made by `{version.produced_by}`" if version.produced_by else ""
    summary = (
        f"{number:,} rows{made_by}. The stored rows have the digest `{version.artifact.digest}`."
        + (f" Pairs of a better and a worse answer: {index.num_pairs:,}." if index.num_pairs else "")
        + f" {_COLUMNS[form]}"
    )
    respects = ((respect, list(parts)) for respect, parts in groupby(index.parts, lambda part: part.respect))
    tables = [_table(respect, parts) for respect, parts in respects if any(part.name for part in parts)]
    return "\n".join(["---", *head, "---", "", f"# {version.version_id}", "", summary, "", *tables])


_COLUMNS = {
    DatasetFileForm.ROWS: "Each line is a row as Drillyard stores it: `messages`, `rejected` of a pair, and why.",
    DatasetFileForm.MESSAGES: "Each line is in OpenAI's form for fine-tuning; pairs are in its form for preferences.",
    DatasetFileForm.PARQUET: "Rows have `messages`, `rejected` of a pair, and why; `tools` and `case` are JSON texts.",
}


def _table(respect: str, parts: list[DatasetPart]) -> str:
    lines = [f"| `{part.name or '-'}` | {part.num_rows:,} | {part.num_characters:,} |" for part in parts]
    return "\n".join([f"| {respect} | rows | characters |", "|---|---|---|", *lines, ""])
