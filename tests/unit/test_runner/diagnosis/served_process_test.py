"""A diagnosis through the test runner's process, with the registry and a tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest
from drillyard.test_runner.v1 import diagnosis_pb2, test_run_pb2, test_runner_service_pb2_grpc

from services.chassis.errors import InvalidArgument, NotFound
from tests.integration.tiny_stack import MODEL, connected, tiny_stack


async def test_a_model_of_the_registry_is_examined_by_a_process_of_its_own(tmp_path: Path) -> None:
    async with tiny_stack(tmp_path, num_cases=1, window_size=1) as stack, connected(stack.runner) as channel:
        stub = test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)
        request = diagnosis_pb2.DiagnoseModelRequest(
            model_version_id=MODEL, profile_id="roo_native", prompt_size="full"
        )
        found = await stub.DiagnoseModel(request, timeout=100)
        codes = {finding.code for finding in found.findings}
        assert {"no_tools_branch", "tool_calls_dropped", "context_too_short"} <= codes
        assert found.findings[0].severity == diagnosis_pb2.SEVERITY_ERROR
        assert found.num_context_tokens == 4096

        request.endpoint.CopyFrom(test_run_pb2.Endpoint(base_url="http://127.0.0.1:1/v1", model="tiny"))
        found = await stub.DiagnoseModel(request, timeout=100)
        assert "endpoint_unreachable" in {finding.code for finding in found.findings}
        with pytest.raises(NotFound):
            await stub.DiagnoseModel(diagnosis_pb2.DiagnoseModelRequest(model_version_id="no", profile_id="roo_xml"))
        with pytest.raises(InvalidArgument):
            await stub.DiagnoseModel(diagnosis_pb2.DiagnoseModelRequest(model_version_id=MODEL, profile_id="no"))
