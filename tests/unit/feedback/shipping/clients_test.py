"""The clients of shipments against servicers that answer in the contracts' words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc.aio
import pytest
from drillyard.evaluator.v1 import comparison_pb2, evaluation_pb2, evaluator_service_pb2_grpc, metrics_pb2, verdict_pb2
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import export_pb2, model_pb2, publication_pb2, registry_service_pb2_grpc
from drillyard.test_runner.v1 import score_pb2, test_run_pb2, test_runner_service_pb2_grpc, transcript_pb2
from drillyard.trainer.v1 import trainer_service_pb2_grpc, training_job_pb2

from services.chassis.channel import open_channel
from services.feedback.clients.exports import GrpcExports, GrpcPublications
from services.feedback.clients.forms import GrpcForms
from services.feedback.clients.trainer import GrpcTrainer
from services.feedback.clients.verdicts import GrpcVerdicts
from services.feedback.domain.work import Asked, CaseOfSuite, TestOrder
from services.feedback.gate.numbers import RowScore
from services.feedback.gate.rows import GateRow
from services.protocols.profile import get_profile

DONE = job_pb2.Job(state=job_pb2.JOB_STATE_SUCCEEDED)
KINDS = {
    "small@1": (model_pb2.MODEL_VERSION_KIND_BASE, ""),
    "roo@1": (model_pb2.MODEL_VERSION_KIND_ADAPTER, "small@1"),
    "roo-merged@1": (model_pb2.MODEL_VERSION_KIND_MERGED, "roo@1"),
}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "look"}}
ROW = GateRow(
    "row",
    ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "", "tool_calls": [CALL]}),
    (TOOL,),
    {"role": "assistant", "content": "Done."},
)


class Registry(registry_service_pb2_grpc.RegistryServiceServicer):
    async def CreateExport(self, request: export_pb2.CreateExportRequest, _: Any) -> export_pb2.CreateExportResponse:
        assert request.spec.form == export_pb2.EXPORT_FORM_GGUF and request.request_id == "s/export"
        return export_pb2.CreateExportResponse(export=export_pb2.Export(export_id="export-1"))

    async def GetExport(self, request: export_pb2.GetExportRequest, _: Any) -> export_pb2.GetExportResponse:
        return export_pb2.GetExportResponse(export=export_pb2.Export(model_version_id="roo-gguf@1", job=DONE))

    async def GetModelVersion(
        self, request: model_pb2.GetModelVersionRequest, _: Any
    ) -> model_pb2.GetModelVersionResponse:
        kind, base = KINDS[request.model_version_id]
        version = model_pb2.ModelVersion(
            model_version_id=request.model_version_id,
            kind=kind,
            base_model_version_id=base,
            produced_by="training_job:train-1" if base == "small@1" else "import:1",
        )
        return model_pb2.GetModelVersionResponse(model_version=version)

    async def CreatePublication(
        self, request: publication_pb2.CreatePublicationRequest, _: Any
    ) -> publication_pb2.CreatePublicationResponse:
        assert request.spec.destination.ollama_name == "roo"
        return publication_pb2.CreatePublicationResponse(
            publication=publication_pb2.Publication(publication_id="publication-1")
        )

    async def GetPublication(
        self, request: publication_pb2.GetPublicationRequest, _: Any
    ) -> publication_pb2.GetPublicationResponse:
        return publication_pb2.GetPublicationResponse(
            publication=publication_pb2.Publication(location="here", job=DONE)
        )


class TestRunner(test_runner_service_pb2_grpc.TestRunnerServiceServicer):
    async def RenderPrompt(
        self, request: transcript_pb2.RenderPromptRequest, _: Any
    ) -> transcript_pb2.RenderPromptResponse:
        at = f" of {request.endpoint.model}" if request.HasField("endpoint") else ""
        assert bool(at) != bool(request.model_version_id)
        if request.case_id:
            assert (request.test_suite_version_id, request.prompt_size) == ("s@1", "compact")
            num_answers = len(request.answers)
            stop = "completed" if num_answers == 2 else ""
            return transcript_pb2.RenderPromptResponse(text=f"{request.case_id} after {num_answers}{at}", stop=stop)
        assert request.messages[1].tool_calls[0].name == "look" and len(request.tools) == 1
        return transcript_pb2.RenderPromptResponse(text=f"text{at}", token_ids=[1, 2])

    async def ScoreAnswers(
        self, request: score_pb2.ScoreAnswersRequest, _: Any
    ) -> AsyncIterator[score_pb2.ScoreAnswersResponse]:
        for place in reversed(range(len(request.rows))):
            row = request.rows[place]
            ids = list(row.token_ids) or [1, 2, len(row.answer.content)]
            tokens = [transcript_pb2.TokenLogProb(log_prob=-0.5), transcript_pb2.TokenLogProb()]
            yield score_pb2.ScoreAnswersResponse(
                row=place, token_ids=ids, num_prompt_tokens=1, tokens=tokens, ends_turn=True
            )

    async def ListTestRuns(
        self, request: test_run_pb2.ListTestRunsRequest, _: Any
    ) -> test_run_pb2.ListTestRunsResponse:
        spec = test_run_pb2.TestRunSpec(
            model_version_id="roo@1",
            test_suite_version_id="s@1",
            prompt_size="compact",
            num_repeats=1,
            sampling=test_run_pb2.Sampling(max_new_tokens=64),
        )
        torn = test_run_pb2.TestRun(test_run_id="torn", spec=spec, job=DONE, num_transcripts_total=5, num_transcripts=4)
        whole = test_run_pb2.TestRun(
            test_run_id="whole", spec=spec, job=DONE, num_transcripts_total=5, num_transcripts=5
        )
        return test_run_pb2.ListTestRunsResponse(test_runs=[torn, whole])

    async def Generate(
        self, request: transcript_pb2.GenerateRequest, _: Any
    ) -> AsyncIterator[transcript_pb2.GenerateResponse]:
        at = f" of {request.endpoint.model}" if request.HasField("endpoint") else ""
        for piece in (request.prompt, "!", at):
            yield transcript_pb2.GenerateResponse(text_delta=piece)


class Evaluator(evaluator_service_pb2_grpc.EvaluatorServiceServicer):
    async def ListEvaluations(
        self, request: evaluation_pb2.ListEvaluationsRequest, _: Any
    ) -> evaluation_pb2.ListEvaluationsResponse:
        failed = evaluation_pb2.Evaluation(evaluation_id="no", job=job_pb2.Job(state=job_pb2.JOB_STATE_FAILED))
        done = evaluation_pb2.Evaluation(evaluation_id=f"of-{request.test_run_id}", job=DONE)
        return evaluation_pb2.ListEvaluationsResponse(evaluations=[failed, done])

    async def GetEvaluation(
        self, request: evaluation_pb2.GetEvaluationRequest, _: Any
    ) -> evaluation_pb2.GetEvaluationResponse:
        rates = metrics_pb2.Rates(num_cases=24, conforming_rate=0.75, conforming_interval={"low": 0.5, "high": 0.9})
        evaluation = evaluation_pb2.Evaluation(test_suite_version_id="s@1", profile_id="roo_xml")
        evaluation.metrics.overall.CopyFrom(rates)
        return evaluation_pb2.GetEvaluationResponse(evaluation=evaluation)

    async def CompareEvaluations(
        self, request: comparison_pb2.CompareEvaluationsRequest, _: Any
    ) -> comparison_pb2.CompareEvaluationsResponse:
        comparison = comparison_pb2.Comparison(
            before={"conforming_rate": 0.8},
            after={"conforming_rate": 0.7},
            losses=[comparison_pb2.CaseChange(case_id="c", sentence="No call.")],
        )
        return comparison_pb2.CompareEvaluationsResponse(comparison=comparison)

    async def CheckParity(
        self, request: comparison_pb2.CheckParityRequest, _: Any
    ) -> comparison_pb2.CheckParityResponse:
        return comparison_pb2.CheckParityResponse(parity=comparison_pb2.Parity(sentence="9 of 10."))

    async def Judge(self, request: verdict_pb2.JudgeRequest, _: Any) -> verdict_pb2.JudgeResponse:
        assert request.case_document.startswith("{")
        return verdict_pb2.JudgeResponse(
            verdict=verdict_pb2.Verdict(conforming={request.answer, *request.further_answers} == {"right"})
        )


class Trainer(trainer_service_pb2_grpc.TrainerServiceServicer):
    async def GetTrainingJob(
        self, request: training_job_pb2.GetTrainingJobRequest, context: Any
    ) -> training_job_pb2.GetTrainingJobResponse:
        if request.training_job_id != "train-1":
            await context.abort(grpc.StatusCode.NOT_FOUND, "It is gone.")
        spec = {"model_version_id": "small@1", "dataset_version_id": "roo@3", "num_epochs": 2, "learning_rate": 2e-4}
        return training_job_pb2.GetTrainingJobResponse(training_job=training_job_pb2.TrainingJob(spec=spec))


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server()
    registry_service_pb2_grpc.add_RegistryServiceServicer_to_server(Registry(), server)
    test_runner_service_pb2_grpc.add_TestRunnerServiceServicer_to_server(TestRunner(), server)
    evaluator_service_pb2_grpc.add_EvaluatorServiceServicer_to_server(Evaluator(), server)
    trainer_service_pb2_grpc.add_TrainerServiceServicer_to_server(Trainer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = open_channel(f"127.0.0.1:{port}")
    yield channel
    await channel.close()
    await server.stop(None)


async def test_exports_and_publications_are_asked_of_the_registry(channel: grpc.aio.Channel) -> None:
    exports, publications = GrpcExports(channel), GrpcPublications(channel)
    started = await exports.start("s/export", {"model_version_id": "roo@1", "form": "EXPORT_FORM_GGUF"})
    assert (started, await exports.form(started)) == ("export-1", "roo-gguf@1")
    assert (await exports.state(started)).state == "SUCCEEDED"
    facts = [await exports.model(version) for version in KINDS]
    assert [fact.trained_from for fact in facts] == ["", "small@1", "small@1"]
    assert [fact.training_job_id for fact in facts] == ["", "train-1", "train-1"]
    published = await publications.start("s/publication-0", "roo-gguf@1", {"ollama_name": "roo"}, "Rates.")
    assert (await publications.location(published), (await publications.state(published)).is_final) == ("here", True)


async def test_a_card_tells_data_and_settings_of_a_training_that_is_not_deleted(channel: grpc.aio.Channel) -> None:
    trainer = GrpcTrainer(channel)
    assert "from `small@1` on the dataset `roo@3`: 2 epochs" in await trainer.card("train-1")
    assert await trainer.card("train-2") == ""


async def test_forms_are_asked_of_the_test_runner(channel: grpc.aio.Channel) -> None:
    forms = GrpcForms(channel)
    rendered = await forms.render(Asked("roo@1"), ROW)
    assert (rendered.text, rendered.token_ids) == ("text", (1, 2))
    scores = await forms.score("roo@1", [ROW, RowScore((7, 8), 1, ())])
    assert [score.token_ids for score in scores] == [(1, 2, 5), (7, 8)]
    assert scores[0].log_probs == (-0.5, None) and scores[0].ends_turn
    order = TestOrder("roo@1", "s@1", "compact", 64, 0)
    assert await forms.finished_run(order) == "whole"
    assert await forms.finished_run(TestOrder("roo@1", "s@1", "compact", 65, 0)) == ""
    case = CaseOfSuite("s@1", "c", "compact", max_turns=3)
    assert await forms.text_answers(Asked("roo@1"), case, 8) == ["c after 0!", "c after 1!"]
    served = Asked("roo@1", {"base_url": "http://model.test/v1", "model": "roo-lora"})
    assert (await forms.render(served, ROW)).text == "text of roo-lora"
    assert await forms.text_answers(served, replace(case, max_turns=1), 8) == ["c after 0 of roo-lora! of roo-lora"]


async def test_verdicts_are_asked_of_the_evaluator(channel: grpc.aio.Channel) -> None:
    verdicts, case = GrpcVerdicts(channel), get_profile("roo_xml").suites()[0].cases[0]
    assert await verdicts.finished_evaluation("run") == "of-run"
    comparison = await verdicts.compare("a", "b")
    assert (comparison.rate_before, comparison.rate_after, comparison.sentence) == (0.8, 0.7, "9 of 10.")
    assert [change.case_id for change in comparison.losses] == ["c"]
    assert [await verdicts.conforms("roo_xml", case, answer) for answer in (["right"], ["right", "wrong"])] == [
        True,
        False,
    ]
    card = await verdicts.card("a")
    assert "24 answers to the suite `s@1`" in card and "| conforming | 75.0% | 50.0% to 90.0% |" in card
