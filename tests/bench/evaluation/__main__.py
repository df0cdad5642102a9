"""How fast stored transcripts are evaluated and read: `python -m tests.bench.evaluation [--transcripts N]`.

The evaluator is a real process with a real SQLite database, called over real gRPC. Its neighbours live in this process:
they serve cases, and transcripts whose prompts are the first 1,500 tokens or so of what the profile renders. Answers
are right or wrong in turn. Times are wall time; memory is the process's peak resident set, sampled 20 times a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import grpc.aio
import psutil
from drillyard.evaluator.v1 import evaluation_pb2, evaluator_service_pb2_grpc, export_pb2, verdict_pb2
from drillyard.test_runner.v1 import transcript_pb2

from services.chassis.channel import open_channel
from services.chassis.wire.paging import token_of
from services.protocols.cases import Case, case_to_document
from services.protocols.profile import get_profile
from tests.bench.evaluation.neighbours import RUN_ID, Registry, TestRunner, finished_run, serving
from tests.integration.processes import ServiceProcess, start_service

_PROFILE = get_profile("roo_xml")
_MEBIBYTE = 1 << 20
# About 1,500 tokens: the beginning of the profile's full prompt.
_PROMPT_CHARACTERS = 6000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transcripts", type=int, default=10_000, help="transcripts of the run")
    parser.add_argument("--repeats", type=int, default=4, help="answers per case")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each reading")
    chosen = parser.parse_args()
    asyncio.run(_measure(chosen.transcripts, chosen.repeats, chosen.rounds))


async def _measure(num_transcripts: int, num_repeats: int, num_rounds: int) -> None:
    cases = list(_PROFILE.draw(1, num_transcripts // num_repeats, categories=("single_call",)))
    run = finished_run(_PROFILE.id, _PROFILE.digest, num_transcripts=len(cases) * num_repeats, num_repeats=num_repeats)
    runner = TestRunner(_transcripts(cases, num_repeats), run)
    registry = Registry([(case.case_id, json.dumps(case_to_document(case))) for case in cases])
    with tempfile.TemporaryDirectory() as folder:
        async with serving(registry, runner) as address:
            settings = {"registry_address": address, "test_runner_address": address}
            with start_service("evaluator", Path(folder), **settings) as service:
                await _evaluate(service, runner, num_rounds)


async def _evaluate(service: ServiceProcess, runner: TestRunner, num_rounds: int) -> None:
    channel = open_channel(service.address, deadline_seconds=120)
    memory = _Memory(service.process.pid)
    watching = asyncio.create_task(memory.watch())
    try:
        await _read(channel, runner, memory, num_rounds)
    finally:
        watching.cancel()
        await channel.close()


async def _read(channel: grpc.aio.Channel, runner: TestRunner, memory: _Memory, num_rounds: int) -> None:
    stub = evaluator_service_pb2_grpc.EvaluatorServiceStub(channel)
    start, before = time.perf_counter(), memory.processor_seconds()
    request = evaluation_pb2.CreateEvaluationRequest(request_id="bench", test_run_id=RUN_ID)
    evaluation_id = (await stub.CreateEvaluation(request)).evaluation.evaluation_id
    async for _ in stub.WatchEvaluation(evaluation_pb2.WatchEvaluationRequest(evaluation_id=evaluation_id)):
        pass
    seconds, spent = time.perf_counter() - start, memory.processor_seconds() - before
    got = evaluation_pb2.GetEvaluationRequest(evaluation_id=evaluation_id)
    metrics = (await stub.GetEvaluation(got)).evaluation.metrics
    num = metrics.overall.num_cases
    print(f"transcripts evaluated       {num:10,}   conforming {metrics.overall.conforming_rate:.3f}")
    print(f"seconds                     {seconds:10.2f}   {num / seconds:,.0f} a second")
    print(f"processor of the evaluator  {spent:10.2f}   {1000 * spent / num:.2f} ms a transcript")
    print(f"bytes from the test runner  {runner.num_sent_bytes:10,}   {runner.num_sent_bytes // num:,} a transcript")
    print(f"peak memory, MiB            {memory.peak / _MEBIBYTE:10.0f}")
    category = metrics.by_category[0].category
    readings: dict[str, Callable[[], Awaitable[object]]] = {
        "GetEvaluation": lambda: stub.GetEvaluation(got),
        "ListVerdicts, first 50": lambda: _page(stub, evaluation_id, page_size=50),
        "ListVerdicts, first 1000": lambda: _page(stub, evaluation_id, page_size=1000),
        "ListVerdicts, last 50": lambda: _page(stub, evaluation_id, page_size=50, page_token=token_of(num - 50)),
        "ListVerdicts, one cause": lambda: _page(stub, evaluation_id, cause="text_after", page_size=50),
        "ListVerdicts, one tool": lambda: _page(stub, evaluation_id, tool="apply_diff", page_size=50),
        "ListVerdicts, one layer": lambda: _page(stub, evaluation_id, layer="one_and_last", page_size=50),
        "ListVerdicts, one category": lambda: _page(stub, evaluation_id, category=category, page_size=50),
    }
    for name, form in (("JSON", 1), ("CSV", 2), ("Inspect", 3), ("HTML", 4)):
        readings[f"export as {name}"] = lambda form=form: _export(stub, evaluation_id, form)  # type: ignore[misc]
    for name, read in readings.items():
        print(f"{name:27} {await _slowest(read, num_rounds):10.3f}   seconds, slowest of {num_rounds}")
    print(f"peak memory, MiB            {memory.peak / _MEBIBYTE:10.0f}   after all readings")


class _Memory:
    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.peak = 0

    def processor_seconds(self) -> float:
        """Return what the process has computed."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    async def watch(self) -> None:
        while True:
            self.peak = max(self.peak, self._process.memory_info().rss)
            await asyncio.sleep(0.05)


