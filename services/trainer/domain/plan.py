"""What one training process group is told to do; the whole of its input, as one JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from services.chassis.errors import ServiceError
from services.chassis.wire import from_document, to_document
from services.trainer.domain.preflight import SuiteFile
from services.trainer.domain.spec import TrainingJobSpec


@dataclass(frozen=True)
class AttemptPlan:
    """One attempt at one job. All places are absolute local paths.

    For processes with a disk of their own, what they read is named by URIs of artifacts instead.

    Attributes:
        report_address: Where the trainer service answers ReportAttempt.
        report_name: What its certificate is for; empty: the host of that address.
        config_digest: Written to every checkpoint.
        adapter_folder: The adapter that is trained further; empty for a new one.
        checkpoint_folder: The job's checkpoints, one folder each.
        resume_from: The checkpoint to go on from; empty to begin at step 0.
        scratch_folder: For Ray's own files, where Ray is on this machine; short, since Unix sockets lie in it.
        num_threads: CPU threads over all workers.
        dtype: What the base weights are held in, "float32" or "bfloat16"; "auto" is the faster one here.
        device: What computes, "cpu" or "cuda"; "auto" is the GPU where there is one for each worker.
        token_file: Has the secret that ReportAttempt asks for; empty when it asks for none.
        tls_folder: Has tls.crt, tls.key and ca.crt, with which it is called; empty when it is called without TLS.
        artifacts_url: The store that gets the checkpoints of processes with a disk of their own; empty for others.
        validation_file: Rows to measure by, beside the dataset's own; empty for none.
        stall_seconds: The service ends an attempt that has not moved for so long; 0 is never.
        traceparent: The span of the job, where spans are made.
        suites: Whose cases may not be among the rows; none on a later attempt, or where that is allowed.
    """

    training_job_id: str
    attempt: int
    epoch: int
    report_address: str
    config_digest: str
    spec: TrainingJobSpec
    base_folder: str
    adapter_folder: str
    dataset_file: str
    checkpoint_folder: str
    resume_from: str
    scratch_folder: str
    num_threads: int
    dtype: str = "auto"
    device: str = "auto"
    token_file: str = ""
    tls_folder: str = ""
    report_name: str = ""
    artifacts_url: str = ""
    stall_seconds: float = 0.0
    suites: tuple[SuiteFile, ...] = ()
    validation_file: str = ""
    traceparent: str = ""

    def to_json(self) -> str:
        """Return the plan as one line."""
        return json.dumps(asdict(self) | {"spec": to_document(self.spec)})

    @classmethod
    def from_json(cls, text: str) -> AttemptPlan:
        """Return what `to_json` was called on.

        Raises:
            ValueError: The text is torn, or another release's.
        """
        try:
            document = json.loads(text)
            suites = tuple(SuiteFile(**suite) for suite in document["suites"])
            return cls(**document | {"spec": from_document(TrainingJobSpec, document["spec"]), "suites": suites})
        except (ValueError, TypeError, KeyError, ServiceError) as error:
            raise ValueError("The attempt's plan is torn, or of another release.") from error

    @classmethod
    def read(cls, path: Path) -> AttemptPlan:
        """Return the plan in a file."""
        return cls.from_json(path.read_text(encoding="utf-8"))
