"""What the registry needs from outside itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.chassis.artifacts import Artifact
from services.registry.domain.dataset import DatasetVersion, DatasetVersionDraft
from services.registry.domain.identifiers import VersionRef
from services.registry.domain.model import Model, ModelFacts, ModelVersion, ModelVersionDraft, ModelVersionKind
from services.registry.domain.model_import import FetchedModel, ImportSource, InspectedSource
from services.registry.domain.paging import Page, PageRequest
from services.registry.domain.suite_source import Conversion, Rows
from services.registry.domain.test_case import TestCase
from services.registry.domain.test_suite import TestSuiteVersion, TestSuiteVersionDraft

Progress = Callable[[int, int], Awaitable[None]]


class ModelStore(Protocol):
    """Models and their versions. Lists of versions are newest first; a `request_id` is registered once."""

    async def add_version(self, draft: ModelVersionDraft) -> ModelVersion:
        """Give the draft the next number of its model, or return what its request_id was registered as.

        Raises:
            AlreadyExists: The request_id was used with other words.
        """

    async def delete_version(self, version: ModelVersion) -> None:
        """Remove a version, whose number is never given again.

        Raises:
            FailedPrecondition: Another version is made of it.
        """

    async def find_request(self, request_id: str) -> ModelVersion | None:
        """Return what was registered by this request_id, or None; always None for an empty one."""

    async def get_version(self, ref: VersionRef) -> ModelVersion | None:
        """Return the version, or None."""

    async def list_versions(self, model_id: str, page: PageRequest) -> Page[ModelVersion]:
        """Return versions of one model, or of all when `model_id` is empty."""

    async def find_imported(self, source_digest: str) -> ModelVersion | None:
        """Return the newest base version that was imported from these bytes, or None."""

    async def find_source(self, uri: str) -> ModelVersion | None:
        """Return the newest base version that was imported from this URI, or None."""

    async def find_form(self, base_model_version_id: str, kind: ModelVersionKind) -> ModelVersion | None:
        """Return the newest version of a kind that is made of a version, or None."""

    async def find_exported(self, recipe_digest: str) -> ModelVersion | None:
        """Return the newest version that was exported from all that has this digest, or None."""

    async def get_model(self, model_id: str) -> Model | None:
        """Return the model, or None."""

    async def list_models(self, page: PageRequest) -> Page[Model]:
        """Return models by id."""


class DatasetStore(Protocol):
    """Dataset versions, by the rules of ModelStore."""

    async def add_version(self, draft: DatasetVersionDraft) -> DatasetVersion:
        """Give the draft the next number of its dataset, or return what its request_id was registered as.

        Raises:
            AlreadyExists: The request_id was used with other words.
        """

    async def delete_version(self, version: DatasetVersion) -> None:
        """Remove a version, whose number is never given again."""

    async def find_request(self, request_id: str) -> DatasetVersion | None:
        """Return what was registered by this request_id, or None; always None for an empty one."""

    async def get_version(self, ref: VersionRef) -> DatasetVersion | None:
        """Return the version, or None."""

    async def list_versions(self, dataset_id: str, page: PageRequest) -> Page[DatasetVersion]:
        """Return versions of one dataset, or of all when `dataset_id` is empty."""


class TestSuiteStore(Protocol):
    """Suite versions with their cases, by the rules of ModelStore."""

    async def add_version(
        self, draft: TestSuiteVersionDraft, cases: Sequence[TestCase], *, version: int | None = None
    ) -> TestSuiteVersion:
        """Store the suite under the next number, or under `version`; or return what its request_id was registered as.

        Raises:
            AlreadyExists: The request_id was used with other words, or `version` is taken.
        """

    async def delete_version(self, version: TestSuiteVersion) -> None:
        """Remove a version, whose number is never given again."""

    async def find_request(self, request_id: str) -> TestSuiteVersion | None:
        """Return what was registered by this request_id, or None; always None for an empty one."""

    async def get_version(self, ref: VersionRef) -> TestSuiteVersion | None:
        """Return the version, or None."""

    async def list_versions(
        self, test_suite_id: str, page: PageRequest, *, built_in_only: bool = False
    ) -> Page[TestSuiteVersion]:
        """Return versions of one suite, or of all when `test_suite_id` is empty."""

    async def list_cases(self, version_id: str, page: PageRequest, *, max_bytes: int) -> Page[TestCase]:
        """Return cases in the suite's order; the page ends after the case with which it reaches `max_bytes`."""


class SuiteReader(Protocol):
    """Reads files of one format of test cases."""

    def __call__(self, content: Path, conversion: Conversion, answers: Path | None) -> Rows:
        """Yield the number of each line with the document of the case that it is, or with what is wrong."""


