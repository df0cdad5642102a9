"""Made-up rows: one finished loop, one training under way, one run under way."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

from drillyard.evaluator.v1 import evaluation_pb2, verdict_pb2
from drillyard.feedback.v1 import loop_pb2
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import artifact_pb2, dataset_pb2, import_pb2, model_pb2, test_suite_pb2
from drillyard.test_runner.v1 import provenance_pb2, test_run_pb2, transcript_pb2
from drillyard.trainer.v1 import checkpoint_pb2, training_job_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.protocols.cases import Case, case_to_document
from services.protocols.profile import get_profile
from services.protocols.verdict import Verdict

BASE, TUNED, SUITE = "smollm2-135m-instruct@1", "smollm2-135m-instruct@2", "roo_xml/core@1"
LOOP, DONE_JOB, LIVE_JOB, LIVE_RUN = "loop-7d1f", "training_job-a91c", "training_job-c044", "test_run-live"
RUNNING, SUCCEEDED = job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_SUCCEEDED
LIVE_LOOP = "loop-live"
PROSE = (
    "Sure! Here is how you can do that:\n\n1. Open the project folder.\n2. Look for the file you need.\n",
    "The user wants me to help with this task. I will start by looking at the files in the project.",
    '```json\n{"tool": "read_file", "path": "src/app.ts"}\n```',
)


@dataclass
class World:
    """All rows by kind; servicers read them and add to them."""

    model_versions: list[model_pb2.ModelVersion] = field(default_factory=list)
    imports: list[import_pb2.Import] = field(default_factory=list)
    suites: list[test_suite_pb2.TestSuiteVersion] = field(default_factory=list)
    cases: list[test_suite_pb2.TestCase] = field(default_factory=list)
    datasets: list[dataset_pb2.DatasetVersion] = field(default_factory=list)
    runs: list[test_run_pb2.TestRun] = field(default_factory=list)
    transcripts: dict[str, list[transcript_pb2.Transcript]] = field(default_factory=dict)
    evaluations: list[evaluation_pb2.Evaluation] = field(default_factory=list)
    verdicts: dict[str, list[verdict_pb2.Verdict]] = field(default_factory=dict)
    training_jobs: list[training_job_pb2.TrainingJob] = field(default_factory=list)
    points: dict[str, list[checkpoint_pb2.CurvePoint]] = field(default_factory=dict)
    checkpoints: dict[str, list[checkpoint_pb2.Checkpoint]] = field(default_factory=dict)
    loops: list[loop_pb2.Loop] = field(default_factory=list)
    generations: list[transcript_pb2.GenerateRequest] = field(default_factory=list)
    num_broken_off: int = 0
    ends_at_once: bool = False


def job(
    job_id: str,
    state: job_pb2.JobState.ValueType = SUCCEEDED,
    *,
    phase: str = "",
    done: int = 0,
    total: int = 0,
    unit: str = "",
    age: float = 900,
    took: float = 80,
) -> job_pb2.Job:
    now = time.time()
    progress = job_pb2.JobProgress(phase=phase, num_done=done, num_total=total, unit=unit)
    made = job_pb2.Job(job_id=job_id, kind=job_id.rpartition("-")[0], state=state, attempt=1, progress=progress)
    made.create_time.CopyFrom(stamp(now - age))
    made.start_time.CopyFrom(stamp(now - age))
    if state not in (RUNNING, job_pb2.JOB_STATE_QUEUED):
        made.end_time.CopyFrom(stamp(now - age + took))
    return made


def stamp(seconds: float) -> Timestamp:
    return Timestamp(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))


def artifact(seed: str, size: int) -> artifact_pb2.Artifact:
    digest = f"{random.Random(seed).getrandbits(256):064x}"
    return artifact_pb2.Artifact(uri=f"file:///data/artifacts/{digest[:8]}", digest=f"sha256:{digest}", size_bytes=size)


def make_world() -> World:
    # That module is made of this one's parts.
    from tests.fakes.system import training

    world = World()
    _add_registry(world)
    cases = get_profile("roo_xml").suites()[0].cases
    _add_test(world, "test_run-b01", "evaluation-b01", BASE, cases, conforming=0.0, age=600)
    _add_test(world, "test_run-b02", "evaluation-b02", TUNED, cases, conforming=0.8, age=200)
    _add_test(world, LIVE_RUN, "evaluation-live", TUNED, cases[:78], conforming=0.75, age=45, total=len(cases))
    training.add_training(world, DONE_JOB, BASE, steps=20, of=20)
    training.add_training(world, LIVE_JOB, TUNED, steps=13, of=20)
    training.add_loop(world)
    training.add_live_loop(world)
    return world


def _add_registry(world: World) -> None:
    base, adapter = model_pb2.MODEL_VERSION_KIND_BASE, model_pb2.MODEL_VERSION_KIND_ADAPTER
    told = ((1, base, "import:import-0c", 269e6), (2, adapter, f"training_job:{DONE_JOB}", 19.6e6))
    for version, kind, made_by, size in told:
        one = model_pb2.ModelVersion(
            model_version_id=f"smollm2-135m-instruct@{version}",
            model_id="smollm2-135m-instruct",
            version=version,
            kind=kind,
            base_model_version_id=BASE if version > 1 else "",
            artifact=artifact(f"model{version}", int(size)),
            produced_by=made_by,
            architecture="llama",
            num_parameters=134_515_008 if version == 1 else 4_884_480,
            context_length=8192,
            create_time=stamp(time.time() - 900 / version),
        )
        if version == 1:
            one.source.CopyFrom(
                artifact_pb2.Artifact(
                    uri="file:///models/SmolLM2-135M-Instruct.Q4_1.gguf", digest=artifact("gguf", 1).digest
                )
            )
        world.model_versions.insert(0, one)
    world.imports.append(
        import_pb2.Import(
            import_id="import-0c",
            model_id="smollm2-135m-instruct",
            source=import_pb2.ImportSource(gguf_path="/models/SmolLM2-135M-Instruct.Q4_1.gguf"),
            model_version_id=BASE,
            job=job("import-0c", took=6),
        )
    )
    suite = get_profile("roo_xml").suites()[0]
    world.suites.append(
        test_suite_pb2.TestSuiteVersion(
            test_suite_version_id=SUITE,
            test_suite_id="roo_xml/core",
            version=1,
            profile_id="roo_xml",
            artifact=artifact_pb2.Artifact(
                uri="file:///suites/core-1.jsonl", digest=suite.digest, size_bytes=len(suite.text)
            ),
            num_cases=len(suite.cases),
            built_in=True,
        )
    )
    world.cases += [
        test_suite_pb2.TestCase(
            case_id=one.case_id, category=one.category, tool=one.tool, document=json.dumps(case_to_document(one))
        )
        for one in suite.cases
    ]
    world.datasets.append(
        dataset_pb2.DatasetVersion(
            dataset_version_id=f"{LOOP}@1",
            dataset_id=LOOP,
            version=1,
            artifact=artifact("data", 900_000),
            num_train_examples=320,
            num_validation_examples=26,
            produced_by=f"loop:{LOOP}",
        )
    )


def _add_test(
    world: World,
    run_id: str,
    evaluation_id: str,
    model: str,
    cases: tuple[Case, ...],
    *,
    conforming: float,
    age: float,
    total: int = 0,
) -> None:
    chance, profile = random.Random(run_id), get_profile("roo_xml")
    is_live = bool(total)
    transcripts, verdicts = [], []
    for place, case in enumerate(cases):
        right = chance.random() < conforming
        answer = profile.reference_answer(case) if right else _wrong_answer(case, chance, spoiled=conforming > 0)
        prompt = profile.messages(case, "compact")
        transcript = transcript_pb2.Transcript(
            transcript_id=f"{run_id}/{place}",
            test_run_id=run_id,
            case_id=case.case_id,
            messages=[_message(one) for one in [*prompt, {"role": "assistant", "content": answer}]],
            token_ids=range(len(answer) // 4),
            finish_reason=transcript_pb2.FINISH_REASON_STOP,
            num_prompt_tokens=760,
            num_cached_tokens=640,
            prefill_seconds=0.4,
            decode_seconds=len(answer) / 200,
            sequence=place + 1,
        )
        transcripts.append(transcript)
        verdicts.append(verdict_message(transcript, case, profile.judge(case, profile.read_answer(answer))))
    state = RUNNING if is_live else SUCCEEDED
    progress: dict[str, Any] = {"done": len(cases), "total": total or len(cases), "unit": "cases", "age": age}
    world.transcripts[run_id] = transcripts
    world.runs.insert(
        0,
        test_run_pb2.TestRun(
            test_run_id=run_id,
            spec=test_run_pb2.TestRunSpec(
                model_version_id=model, test_suite_version_id=SUITE, prompt_size="compact", num_repeats=1
            ),
            job=job(run_id, state, phase="generate", **progress),
            provenance=provenance_pb2.Provenance(
                model_digest=artifact("model1", 1).digest,
                test_suite_digest=world.suites[0].artifact.digest,
                profile_id="roo_xml",
                profile_digest=profile.digest,
                dtype="bfloat16",
                num_threads=2,
                library_versions={"torch": "2.13.0", "transformers": "5.23.0"},
            ),
            num_transcripts_total=total or len(cases),
            num_transcripts=len(cases),
            num_generated_tokens=sum(len(one.token_ids) for one in transcripts),
        ),
    )
    world.verdicts[evaluation_id] = verdicts
    world.evaluations.insert(
        0,
        evaluation_pb2.Evaluation(
            evaluation_id=evaluation_id,
            test_run_id=run_id,
            test_suite_version_id=SUITE,
            model_version_id=model,
            profile_id="roo_xml",
            profile_digest=profile.digest,
            metrics=metrics_of(verdicts),
            job=job(evaluation_id, state, phase="judge", **progress),
        ),
    )


def _message(one: Any) -> transcript_pb2.Message:
    return transcript_pb2.Message(**one)


def _wrong_answer(case: Case, chance: random.Random, *, spoiled: bool) -> str:
    if not spoiled:
        return chance.choice(PROSE)
    reference = get_profile("roo_xml").reference_answer(case)
    return chance.choice(
        (
            reference.replace("</", "<", 1),
            reference.replace("src", "lib").replace(".", "_"),
            f"{reference}\nDone! Let me know.",
            f"{reference}\n{reference}",
        )
    )


STATUSES: dict[str, Any] = {"passed": 1, "failed": 2, "not_applicable": 3}


def verdict_message(transcript: transcript_pb2.Transcript, case: Case, verdict: Verdict) -> verdict_pb2.Verdict:
    return verdict_pb2.Verdict(
        transcript_id=transcript.transcript_id,
        case_id=case.case_id,
        tool=case.tool,
        category=case.category,
        conforming=verdict.conforming,
        accepted=verdict.accepted,
        well_formed=verdict.well_formed,
        cause=str(verdict.cause or ""),
        sentence=verdict.sentence,
        layers=[
            verdict_pb2.Layer(
                name=one.name,
                status=STATUSES[str(one.status)],
                detail=one.detail,
                span_start=one.span[0] if one.span else 0,
                span_end=one.span[1] if one.span else 0,
            )
            for one in verdict.layers
        ],
    )


def rates_of(verdicts: list[verdict_pb2.Verdict]) -> evaluation_pb2.Rates:
    total = len(verdicts) or 1
    return evaluation_pb2.Rates(
        num_cases=len(verdicts),
        conforming_rate=sum(one.conforming for one in verdicts) / total,
        accepted_rate=sum(one.accepted for one in verdicts) / total,
        well_formed_rate=sum(one.well_formed for one in verdicts) / total,
    )


def metrics_of(verdicts: list[verdict_pb2.Verdict]) -> evaluation_pb2.Metrics:
    tools = sorted({one.tool for one in verdicts})
    causes: dict[str, int] = {}
    for one in verdicts:
        if one.cause:
            causes[one.cause] = causes.get(one.cause, 0) + 1
    ranked = sorted(causes.items(), key=lambda item: -item[1])
    return evaluation_pb2.Metrics(
        overall=rates_of(verdicts),
        by_tool=[
            evaluation_pb2.ToolRates(tool=tool, rates=rates_of([one for one in verdicts if one.tool == tool]))
            for tool in tools
        ],
        by_cause=[evaluation_pb2.CauseCount(cause=cause, num_cases=count) for cause, count in ranked],
    )
