"""Commands that import a file wait for the job that does it, and say what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from drillyard.feedback.v1.feedback_file_pb2 import CreateFeedbackImportResponse, FeedbackImport
from drillyard.job.v1.job_pb2 import JOB_STATE_FAILED, JOB_STATE_QUEUED, JOB_STATE_SUCCEEDED, Job, JobError
from drillyard.registry.v1.dataset_import_pb2 import CreateDatasetImportResponse, DatasetImport
from drillyard.registry.v1.dataset_pb2 import DatasetVersion, GetDatasetVersionResponse
from google.protobuf.message import Message
from typer.testing import CliRunner

from ui.cli.__main__ import app
from ui.cli.connection import Gateway
from ui.shared.documents import document
from ui.training_jobs.datasets import commands

FAILED = Job(state=JOB_STATE_FAILED, error=JobError(code="INVALID_ARGUMENT", problem="Line 7: no.", next_step="Mend."))
SUCCEEDED = Job(state=JOB_STATE_SUCCEEDED)


class Served:
    """A gateway that has one import, which ended in some way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: dict[str, Message]) -> None:
        self.answers, self.sent = answers, list[tuple[str, Any]]()
        for name in ("get", "post", "upload"):
            monkeypatch.setattr(Gateway, name, getattr(self, name))

    def get(self, path: str, **_query: Any) -> Any:
        return document(self.answers[path])

    def post(self, path: str, body: Any = None, **_query: Any) -> Any:
        self.sent.append((path, body))
        return document(self.answers[path])

    upload = post


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n")
    return path


@pytest.mark.parametrize(
    ("job", "status", "words"),
    [(SUCCEEDED, 0, "3 items are stored; 2 were here already."), (FAILED, 2, "Line 7: no.")],
)
def test_an_import_of_feedback_is_followed_to_its_end(
    monkeypatch: pytest.MonkeyPatch, file: Path, job: Job, status: int, words: str
) -> None:
    created = FeedbackImport(feedback_import_id="i", job=Job(state=JOB_STATE_QUEUED))
    ended = FeedbackImport(feedback_import_id="i", num_imported=3, num_known=2, job=job)
    served = Served(
        monkeypatch,
        {
            "/feedback-imports": CreateFeedbackImportResponse(feedback_import=created),
            "/feedback-imports/i": CreateFeedbackImportResponse(feedback_import=ended),
        },
    )
    result = CliRunner().invoke(app, ["feedback", "import", str(file)])
    assert (result.exit_code, served.sent) == (status, [("/feedback-imports", b"{}\n")]), result.output
    assert words in result.output


@pytest.mark.parametrize(
    ("job", "status", "words"),
    [(SUCCEEDED, 0, "mine@4 is registered: 5 rows to train, 1 to validate, 2 left out."), (FAILED, 2, "Line 7: no.")],
)
def test_an_import_of_a_dataset_is_followed_to_its_end(
    monkeypatch: pytest.MonkeyPatch, file: Path, job: Job, status: int, words: str
) -> None:
    monkeypatch.setattr(commands, "_sent", lambda *_: {"uri": "file:///sent"})
    ended = DatasetImport(dataset_import_id="i", dataset_version_id="mine@4", num_skipped=2, job=job)
    version = DatasetVersion(dataset_version_id="mine@4", num_train_examples=5, num_validation_examples=1)
    served = Served(
        monkeypatch,
        {
            "/dataset-imports": CreateDatasetImportResponse(dataset_import=DatasetImport(dataset_import_id="i")),
            "/dataset-imports/i": CreateDatasetImportResponse(dataset_import=ended),
            "/datasets/mine@4": GetDatasetVersionResponse(dataset_version=version),
        },
    )
    result = CliRunner().invoke(app, ["datasets", "import", "mine", str(file)])
    assert (result.exit_code, served.sent[0][1]["artifact"]) == (status, {"uri": "file:///sent"}), result.output
    assert words in " ".join(result.output.split())
