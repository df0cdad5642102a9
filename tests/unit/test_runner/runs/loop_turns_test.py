"""The event loop goes on while a window of long conversations is stored and read again."""

from __future__ import annotations

from types import SimpleNamespace

from drillyard.test_runner.v1 import transcript_pb2

from services.chassis.jobs import SqlJobStore
from services.test_runner.domain.test_run import Artifact, Environment, Hold, RunInputs, RunRecord
from services.test_runner.domain.transcript import FinishReason, Message, Transcript
from services.test_runner.servicer import TestRunnerServicer
from services.test_runner.store.sql import MIGRATIONS, SqlRunStore
from services.test_runner.usecases.transcript import TranscriptUseCases
from tests.fakes.databases import new_database
from tests.unit.loop_turns import LONGEST_TURN_SECONDS, longest_turn

INPUTS = RunInputs(
    model_version_id="tiny@2",
    test_suite_version_id="roo_xml/core@1",
    base=Artifact("file:///base", "sha256:base"),
    adapter=None,
    test_suite_digest="sha256:suite",
    profile_id="roo_xml",
    profile_digest="sha256:profile",
    num_cases=64,
    window_size=64,
)
SHORT, LONG = "A line.", "A line with a “quote”.\n" * 500


def test_a_window_of_long_conversations_is_stored_and_listed() -> None:
    database = new_database(MIGRATIONS)
    jobs, runs = SqlJobStore(database), SqlRunStore(database)

    async def work(run_id: str, text: str) -> None:
        await jobs.create("test_run", run_id, {}, job_id=run_id)
        job = await jobs.claim(["test_run"], "me", 60)
        assert job is not None
        await runs.add_run(RunRecord(run_id, INPUTS))
        messages = (Message("user", text), Message("assistant", text)) * 8
        window = [
            Transcript(run_id, number, f"case-{number}", 1, messages, FinishReason.STOP, token_ids=(7,) * 2000)
            for number in range(1, 41)
        ]
        await runs.append_window(run_id, Hold(run_id, job.epoch), Environment("float32", 2, "", {}, {}), window)
        rpcs = SimpleNamespace(transcripts=TranscriptUseCases(jobs=jobs, store=runs))
        request = transcript_pb2.ListTranscriptsRequest(test_run_id=run_id, page_size=1000)
        response = await TestRunnerServicer.ListTranscripts(rpcs, request, None)  # type: ignore[arg-type]
        assert response.transcripts[-1].messages[0].content == text

    longest_turn(work("short", SHORT))
    assert longest_turn(work("long", LONG)) < LONGEST_TURN_SECONDS
