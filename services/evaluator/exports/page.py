"""One page that opens without a network: no script, no outside resource, every text shown as text."""

import heapq
import re
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from services.evaluator.domain.evaluation import ExportFact
from services.evaluator.domain.metrics import Metrics, Rates
from services.evaluator.domain.tallies import Failing
from services.evaluator.domain.verdict import Layer, Verdict
from services.evaluator.exports.source import Source, fact_lines
from services.evaluator.ports import Transcript
from services.protocols.verdict import LayerStatus

MAX_TRANSCRIPTS = 300
_FOLDER = Path(__file__).with_name("templates")
# Control characters move a terminal's cursor; bidirectional ones make a text read as another.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")


@dataclass(frozen=True)
class _Rows:
    """Failures by tool (rows) and cause (columns): counts before, where there is a before, and after."""

    causes: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[int | None, int], ...]], ...]


@dataclass(frozen=True)
class _Spoken:
    """One message of a transcript; an answer is cut where its guilty span begins and ends."""

    role: str
    before: str
    guilty: str = ""
    after: str = ""


async def write_html(source: Source) -> AsyncGenerator[str]:
    """Yield the page in pieces: figures first, then one transcript at a time, lost and failing ones first.

    At most 300 transcripts are in it, and the page says so.
    """
    before = source.before
    yield _render(
        "head",
        source=source,
        record=source.record,
        subject=source.record.subject,
        metrics=source.metrics,
        before=before,
        comparison=before.comparison if before else None,
        tools=_both(before.metrics.by_tool if before else None, source.metrics.by_tool),
        categories=_both(before.metrics.by_category if before else None, source.metrics.by_category),
        matrix=_matrix(before.failing if before else None, source.failing),
        provenance=fact_lines(source.record, source.run),
        missed_goal=_missed_goal(source.facts),
        num_shown=min(MAX_TRANSCRIPTS, source.record.num_verdicts),
    )
    system = ""
    async for verdict, transcript in source.answered(await _wanted(source)):
        prompt = next((message["content"] for message in transcript.messages if message["role"] == "system"), "")
        if prompt and not system:
            system = prompt
            yield _render("system", system=system)
        yield _render(
            "transcript",
            verdict=verdict,
            messages=_spoken(verdict, transcript, shared=system),
            failed=[layer for layer in verdict.layers if layer.status is LayerStatus.FAILED],
        )
    yield _render("foot", source=source)


def _missed_goal(facts: Sequence[ExportFact]) -> dict[str, str] | None:
    """Return what is known of the loop that ended without its goal; None for no loop, and for one that has it."""
    loop = defaultdict(str, {fact.name: fact.value for fact in facts if fact.group == "Loop"})
    return loop if loop["stop reason"] not in ("", "goals_met") else None


async def _wanted(source: Source) -> list[Verdict]:
    """Return the verdicts whose transcripts are shown: on lost cases, failing ones, on gained cases, then the rest."""
    comparison = source.before.comparison if source.before else None
    lost = {change.case_id for change in comparison.losses} if comparison else set()
    gained = {change.case_id for change in comparison.gains} if comparison else set()
    # A heap whose first entry is the least wanted: no more than the shown ones are held.
    held: list[tuple[int, int, Verdict]] = []
    async for verdict in source.verdicts():
        rank = 0 if verdict.case_id in lost else 1 if not verdict.conforming else 2 if verdict.case_id in gained else 3
        entry = (-rank, -verdict.sequence, verdict)
        if len(held) < MAX_TRANSCRIPTS:
            heapq.heappush(held, entry)
        else:
            heapq.heappushpop(held, entry)
    return [verdict for _, _, verdict in sorted(held, key=lambda entry: (-entry[0], -entry[1]))]


def _both(before: Mapping[str, Rates] | None, after: Mapping[str, Rates]) -> list[tuple[str, Rates | None, Rates]]:
    names = sorted({*(before or {}), *after})
    return [
        (name, before.get(name, Rates()) if before is not None else None, after.get(name, Rates())) for name in names
    ]


def _matrix(before: Sequence[Failing] | None, after: Sequence[Failing]) -> _Rows:
    old = Counter((failure.tool, failure.cause) for failure in before or () if failure.is_answered)
    new = Counter((failure.tool, failure.cause) for failure in after if failure.is_answered)
    by_cause: Counter[str] = Counter()
    for (_, cause), count in [*old.items(), *new.items()]:
        by_cause[cause] += count
    causes = tuple(sorted(by_cause, key=lambda cause: (-by_cause[cause], cause)))
    rows = tuple(
        (tool, tuple((old[tool, cause] if before is not None else None, new[tool, cause]) for cause in causes))
        for tool in sorted({tool for tool, _ in [*old, *new]})
    )
    return _Rows(causes, rows)


def _spoken(verdict: Verdict, transcript: Transcript, *, shared: str) -> list[_Spoken]:
    guilty = {
        layer.turn: layer for layer in reversed(verdict.layers) if layer.status is LayerStatus.FAILED and layer.span
    }
    pieces, turn = [], _first_turn(transcript)
    for message in transcript.messages:
        text = message["content"]
        if message["role"] == "system":
            pieces += [] if text == shared else [_Spoken("system", text)]
            continue
        if message["role"] == "assistant":
            pieces.append(_marked(text, guilty.get(turn)))
            pieces += [
                _Spoken("call", f"{call['function']['name']}({call['function']['arguments']})")
                for call in message.get("tool_calls", [])
            ]
            turn += 1
            continue
        pieces.append(_Spoken(message["role"], text))
    return pieces


def _first_turn(transcript: Transcript) -> int:
    """Return the number of the first assistant message, counted so that the answers to judge begin at 0."""
    num_spoken = sum(message["role"] == "assistant" for message in transcript.messages)
    num_made = sum(answer.end.value in ("stop", "length") for answer in transcript.answers)
    return num_made - num_spoken


def _marked(text: str, layer: Layer | None) -> _Spoken:
    if layer is None or layer.span is None:
        return _Spoken("assistant", text)
    start, end = layer.span
    return _Spoken("assistant", text[:start], text[start:end], text[end:])


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(f"{template}.html").render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=lambda share: f"{100 * share:.1f} %", words=lambda text: str(text).replace("_", " ")
    )
    environment.globals.update(style=Markup((_FOLDER / "style.css").read_text(encoding="utf-8")), rates_of=_rates_of)
    return environment


def _rates_of(metrics: Metrics) -> list[tuple[str, float, float, float]]:
    rates = metrics.overall
    return [
        ("Conforming", rates.conforming_rate, rates.conforming_interval.low, rates.conforming_interval.high),
        ("Accepted by the client", rates.accepted_rate, rates.accepted_interval.low, rates.accepted_interval.high),
        ("Well formed", rates.well_formed_rate, rates.well_formed_interval.low, rates.well_formed_interval.high),
    ]


def _finalize(value: Any) -> Any:
    if isinstance(value, Markup):
        return value
    return escape(_INVISIBLE.sub(lambda match: f"\\u{{{ord(match.group()):x}}}", str(value)))
