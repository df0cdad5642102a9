"""REST route of diagnoses."""

from __future__ import annotations

from ui.diagnoses.actions import DIAGNOSE_SECONDS
from ui.shared.rpc import RpcRouter

router = RpcRouter(tags=["diagnoses"])
router.rpc(
    "POST /models/{model_version_id}/diagnosis",
    "test_runner.DiagnoseModel",
    "Check a model's chat template and settings against a protocol; a model's id alone gives its newest version.",
    timeout=DIAGNOSE_SECONDS,
)
