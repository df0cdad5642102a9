"""Tables of test results: rates by tool, failure causes, before and after."""

from __future__ import annotations

from typing import Any

from ui.cli.connection import Document
from ui.cli.output import print_table

_NUM_CASES = 20
RATES = ("conforming_rate", "accepted_rate", "well_formed_rate")


def result_of(evaluation: Document) -> Document:
    """Return an evaluation's metrics in the report's form: rates, `by_tool` and `by_cause`."""
    metrics = evaluation.get("metrics") or {}
    return {
        **(metrics.get("overall") or dict.fromkeys(RATES, 0.0) | {"num_cases": 0}),
        "by_tool": {item["tool"]: item["rates"] for item in metrics.get("by_tool", [])},
        "by_cause": {item["cause"]: item["num_cases"] for item in metrics.get("by_cause", [])},
    }


def print_result(title: str, result: Document) -> None:
    """Print one result by tool and cause."""
    results = [*result["by_tool"].items(), ("all", result)]
    rows = [
        [tool, item["num_cases"], *(_percent(item[rate]) for rate in RATES), interval_text(item)]
        for tool, item in results
    ]
    columns = ["tool", "cases", "conforming", "accepted", "well formed", "95 % of conforming"]
    if not any(row[-1] for row in rows):
        rows, columns = [row[:-1] for row in rows], columns[:-1]
    print_table(title, columns, rows, empty="Nothing is judged yet.")
    if unanswered := result.get("num_unanswered", 0):
        judged = result["num_cases"]
        print(f"{judged} of {judged + unanswered} judged, {unanswered} not answered; no rate counts these.")
    print()
    print_table("Failures by cause", ("cause", "cases"), result["by_cause"].items(), empty="No case failed.")


def interval_text(rates: Document, name: str = "conforming_interval") -> str:
    """Return a 95 % interval of a share, or nothing when none is known."""
    result = rates.get(name) or {}
    if not result.get("low") and not result.get("high"):
        return ""
    return f"{100 * result['low']:.1f} to {100 * result['high']:.1f} %"


def verdict_text(evaluation: Document) -> str:
    """Return the verdicts so far: how many conform, are accepted all the same, or fail."""
    overall = (evaluation.get("metrics") or {}).get("overall") or {}
    judged, unanswered = overall.get("num_cases", 0), overall.get("num_unanswered", 0)
    if not judged and not unanswered:
        return ""
    conforming = round(judged * overall["conforming_rate"])
    accepted = max(round(judged * overall["accepted_rate"]) - conforming, 0)
    counts = [f"{conforming} conform", *([f"{accepted} only accepted"] if accepted else [])]
    total = f"{judged} of {judged + unanswered} judged, {unanswered} not answered" if unanswered else f"{judged} judged"
    return f"{total}: {', '.join([*counts, f'{judged - conforming - accepted} fail'])}"


def print_measures(metrics: Document) -> None:
    """Print what repeats, errors of the client, turns, tokens and time say of a whole run."""
    usage, overall = metrics.get("usage") or {}, metrics.get("overall") or {}
    if not overall.get("num_cases"):
        return
    repeats = metrics.get("by_repeats", [])
    rows = [
        (f"{name}{repeat['k']}", _percent(repeat[rate]), interval_text(repeat, f"{rate}_interval"))
        for repeat in (repeats if len(repeats) > 1 else [])
        for name, rate in (("pass@", "pass_at_k"), ("pass^", "pass_hat_k"))
    ]
    if len(repeats) > 1:
        rows.append(("flaky cases", _percent(metrics["flaky_rate"]), ""))
    if num_recovery := metrics["num_recovery_cases"]:
        rate = f"{_percent(metrics['recovery_rate'])} of {num_recovery}"
        rows.append(("recovered from an error", rate, interval_text(metrics, "recovery_interval")))
    rows += [("answers a case", f"{metrics['mean_turns']:.2f}", ""), *_usage_rows(usage)]
    print()
    print_table("Repeats, recovery and cost", ("", "value", "95 %"), rows, empty="")


def print_cases(title: str, changes: list[Document], cause: str) -> None:
    """Print cases whose verdict changed, each with what is or was wrong; of many only the first, and their number."""
    if not changes:
        return
    print()
    rows = [(change["case_id"], change["tool"], change[cause], change["sentence"]) for change in changes[:_NUM_CASES]]
    print_table(f"{title} ({len(changes)})", ("case", "tool", "cause", "why"), rows, empty="")
    if len(changes) > len(rows):
        print(f"… and {len(changes) - len(rows)} more; --json lists all.")


def print_parity(body: Document) -> None:
    """Print how far two forms of one model agree, and where they first differ."""
    print(body["sentence"])
    print(
        f"{body['num_compared']} transcripts: {100 * body['equal_answers_rate']:.1f} % equal answers, "
        f"{100 * body['equal_verdicts_rate']:.1f} % equal verdicts. Guilty step: {body['guilty_step']}."
    )
    print_differences(body["differences"])


def print_differences(documents: list[Document]) -> None:
    """Print the first differences, with the place of the first token that is not the same."""
    rows = [
        (
            document["case_id"],
            document["repeat"],
            document.get("field", "answer"),
            _place(document),
            document["before"],
            document["after"],
        )
        for document in documents[:_NUM_CASES]
    ]
    if rows:
        print_table("First differences", ("case", "repeat", "what", "where", "before", "after"), rows, empty="")


def print_advice(sentences: list[str]) -> None:
    """Print what a person can do about a result, the most useful first."""
    if sentences:
        print()
    for sentence in sentences:
        print(f"• {sentence}")


def print_change(title: str, before: Document, after: Document) -> None:
    """Print two results side by side, by tool and by cause."""
    tools = sorted({*before["by_tool"], *after["by_tool"]})
    sides = [(tool, before["by_tool"].get(tool, {}), after["by_tool"].get(tool, {})) for tool in tools]
    rows = [_change_row(tool, first, second) for tool, first, second in sides]
    rows.append(_change_row("all", before, after))
    print(f"{title}\n")
    print_table("", ("tool", "cases", "conforming before", "after", "change"), rows, empty="Nothing is judged yet.")
    print()
    causes = list(dict.fromkeys([*before["by_cause"], *after["by_cause"]]))
    counts = [(cause, before["by_cause"].get(cause, 0), after["by_cause"].get(cause, 0)) for cause in causes]
    print_table("Failures by cause", ("cause", "before", "after"), counts, empty="No case failed.")


def _change_row(name: str, before: Document, after: Document) -> tuple[Any, ...]:
    first, second = before.get("conforming_rate", 0.0), after.get("conforming_rate", 0.0)
    points = round(100 * (second - first))
    change = f"{'+' if points >= 0 else '−'}{abs(points)} pts"
    return name, after.get("num_cases", before.get("num_cases", 0)), _percent(first), _percent(second), change


def _usage_rows(usage: Document) -> list[tuple[str, str, str]]:
    latency = usage.get("latency") or {}
    quantiles = " / ".join(f"{latency.get(name, 0.0):.2f}" for name in ("p50", "p95", "p99"))
    tokens = " / ".join(str(usage.get(f"num_{name}_tokens", 0)) for name in ("prompt", "cached", "generated"))
    return [
        ("tokens read / from cache / written", tokens, ""),
        ("tokens written a second", f"{usage.get('tokens_per_second', 0.0):.1f}", ""),
        ("seconds a case, p50 / p95 / p99", quantiles, ""),
    ]


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def _place(document: Document) -> str:
    return f"answer {document['turn']}" + (f", token {document['token_index']}" if document["token_index"] >= 0 else "")
