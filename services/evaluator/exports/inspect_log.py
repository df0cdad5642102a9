"""An evaluation log in the form that Inspect's viewer reads: EvalLog, version 2, as JSON.

Source of the form: https://inspect.aisi.org.uk/reference/inspect_ai.log.html
"""

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from services.evaluator.domain.metrics import Interval, Metrics
from services.evaluator.domain.verdict import Verdict
from services.evaluator.exports.source import Source, provenance_document
from services.evaluator.ports import AnswerEnd, Transcript
from services.protocols.turn import Message

_SCORER = "drillyard"
_STATUSES = {"SUCCEEDED": "success", "CANCELLED": "cancelled", "FAILED": "error"}
_STOPS = {AnswerEnd.STOP: "stop", AnswerEnd.LENGTH: "max_tokens", AnswerEnd.CONTEXT_OVERFLOW: "model_length"}


async def write_inspect(source: Source) -> AsyncGenerator[str]:
    """Yield the log in pieces: a sample for each transcript, scored by the verdict."""
    model = source.record.subject.model_version_id or _endpoint_model(source)
    head = json.dumps(_head(source, model), ensure_ascii=False)
    yield f'{head[:-1]}, "samples": ['
    separator = "\n"
    async for verdict, transcript in source.answered():
        yield separator + json.dumps(_sample(verdict, transcript, model), ensure_ascii=False)
        separator = ",\n"
    yield "\n]}\n"


def _head(source: Source, model: str) -> dict[str, Any]:
    subject = source.record.subject
    sampling = subject.sampling
    return {
        "version": 2,
        "status": _STATUSES.get(source.state.upper(), "started"),
        "eval": _spec(source, model),
        "plan": {
            "name": "plan",
            "steps": [],
            "config": {"max_tokens": sampling.max_new_tokens, "temperature": sampling.temperature},
        },
        "results": _results(source.metrics, subject.num_transcripts_total),
        "stats": _stats(source, model),
    }


def _spec(source: Source, model: str) -> dict[str, Any]:
    record, subject = source.record, source.record.subject
    provenance = provenance_document(record, source.run)
    return {
        "eval_id": record.evaluation_id,
        "run_id": subject.test_run_id,
        "created": source.create_time,
        "task": subject.test_suite_version_id,
        "task_id": subject.test_suite_version_id,
        "task_version": 0,
        "task_attribs": {},
        "task_args": {},
        "dataset": {
            "name": subject.test_suite_version_id,
            "samples": subject.num_transcripts_total // max(1, subject.num_repeats),
            "shuffled": False,
        },
        "model": model,
        "model_args": {},
        "config": {"epochs": max(1, subject.num_repeats)},
        "packages": provenance["library_versions"],
        "metadata": provenance,
    }


def _stats(source: Source, model: str) -> dict[str, Any]:
    usage = source.metrics.usage
    return {
        "started_at": source.create_time,
        "completed_at": source.end_time or source.create_time,
        "model_usage": {
            model: {
                "input_tokens": usage.num_prompt_tokens,
                "output_tokens": usage.num_generated_tokens,
                "total_tokens": usage.num_prompt_tokens + usage.num_generated_tokens,
                "input_tokens_cache_read": usage.num_cached_tokens,
            }
        },
    }


def _results(metrics: Metrics, num_total: int) -> dict[str, Any]:
    rates = metrics.overall
    shares: Mapping[str, tuple[float, Interval]] = {
        "conforming": (rates.conforming_rate, rates.conforming_interval),
        "accepted": (rates.accepted_rate, rates.accepted_interval),
        "well_formed": (rates.well_formed_rate, rates.well_formed_interval),
    }
    entries = {
        name: {"name": name, "value": share, "params": {}, "metadata": {"interval_95": [interval.low, interval.high]}}
        for name, (share, interval) in shares.items()
    }
    for name, mean in metrics.mean_scores.items():
        entries[f"mean_{name}"] = {"name": f"mean_{name}", "value": mean, "params": {}}
    return {
        "total_samples": num_total,
        "completed_samples": rates.num_cases,
        "scores": [{"name": _SCORER, "scorer": _SCORER, "params": {}, "metrics": entries}],
    }


def _sample(verdict: Verdict, transcript: Transcript, model: str) -> dict[str, Any]:
    messages = [_message(message, place, verdict) for place, message in enumerate(transcript.messages)]
    first = next((place for place, message in enumerate(messages) if message["role"] == "assistant"), len(messages))
    last = transcript.answers[-1]
    answer = next((message for message in reversed(messages) if message["role"] == "assistant"), None)
    return {
        "id": verdict.case_id,
        "epoch": verdict.repeat + 1,
        "input": messages[:first],
        "target": "",
        "messages": messages,
        "output": {
            "model": model,
            "choices": [{"message": answer, "stop_reason": _STOPS.get(last.end, "unknown")}] if answer else [],
        },
        **_outcome(verdict, last.text),
        "metadata": {"tool": verdict.tool, "category": verdict.category, "transcript_id": verdict.transcript_id},
        "store": {},
        "events": [],
        "model_usage": {},
        "attachments": {},
    }


def _outcome(verdict: Verdict, answer: str) -> dict[str, Any]:
    if not verdict.is_answered:
        return {"scores": {}, "error": {"message": verdict.sentence, "traceback": "", "traceback_ansi": ""}}
    score = {
        "value": "C" if verdict.conforming else "I",
        "answer": answer,
        "explanation": verdict.sentence,
        "metadata": {
            "cause": verdict.cause,
            "layer": verdict.layer,
            "accepted": verdict.accepted,
            "well_formed": verdict.well_formed,
            "scores": dict(verdict.scores),
        },
    }
    return {"scores": {_SCORER: score}}


def _message(message: Message, place: int, verdict: Verdict) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": f"{verdict.sequence}-{place}",
        "role": message["role"],
        "content": message["content"],
    }
    if calls := message.get("tool_calls"):
        entry["tool_calls"] = [
            {
                "id": call["id"],
                "function": call["function"]["name"],
                "arguments": _arguments(call["function"]["arguments"]),
                "type": "function",
            }
            for call in calls
        ]
    if call_id := message.get("tool_call_id"):
        entry["tool_call_id"] = call_id
    return entry


def _arguments(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError):
        arguments = None
    return arguments if isinstance(arguments, dict) else {"unreadable": text}


def _endpoint_model(source: Source) -> str:
    endpoint = source.record.subject.endpoint
    return f"{endpoint.model} at {endpoint.base_url}" if endpoint else "unknown"
