"""What differs between the wire and the domain for test suites and for imports of models."""

from __future__ import annotations

from drillyard.registry.v1 import artifact_pb2, import_pb2, test_suite_pb2

from services.chassis.artifacts import Artifact
from services.chassis.errors import InvalidArgument
from services.chassis.wire import from_message, to_message
from services.protocols.suites.suite import provenance_from_document
from services.registry.domain.jsonl import told_fault
from services.registry.domain.model_import import Import, ImportSource, SourceKind
from services.registry.domain.suite_source import Conversion, Reading
from services.registry.domain.test_suite import TestSuiteVersion, TestSuiteVersionDraft


def test_suite_version_to_proto(version: TestSuiteVersion) -> test_suite_pb2.TestSuiteVersion:
    """Return the version as callers see it."""
    return to_message(
        version,
        test_suite_pb2.TestSuiteVersion,
        test_suite_version_id=version.version_id,
        provenance=test_suite_pb2.TestSuiteProvenance(**version.provenance.to_document()),
    )


def test_suite_version_draft(request: test_suite_pb2.CreateTestSuiteVersionRequest) -> TestSuiteVersionDraft:
    """Return what a caller asks to register; its cases are not counted yet."""
    provenance = provenance_from_document({field.name: value for field, value in request.provenance.ListFields()})
    return from_message(TestSuiteVersionDraft, request, num_cases=0, built_in=False, provenance=provenance)


def conversion_from_proto(conversion: test_suite_pb2.TestSuiteConversion) -> Conversion:
    """Return how lines are to become cases."""
    return from_message(Conversion, conversion)


def validation_to_proto(reading: Reading) -> test_suite_pb2.ValidateTestSuiteResponse:
    """Return what came of reading a file."""
    problems = [
        test_suite_pb2.TestSuiteProblem(line=line, problem=told_fault(fault)) for line, fault in reading.problems
    ]
    return test_suite_pb2.ValidateTestSuiteResponse(
        num_cases=len(reading.cases), problems=problems, is_cut=reading.is_cut
    )


def import_to_proto(model_import: Import) -> import_pb2.Import:
    """Return the import as callers see it."""
    place, source = model_import.source, import_pb2.ImportSource()
    if place.artifact:
        source.artifact.CopyFrom(to_message(place.artifact, artifact_pb2.Artifact))
    else:
        setattr(source, place.kind.value, place.value)
    return to_message(model_import, import_pb2.Import, import_id=model_import.job.job_id, source=source)


def source_from_proto(message: import_pb2.ImportSource, secret: str) -> ImportSource:
    """Return where a caller's model comes from.

    Raises:
        InvalidArgument: No place is set.
    """
    name = message.WhichOneof("source")
    if name is None:
        raise InvalidArgument("source names no place.", "Set one, such as hub_id or gguf_path.", field="source")
    if name == "artifact":
        artifact = from_message(Artifact, message.artifact)
        return ImportSource(SourceKind.ARTIFACT, artifact.uri, secret, artifact)
    return ImportSource(SourceKind(name), getattr(message, name), secret)
