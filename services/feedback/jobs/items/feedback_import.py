"""The import of feedback items: check every line of a file, then store what they say."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter

from services.chassis.artifacts import ArtifactStore
from services.chassis.jobs import JobContext, Json
from services.chassis.waiting import patiently
from services.feedback.domain.item import Item
from services.feedback.domain.item_spec import CheckedFile, FeedbackImport, FeedbackImportPhase, import_of
from services.feedback.ports.stores import ItemStore
from services.feedback.usecases.items import ItemUseCases

_ITEMS = TypeAdapter(list[Item])


class FeedbackImportJob:
    """Does jobs of kind "feedback_import".

    Nothing is stored before all lines are checked; the items are then recorded in a file with their ids, so an import
    that was killed anywhere goes on, and stores each of them once.
    """

    def __init__(self, items: ItemStore, lines: ItemUseCases, files: ArtifactStore) -> None:
        self._items = items
        self._lines = lines
        self._files = files

    async def run(self, context: JobContext) -> Json:
        """Check and store.

        Raises:
            InvalidArgument: A line is wrong; the first one is named.
            NotFound: There is no such file.
        """
        feedback_import = import_of(context.job)
        checked = feedback_import.checked
        if checked is None:
            checked = await self._check(context, feedback_import)
            await context.checkpoint(asdict(checked))
        await self._store(context, checked)
        return {}

    async def _check(self, context: JobContext, feedback_import: FeedbackImport) -> CheckedFile:
        num_items = num_new = 0
        seen: set[str] = set()
        with self._files.draft() as folder, tempfile.NamedTemporaryFile(dir=folder) as file:
            async for batch in self._lines.checked(feedback_import.artifact, feedback_import.author):
                file.write(_ITEMS.dump_json(batch) + b"\n")
                ids = {item.feedback_item_id for item in batch} - seen
                num_new += len(ids) - len(await self._items.known(ids))
                num_items += len(batch)
                seen |= ids
                await context.progress(phase=FeedbackImportPhase.CHECK, done=num_items, unit="items")
            file.flush()
            path = Path(file.name)
            artifact = await patiently(lambda: self._files.put_file(path, "application/jsonl"), "the artifact store")
        return CheckedFile(artifact, num_items, num_new)

    async def _store(self, context: JobContext, checked: CheckedFile) -> None:
        path = await self._files.local_path(checked.artifact.uri)
        num_items = 0
        with path.open("rb") as file:
            for line in file:
                batch = _ITEMS.validate_json(line)
                # One short transaction each: a long one would keep the leases of other jobs from being renewed.
                await self._items.add_all(batch)
                num_items += len(batch)
                await context.progress(
                    phase=FeedbackImportPhase.STORE, done=num_items, total=checked.num_items, unit="items"
                )