class Artifacts(Protocol):
    """The registry's own bytes."""

    async def adopt(self, uri: str, digest: str, size_bytes: int) -> Artifact:
        """Take over what another service wrote; nothing is visible before digest and size are verified.

        Raises:
            FailedPrecondition: The bytes differ from digest or size, or aren't there.
        """

    async def describe(self, content: bytes | Path) -> Artifact:
        """Return what bytes, a file or a folder of regular files are once they are stored, and store nothing."""

    async def put_bytes(self, data: bytes) -> Artifact:
        """Store bytes under their digest."""

    async def put_file(self, path: Path) -> Artifact:
        """Store a copy of a file under its digest."""

    async def put_tree(self, folder: Path, *, linked: bool = False) -> Artifact:
        """Store a folder of regular files under the digest of its manifest; `linked` without copies, where it can."""

    def own_uri(self, uri: str) -> str:
        """Return where the registry keeps the bytes that are at `uri`, once it has adopted them."""

    async def local_path(self, uri: str) -> Path:
        """Return where the bytes lie on this machine."""

    async def verify(self, uri: str, digest: str) -> None:
        """Return when every byte is there and the digest is `digest`.

        Raises:
            FailedPrecondition: Something changed.
            NotFound: Something is missing.
        """

    async def delete(self, uri: str) -> None:
        """Remove bytes that nothing refers to."""


class Claims(Protocol):
    """Protects bytes that no version holds yet, over all replicas of the registry."""

    async def add(self, uri: str) -> str:
        """Protect the bytes that the registry keeps at `uri`, there already or soon, and return the claim's id."""

    async def end(self, claim_id: str, delete_bytes: Callable[[str], Awaitable[None]]) -> None:
        """End a claim; bytes that neither a version nor another claim holds are deleted before anyone else's turn."""

    async def abandoned(self) -> list[str]:
        """Return the claims whose holders have died; only at the start of a process."""

    async def expired(self) -> list[str]:
        """Return the claims that are older than any adoption; at any time."""


class ModelFiles(Protocol):
    """Reads what model files say about themselves, in a limited process."""

    async def facts_of(self, folder: Path, kind: ModelVersionKind) -> ModelFacts:
        """Check a folder of safetensors and return what it says.

        Raises:
            InvalidArgument: It isn't a model of that kind, or isn't safe to load.
        """


@dataclass(frozen=True)
class FetchPlace:
    """Where a source puts what it fetches.

    Attributes:
        folder: The import's own, kept over restarts of its job; not there before the first file.
        progress: Told the bytes that have come, and all.
        check_space: Raises ResourceExhausted when the disk has no room for so many bytes that are fetched, and so many
            that are made of them; to be called before the first byte.
        shared: A folder by which imports find what others of them fetch.
        check_new: Raises `KnownSource` for a URI, pinned to what is there, that was imported before.
    """

    folder: Path
    progress: Progress
    check_space: Callable[[int, int], None]
    shared: Path
    check_new: Callable[[str], Awaitable[None]]


class ModelSource(Protocol):
    """Places of one kind from which models come."""

    def check(self, source: ImportSource) -> None:
        """Return when a caller's words can name something; nothing is asked over the network.

        Raises:
            InvalidArgument: They can't.
            PermissionDenied: The place may not be asked, or may not see the secret.
            FailedPrecondition: The secret is not there.
        """

    async def fetch(self, source: ImportSource, place: FetchPlace) -> FetchedModel:
        """Return where the model's files lie, once all that came from elsewhere is whole and has its digest.

        A call that was killed is made again with the same place, and goes on from what lies there.

        Raises:
            InvalidArgument: There is nothing of that name, or no model in a form that can be imported.
            NotFound, PermissionDenied, FailedPrecondition, ResourceExhausted, Unavailable: As `Downloader.fetch`.
        """


class Importer(Protocol):
    """Reads models of one form."""

    async def inspect(self, path: Path) -> InspectedSource:
        """Check the source.

        Raises:
            InvalidArgument: It is damaged, hostile or of a kind that can't be imported.
            ResourceExhausted: Its check needed more than it may.
        """

    async def identify(self, source: InspectedSource, progress: Progress) -> Artifact:
        """Return URI, digest and size of the source."""

    async def write(self, source: InspectedSource, out: Path, progress: Progress) -> None:
        """Write the model to the new folder `out` in Hugging Face form.

        Raises:
            InvalidArgument: It can't be converted.
            ResourceExhausted: Its conversion needed more than it may.
            FailedPrecondition: It changed since it was inspected.
        """


class Workspace(Protocol):
    """Where imports are prepared."""

    def check_space(self, fetched_bytes: int, written_bytes: int) -> None:
        """Raise ResourceExhausted when the disk has no room to fetch, and to prepare and keep, so many bytes."""

    def folder(self, import_id: str) -> AbstractContextManager[Path]:
        """Lend an empty folder for as long as the block runs."""

    @property
    def shared(self) -> Path:
        """The folder by which imports find what others of them fetch; it may not be there yet."""

    def fetched(self, import_id: str) -> Path:
        """Return the folder in which what an import fetches is kept over restarts; it may not be there yet."""

    def forget(self, import_id: str) -> None:
        """Remove what an import that has ended fetched."""
