"""Asking the template doctor."""

from __future__ import annotations

from drillyard.test_runner.v1.diagnosis_pb2 import DiagnoseModelRequest

from ui.diagnoses.views import DiagnosisView, diagnosis_view
from ui.gateway.clients import Clients

# It loads a tokenizer, and a slow server may be asked for an answer.
DIAGNOSE_SECONDS = 140.0


async def read_diagnosis(clients: Clients, request: DiagnoseModelRequest) -> DiagnosisView:
    """Return what the doctor finds as a person sees it; takes some seconds.

    Raises:
        NotFound: There is no such model version.
    """
    return diagnosis_view(request, await clients.test_runner.DiagnoseModel(request, timeout=DIAGNOSE_SECONDS))