async def _slowest(read: Callable[[], Awaitable[object]], num_rounds: int) -> float:
    slowest = 0.0
    for _ in range(num_rounds):
        start = time.perf_counter()
        await read()
        slowest = max(slowest, time.perf_counter() - start)
    return slowest


async def _page(
    stub: evaluator_service_pb2_grpc.EvaluatorServiceAsyncStub, evaluation_id: str, **wanted: object
) -> verdict_pb2.ListVerdictsResponse:
    request = verdict_pb2.ListVerdictsRequest(evaluation_id=evaluation_id, **wanted)  # type: ignore[arg-type]
    return await stub.ListVerdicts(request)


async def _export(
    stub: evaluator_service_pb2_grpc.EvaluatorServiceAsyncStub,
    evaluation_id: str,
    form: export_pb2.ExportFormat.ValueType,
) -> int:
    request = export_pb2.ExportEvaluationRequest(evaluation_id=evaluation_id, format=form)
    return sum([len(response.chunk) async for response in stub.ExportEvaluation(request)])


def _transcripts(cases: Sequence[Case], num_repeats: int) -> list[transcript_pb2.Transcript]:
    """Return an answer to each repeat of each case, of several kinds in turn."""
    found: list[transcript_pb2.Transcript] = []
    for number, case in enumerate(cases):
        right = _PROFILE.reference_answer(case)
        answers = (right, right, f"{right}\nDone.", right[: len(right) * 2 // 3], cases[number // 2].reference)
        prompt = [
            transcript_pb2.Message(role=message["role"], content=message["content"][:_PROMPT_CHARACTERS])
            for message in _PROFILE.messages(case, "full")
        ]
        for repeat in range(num_repeats):
            answer = transcript_pb2.Message(role="assistant", content=answers[(number + repeat) % len(answers)])
            tokens = list(range(len(answer.content) // 4))
            turn = transcript_pb2.AnswerTurn(
                message_index=len(prompt),
                token_ids=tokens,
                finish_reason=transcript_pb2.FINISH_REASON_STOP,
                num_prompt_tokens=1500,
                num_generated_tokens=len(tokens),
            )
            found.append(
                transcript_pb2.Transcript(
                    transcript_id=f"{RUN_ID}-{len(found) + 1}",
                    test_run_id=RUN_ID,
                    case_id=case.case_id,
                    repeat=repeat,
                    messages=[*prompt, answer],
                    token_ids=tokens,
                    finish_reason=transcript_pb2.FINISH_REASON_STOP,
                    num_prompt_tokens=1500,
                    prefill_seconds=0.1,
                    decode_seconds=0.01 * len(tokens),
                    sequence=len(found) + 1,
                    turns=[turn],
                )
            )
    return found


if __name__ == "__main__":
    main()
