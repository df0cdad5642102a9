"""REST routes that set two evaluations, or two test runs, side by side."""

from __future__ import annotations

from ui.comparisons.actions import COMPARE_SECONDS
from ui.shared.rpc import RpcRouter

router = RpcRouter(tags=["comparisons"])
router.rpc(
    "GET /comparisons",
    "evaluator.CompareEvaluations",
    "Compare two finished evaluations: gains and losses with their intervals, and what to do.",
    timeout=COMPARE_SECONDS,
)
router.rpc(
    "GET /parity",
    "evaluator.CheckParity",
    "Say how far two forms of one model agree, and which step is guilty where they do not.",
    timeout=COMPARE_SECONDS,
)
router.rpc(
    "GET /test-run-comparisons",
    "test_runner.CompareTestRuns",
    "Say whether two runs have the same transcripts, and where not.",
    timeout=COMPARE_SECONDS,
)
