"""Runs lm-eval in a process of its own: one JSON request on stdin, lines of JSON on stdout."""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from typing import IO, Any

import openai
from lm_eval import evaluator
from lm_eval.tasks import TaskManager

from ui.cli.guardrails.model import GatewayModel, UnsuitedError
from ui.cli.guardrails.results import results_of
from ui.cli.guardrails.tasks import FOLDER, OWN_TASKS


def main() -> None:
    """Do what stdin asks; the last line of stdout is the result or the problem."""
    # Whatever libraries print goes to stderr, so that stdout holds nothing but our lines.
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    try:
        tell(lines, event="result", **_evaluated(request, lines))
    except (UnsuitedError, openai.APIError, KeyError, ValueError, OSError) as error:
        tell(lines, event="problem", problem=" ".join(str(error).split())[:500])


def tell(lines: IO[str], **fields: Any) -> None:
    """Write one line."""
    print(json.dumps(fields), file=lines, flush=True)


def _evaluated(request: dict[str, Any], lines: IO[str]) -> dict[str, Any]:
    model = GatewayModel(
        url=request["url"],
        model=request["model"],
        concurrency=request["concurrency"],
        on_answer=lambda done, total: tell(lines, event="progress", num_done=done, num_total=total),
    )
    # Our own data are named relative to their folder; indexing lm-eval's thousands of tasks takes seconds.
    os.chdir(FOLDER)
    is_own = set(request["tasks"]) <= OWN_TASKS
    # lm-eval asks pip and torch about the machine, for seconds; of that only its own version is read.
    evaluator.add_env_info = lambda results: results.update(lm_eval_version=version("lm_eval"))
    result = evaluator.simple_evaluate(
        model=model,
        tasks=request["tasks"],
        limit=request["limit"] or None,
        num_fewshot=request["num_fewshot"],
        apply_chat_template=request["chat"],
        log_samples=False,
        task_manager=TaskManager(include_path=str(FOLDER), include_defaults=not is_own),
        bootstrap_iters=1000,
    )
    return results_of(dict(result or {}))


if __name__ == "__main__":
    main()
