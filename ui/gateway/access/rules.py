"""Which scope each route asks for; what has no rule here is refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from re import Pattern

from starlette.routing import compile_path

from ui.gateway.access.caller import EVERY_SCOPE, Scope
from ui.shared import environment

PUBLIC: frozenset[Scope] = frozenset()
_NAMED_SETS = {"public": PUBLIC, "known": EVERY_SCOPE}
# How many leading characters of a path choose the rules that are looked at.
_SEGMENTS = 3

# Method and scopes of which the caller needs one; `public` asks for nobody, `known` for anybody who is known.
ROUTES: Mapping[str, str] = {
    "/api/v1/aliases": "GET read",
    "/api/v1/aliases/{alias_id}": "GET read, PUT publish, DELETE publish",
    "/api/v1/aliases/{alias_id}/evidence": "GET read",
    "/api/v1/aliases/{alias_id}/promotion": "POST publish",
    "/api/v1/aliases/{alias_id}/rollback": "POST publish",
    "/api/v1/aliases/{alias_id}/shadow-answers": "GET read",
    "/api/v1/api-keys": "GET admin, POST admin",
    "/api/v1/api-keys/{key_id}/revoke": "POST admin",
    "/api/v1/audit-events": "GET admin",
    "/api/v1/caller": "GET known",
    "/api/v1/comparisons": "GET read",
    "/api/v1/dataset-builds": "GET read, POST train",
    "/api/v1/dataset-builds/{dataset_build_id}": "GET read",
    "/api/v1/dataset-builds/{dataset_build_id}/cancel": "POST train",
    "/api/v1/dataset-builds/{dataset_build_id}/events": "GET read",
    "/api/v1/dataset-imports": "GET read|train, POST train",
    "/api/v1/dataset-imports/{dataset_import_id}": "GET read|train",
    "/api/v1/dataset-imports/{dataset_import_id}/cancel": "POST train",
    "/api/v1/dataset-imports/{dataset_import_id}/events": "GET read|train",
    "/api/v1/datasets": "GET read, POST train",
    "/api/v1/datasets/validate": "POST train",
    "/api/v1/datasets/validate-upload": "POST train",
    "/api/v1/datasets/{dataset_version_id:path}": "GET read|train, DELETE train",
    "/api/v1/datasets/{dataset_version_id:path}/export": "GET read",
    "/api/v1/datasets/{dataset_version_id:path}/mix": "GET read",
    "/api/v1/datasets/{dataset_version_id:path}/revise": "POST train",
    "/api/v1/datasets/{dataset_version_id:path}/rows": "GET read",
    "/api/v1/deliveries": "GET admin",
    "/api/v1/deployments": "GET read, POST publish",
    "/api/v1/deployments/{deployment_id}": "GET read, DELETE publish",
    "/api/v1/evaluations": "GET read, POST test",
    "/api/v1/evaluations/{evaluation_id}": "GET read, DELETE test",
    "/api/v1/evaluations/{evaluation_id}/cancel": "POST test",
    "/api/v1/evaluations/{evaluation_id}/events": "GET read",
    "/api/v1/evaluations/{evaluation_id}/export": "GET read",
    "/api/v1/exports": "GET read, POST train",
    "/api/v1/exports/{export_id}": "GET read",
    "/api/v1/exports/{export_id}/cancel": "POST train",
    "/api/v1/exports/{export_id}/events": "GET read",
    "/api/v1/feedback": "GET read, POST feedback",
    "/api/v1/feedback/agreement": "GET read",
    "/api/v1/feedback/export": "GET read",
    "/api/v1/feedback-imports": "GET read|feedback, POST feedback",
    "/api/v1/feedback-imports/{feedback_import_id}": "GET read|feedback",
    "/api/v1/feedback-imports/{feedback_import_id}/events": "GET read|feedback",
    "/api/v1/feedback/{feedback_item_id}": "GET read",
    "/api/v1/feedback/{feedback_item_id}/withdraw": "POST feedback",
    "/api/v1/garbage-collections": "POST admin",
    "/api/v1/imports": "GET read, POST train",
    "/api/v1/imports/{import_id}": "GET read",
    "/api/v1/imports/{import_id}/cancel": "POST train",
    "/api/v1/imports/{import_id}/events": "GET read",
    "/api/v1/loops": "GET read, POST train",
    "/api/v1/loops:plan": "POST train",
    "/api/v1/loops/{loop_id}": "GET read, DELETE train",
    "/api/v1/loops/{loop_id}/cancel": "POST train",
    "/api/v1/loops/{loop_id}/decision": "POST train",
    "/api/v1/loops/{loop_id}/events": "GET read",
    "/api/v1/loops/{loop_id}/progress": "GET read",
    "/api/v1/loops/{loop_id}/report": "GET read",
    "/api/v1/loops/{loop_id}/report.html": "GET read",
    "/api/v1/model-versions": "GET read",
    "/api/v1/model-versions/garbage-collection": "POST admin",
    "/api/v1/model-versions/{model_version_id}": "GET read, DELETE train",
    "/api/v1/model-versions/{model_version_id}/lineage": "GET read",
    "/api/v1/models": "GET read",
    "/api/v1/models/{model_id}": "GET read",
    "/api/v1/models/{model_version_id}/diagnosis": "POST test",
    "/api/v1/notices": "GET read",
    "/api/v1/parity": "GET read",
    "/api/v1/prompts/render": "POST read",
    "/api/v1/publications": "GET read, POST publish",
    "/api/v1/publications/{publication_id}": "GET read",
    "/api/v1/publications/{publication_id}/cancel": "POST publish",
    "/api/v1/publications/{publication_id}/events": "GET read",
    "/api/v1/scheduled-runs/{scheduled_run_id}": "GET read",
    "/api/v1/scheduled-runs/{scheduled_run_id}/cancel": "POST train",
    "/api/v1/schedules": "GET read, POST train",
    "/api/v1/schedules/{schedule_id}": "GET read, DELETE train",
    "/api/v1/schedules/{schedule_id}/pause": "POST train",
    "/api/v1/schedules/{schedule_id}/resume": "POST train",
    "/api/v1/schedules/{schedule_id}/run": "POST train",
    "/api/v1/schedules/{schedule_id}/runs": "GET read",
    "/api/v1/sessions": "GET read",
    "/api/v1/sessions/{session_id}": "DELETE feedback",
    "/api/v1/sessions/{session_id}/answers": "GET read",
    "/api/v1/sessions/{session_id}/keep": "POST feedback",
    "/api/v1/sessions/{session_id}/suites": "POST feedback",
    "/api/v1/shipments": "GET read, POST publish",
    "/api/v1/shipments/{shipment_id}": "GET read",
    "/api/v1/shipments/{shipment_id}/cancel": "POST publish",
    "/api/v1/shipments/{shipment_id}/events": "GET read",
    "/api/v1/subscriptions": "GET admin, POST admin",
    "/api/v1/subscriptions/{subscription_id}": "DELETE admin",
    "/api/v1/subscriptions/{subscription_id}/test": "POST admin",
    "/api/v1/test-run-comparisons": "GET read",
    "/api/v1/storage": "GET admin",
    "/api/v1/test-runs": "GET read, POST test",
    "/api/v1/test-runs/{test_run_id}": "GET read, DELETE test",
    "/api/v1/test-runs/{test_run_id}/cancel": "POST test",
    "/api/v1/test-runs/{test_run_id}/events": "GET read",
    "/api/v1/test-runs/{test_run_id}/pause": "POST test",
    "/api/v1/test-runs/{test_run_id}/resume": "POST test",
    "/api/v1/test-suites": "GET read, POST test",
    "/api/v1/test-suites/validate": "POST test",
    "/api/v1/test-suites/{test_suite_version_id:path}": "GET read, DELETE test",
    "/api/v1/test-suites/{test_suite_version_id:path}/cases": "GET read",
    "/api/v1/test-suites/{test_suite_version_id:path}/export": "GET read",
    "/api/v1/training-jobs": "GET read, POST train",
    "/api/v1/training-jobs/preflight": "POST train",
    "/api/v1/training-jobs/{training_job_id}": "GET read, DELETE train",
    "/api/v1/training-jobs/{training_job_id}/cancel": "POST train",
    "/api/v1/training-jobs/{training_job_id}/checkpoints": "GET read",
    "/api/v1/training-jobs/{training_job_id}/checkpoints/{step}": "GET read, DELETE train",
    "/api/v1/training-jobs/{training_job_id}/curve-points": "GET read",
    "/api/v1/training-jobs/{training_job_id}/events": "GET read",
    "/api/v1/training-jobs/{training_job_id}/pause": "POST train",
    "/api/v1/training-jobs/{training_job_id}/resume": "POST train",
    "/api/v1/transcripts": "GET read",
    "/api/v1/transcripts/{transcript_id:path}": "GET read",
    "/api/v1/uploads": "POST train",
    "/api/v1/uploads/{upload_id}": "GET train, DELETE train",
    "/api/v1/uploads/{upload_id}/files/{name:path}": "PUT train",
    "/api/v1/uploads/{upload_id}/finish": "POST train",
    "/api/v1/users": "GET admin, POST admin",
    "/api/v1/users/{user_id}": "DELETE admin",
    "/api/v1/verdicts": "GET read",
    "/api/v1/workspaces": "GET known",
    "/api/v1/workspaces/{workspace_id}": "PUT admin, DELETE admin",
    "/api/v1/verdicts/judge": "POST test",
    "/api/v1/verdicts/judge-batch": "POST test",
    "/v1/chat/completions": "POST test",
    "/v1/completions": "POST test",
    "/v1/feedback": "POST feedback",
    "/v1/files": "GET read|train, POST train",
    "/v1/files/{file_id:path}": "GET read|train, DELETE train",
    "/v1/files/{file_id:path}/content": "GET read|train",
    "/v1/fine_tuning/jobs": "GET read|train, POST train",
    "/v1/fine_tuning/jobs/{job_id}": "GET read|train",
    "/v1/fine_tuning/jobs/{job_id}/cancel": "POST train",
    "/v1/fine_tuning/jobs/{job_id}/checkpoints": "GET read|train",
    "/v1/fine_tuning/jobs/{job_id}/events": "GET read|train",
    "/v1/fine_tuning/jobs/{job_id}/pause": "POST train",
    "/v1/fine_tuning/jobs/{job_id}/resume": "POST train",
    "/v1/messages": "POST test",
    "/v1/messages/count_tokens": "POST test",
    "/v1/models": "GET read|test",
    "/v1/models/{model:path}": "GET read|test",
    "/v1/sessions/{session_id}/chat/completions": "POST test",
    "/v1/sessions/{session_id}/models": "GET read|test",
    "/v1/sessions/{session_id}/models/{model:path}": "GET read|test",
    # Where OpenAI's other routes are told to be unknown.
    "/v1/{path:path}": "GET known, POST known, PUT known, PATCH known, DELETE known",
    "/docs": "GET read",
    "/openapi.json": "GET read",
    "/settings": "GET known, POST admin",
    "/login": "GET public, POST public",
    "/login/oidc": "GET public",
    "/login/oidc/callback": "GET public",
    "/logout": "POST public",
}
# Of the page framework only what the pages use: its other routes are for programs, recordings and its own cloud.
PAGES: Mapping[str, str] = {
    **{path.removeprefix("."): "GET read" for _, path in environment.PAGES},
    "/{page}/": "GET read",
    "/config": "GET read",
    "/config/": "GET read",
    "/theme.css": "GET read",
    "/manifest.json": "GET read",
    "/favicon.ico": "GET public",
    "/robots.txt": "GET public",
    "/assets/{path:path}": "GET read",
    "/static/{path:path}": "GET read",
    "/svelte/{path:path}": "GET read",
    "/gradio_api/app_id": "GET read",
    "/gradio_api/cancel": "POST read",
    "/gradio_api/file={path_or_url:path}": "GET read",
    "/gradio_api/heartbeat/{session_hash}": "GET read",
    "/gradio_api/info": "GET read",
    # Each event of a page asks for its own scope beside.
    "/gradio_api/queue/join": "POST read",
    "/gradio_api/queue/data": "GET read",
    "/gradio_api/reset": "POST read",
    "/gradio_api/startup-events": "GET read",
    "/gradio_api/theme.css": "GET read",
    "/gradio_api/upload": "POST test|train|feedback",
    "/gradio_api/upload_progress": "GET test|train|feedback",
}


@dataclass(frozen=True)
class Rule:
    """What one method of one route asks for."""

    method: str
    path: str
    scopes: frozenset[Scope]
    pattern: Pattern[str]


def rules_of(routes: Mapping[str, str]) -> list[Rule]:
    """Return the rules of a table."""
    return [
        Rule(method, path, _scopes(names), compile_path(path)[0])
        for path, entries in routes.items()
        for method, names in (entry.split() for entry in entries.split(", "))
    ]


class Rules:
    """The rules of all routes, by the beginning of their paths."""

    def __init__(self) -> None:
        self._exact: dict[tuple[str, str], Rule] = {}
        self._by_beginning: dict[tuple[str, str], list[Rule]] = defaultdict(list)
        self._others: list[Rule] = []
        for rule in rules_of({**ROUTES, **PAGES}):
            if "{" not in rule.path:
                self._exact[rule.method, rule.path] = rule
            elif "{" in _beginning(rule.path):
                self._others.append(rule)
            else:
                self._by_beginning[rule.method, _beginning(rule.path)].append(rule)

    def of(self, method: str, path: str) -> list[Rule]:
        """Return each rule that a request falls under: it needs what every one of them asks for. None: it is refused.

        Which route answers is for the framework to say; so it is never another one than was asked for here.
        """
        if path.endswith("\n"):
            # The framework's patterns end before a line break too, but an exact path does not have it.
            return []
        exact = self._exact.get((method, path))
        candidates = [*self._by_beginning.get((method, _beginning(path)), ()), *self._others]
        matches = [rule for rule in candidates if rule.method == method and rule.pattern.match(path)]
        return [exact, *matches] if exact else matches


def _beginning(path: str) -> str:
    return "/".join(path.split("/", _SEGMENTS + 1)[: _SEGMENTS + 1])


def _scopes(names: str) -> frozenset[Scope]:
    return _NAMED_SETS[names] if names in _NAMED_SETS else frozenset(map(Scope, names.split("|")))
