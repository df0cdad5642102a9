"""Deployments, aliases and promotions as a person sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from drillyard.evaluator.v1.evaluation_pb2 import Evaluation
from drillyard.registry.v1.deployment_pb2 import Alias, Deployment, DeploymentBackend, DeploymentState

from ui.evaluations.views import interval_ends
from ui.shared.words import percent_text, time_text

_LINE = 200
_TONES = {"ready": "good", "failed": "bad", "starting": "live", "testing": "live", "stopping": "ended"}


@dataclass(frozen=True)
class DeploymentView:
    """A version that is served, or on its way to be."""

    deployment_id: str
    model_version_id: str
    backend: str
    state: str
    tone: str
    reason: str
    base_url: str
    changed: str
    test: str = ""
    test_run_id: str = ""


@dataclass(frozen=True)
class EvidenceView:
    """What an evaluation says for a version: its conforming rate with the ends of the 95 % interval."""

    evaluation_id: str
    model_version_id: str
    test_suite_version_id: str
    num_cases: int
    rate: float
    interval: tuple[float, float]

    @property
    def sentence(self) -> str:
        """The same in one line."""
        low, high = map(percent_text, self.interval)
        rate = percent_text(self.rate)
        return (
            f"{self.model_version_id}: {rate} conforming ({low} to {high}) of {self.num_cases} cases of "
            f"{self.test_suite_version_id}."
        )


@dataclass(frozen=True)
class AliasView:
    """A name, where it points, what was measured of that version, and of the one that a rollback goes to.

    Attributes:
        evidence: Of the version that it points at; more than one where more suites decided.
        previous_evidence: Of the version before, on the suite of the first of these; None where nothing was measured.
        problem: Why what was measured is not known; empty where it is.
    """

    alias_id: str
    model_version_id: str
    deployment_id: str
    revision: int
    previous_model_version_id: str
    shadow_model_version_id: str
    changed: str
    evidence: tuple[EvidenceView, ...] = ()
    previous_evidence: EvidenceView | None = None
    problem: str = ""

    @property
    def rollback_sentences(self) -> tuple[str, str]:
        """What was measured of the version that a rollback leaves, and of the one that it goes to."""
        current, previous = next(iter(self.evidence), None), self.previous_evidence
        return (
            current.sentence if current else f"{self.model_version_id}: {self.unmeasured}",
            previous.sentence if previous else f"{self.previous_model_version_id}: {self.unmeasured}",
        )

    @property
    def unmeasured(self) -> str:
        """Why there is no rate of a version."""
        suite = f" on {self.evidence[0].test_suite_version_id}" if self.evidence else ""
        return self.problem or f"nothing was measured{suite}."


@dataclass(frozen=True)
class Promotion:
    """How far a candidate has come on its way to an alias.

    Attributes:
        step: deploy, test, judge, compare, refused or promoted; the last two are final.
        sentence: What happens or happened, for a person.
        shadow: How the candidate answered what clients asked, as their unseen shadow; empty where it was none.
    """

    alias_id: str
    model_version_id: str
    test_suite_version_id: str
    step: str
    sentence: str
    deployment_id: str = ""
    test_run_id: str = ""
    candidate: EvidenceView | None = None
    champion: EvidenceView | None = None
    comparison: str = ""
    shadow: str = ""

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.step in ("refused", "promoted")


def shadow_sentence(pairs: Iterable[dict[str, Any]], model_version_id: str) -> str:
    """Return what the judged answers of a shadow say for it, beside those that clients got; empty without any."""
    judged = [
        (pair["verdict"]["conforming"], pair["shadow_verdict"]["conforming"])
        for pair in pairs
        if pair["shadow_model_version_id"] == model_version_id and "shadow_verdict" in pair
    ]
    if not judged:
        return ""
    gained, lost = judged.count((False, True)), judged.count((True, False))
    return (
        f"As a shadow it gave {len(judged)} answers that were judged by their form: {sum(own for _, own in judged)} "
        f"conform, and {sum(other for other, _ in judged)} of those that clients got; {gained} only in the shadow, "
        f"{lost} only there."
    )


@dataclass(frozen=True)
class ShadowPairView:
    """What a client got, what the shadow answered to the same, and what is to be said of the form of both."""

    time: str
    shadow_model_version_id: str
    outcome: str
    answer: str
    shadow_answer: str
    verdicts: tuple[str, str]


def shadow_pair_view(pair: dict[str, Any]) -> ShadowPairView:
    """Return the view of a pair of answers."""
    return ShadowPairView(
        time=str(pair["time"]),
        shadow_model_version_id=str(pair["shadow_model_version_id"]),
        outcome=str(pair["outcome"]),
        answer=answer_line(pair["answer"]),
        shadow_answer=answer_line(pair["shadow_answer"]),
        verdicts=(verdict_line(pair.get("verdict")), verdict_line(pair.get("shadow_verdict"))),
    )


def verdict_line(verdict: dict[str, Any] | None) -> str:
    """Return a verdict on the form of an answer in a line; empty where it was not judged."""
    if not verdict:
        return ""
    return "conforms" if verdict["conforming"] else f"{verdict['cause']}: {verdict['sentence']}"


def answer_line(message: dict[str, Any]) -> str:
    """Return an answer in one line, its calls behind its text."""
    functions = [call["function"] for call in message.get("tool_calls") or ()]
    calls = [f"{function['name']}({function['arguments']})" for function in functions]
    line = " ".join(" ".join([message.get("content") or "", *calls]).split())
    return line if len(line) <= _LINE else f"{line[:_LINE]}…"


def deployment_view(deployment: Deployment) -> DeploymentView:
    """Return the view of a deployment."""
    state = DeploymentState.Name(deployment.state).removeprefix("DEPLOYMENT_STATE_").lower()
    backend = DeploymentBackend.Name(deployment.spec.backend).removeprefix("DEPLOYMENT_BACKEND_")
    return DeploymentView(
        deployment_id=deployment.deployment_id,
        model_version_id=deployment.spec.model_version_id,
        backend=backend.lower().replace("_", " "),
        state=state,
        tone=_TONES.get(state, "waiting"),
        reason=deployment.reason,
        base_url=deployment.base_url,
        test=deployment.test.summary,
        test_run_id=deployment.test.test_run_id,
        changed=time_text(deployment.update_time),
    )


def alias_view(alias: Alias, named: Sequence[Evaluation] = (), recent: Sequence[Evaluation] = ()) -> AliasView:
    """Return the view of an alias.

    Args:
        alias: The alias.
        named: The evaluations by which it got its version.
        recent: Others, newest first; they stand in for what the alias names none of.
    """

    def of(version_id: str, suite: str, evaluations: Iterable[Evaluation]) -> Iterator[EvidenceView]:
        for item in evaluations:
            if item.model_version_id == version_id and suite in ("", item.test_suite_version_id):
                yield evidence_view(item)

    current = tuple(of(alias.model_version_id, "", named))
    evidence = current or tuple(islice(of(alias.model_version_id, "", recent), 1))
    suite = evidence[0].test_suite_version_id if evidence else ""
    previous = alias.previous_model_version_id
    return AliasView(
        alias_id=alias.alias_id,
        model_version_id=alias.model_version_id,
        deployment_id=alias.deployment_id,
        revision=alias.revision,
        previous_model_version_id=previous,
        shadow_model_version_id=alias.shadow_model_version_id,
        changed=time_text(alias.update_time),
        evidence=evidence,
        previous_evidence=next(of(previous, suite, [*named, *recent]), None) if previous else None,
    )


def evidence_view(evaluation: Evaluation) -> EvidenceView:
    """Return what an evaluation says for the version whose answers it judged."""
    overall = evaluation.metrics.overall
    return EvidenceView(
        evaluation_id=evaluation.evaluation_id,
        model_version_id=evaluation.model_version_id,
        test_suite_version_id=evaluation.test_suite_version_id,
        num_cases=overall.num_cases,
        rate=overall.conforming_rate,
        interval=interval_ends(overall.conforming_interval),
    )
