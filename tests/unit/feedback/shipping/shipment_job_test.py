"""Shipments step by step: each planted fault is refused by its step and class, and a kill repeats nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any

import pytest
from drillyard.feedback.v1 import shipment_pb2
from drillyard.job.v1 import job_pb2
from google.protobuf.json_format import ParseDict

from services.chassis.errors import AlreadyExists, InvalidArgument
from services.chassis.jobs import JobRunner, JobState
from services.chassis.wire import check
from services.feedback.convert.jobs import shipment_spec_from_proto, shipment_to_proto
from services.feedback.domain.shipment import SHIPMENT_KIND, GateStep, Shipment
from services.feedback.domain.work import WorkState
from services.feedback.jobs.shipping.record import ShipmentRecord
from services.feedback.jobs.shipping.shipment import ShipmentJob
from services.feedback.servicer import FeedbackServicer
from services.feedback.store.jobs import JobLoopStore, JobShipmentStore
from services.feedback.usecases.jobs import FeedbackUseCases
from tests.machine import PATIENCE_SECONDS
from tests.unit.chassis.jobs.memory_store import MemoryJobStore
from tests.unit.feedback.bench import MemoryAnswers
from tests.unit.feedback.shipping.world import BASE, CASES, SUITE, VERSION, ShippingWorld

BODY: dict[str, Any] = {
    "model_version_id": "small-roo",
    "test_suite_version_id": "roo_xml/core",
    "export": {"form": "EXPORT_FORM_GGUF", "number_type": "Q8_0"},
    "destinations": [{"ollama_name": "roo"}, {"folder_path": "/out"}],
}


class Bench:
    """A shipment's job over a world with one fault, or over another world."""

    def __init__(self, fault: str = "", world: ShippingWorld | None = None) -> None:
        self.world, self.jobs = world or ShippingWorld(fault), MemoryJobStore()
        self.store = JobShipmentStore(self.jobs)
        registry: Any = self.world.registry
        self.usecases = FeedbackUseCases(JobLoopStore(self.jobs, MemoryAnswers()), registry, self.store)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        job = ShipmentJob(self.world.services)
        runner = JobRunner(self.jobs, owner="bench", is_only_owner=True)
        runner.register(SHIPMENT_KIND, job.run, cleanup=job.clean_up)
        await runner.start()
        try:
            yield
        finally:
            await runner.stop(10.0)

    async def create(self, **more: Any) -> Shipment:
        spec = shipment_spec_from_proto(ParseDict({**BODY, **more}, shipment_pb2.ShipmentSpec()))
        return await self.usecases.create_shipment("once", spec)

    async def shipped(self, **more: Any) -> shipment_pb2.Shipment:
        async with self.at_work():
            shipment = await self.create(**more)
            async with asyncio.timeout(PATIENCE_SECONDS):
                async for _ in self.store.watch(shipment.shipment_id, 0):
                    pass
        return shipment_to_proto(await self.store.get(shipment.shipment_id))


async def test_a_form_that_passes_everything_is_published_in_each_place() -> None:
    bench = Bench()
    shipment = await bench.shipped()
    assert shipment.job.state == job_pb2.JOB_STATE_SUCCEEDED
    assert [(result.step, result.passed) for result in shipment.results] == [(step, True) for step in range(1, 6)]
    assert list(shipment.locations) == ["at publication-0", "at publication-1"]
    assert (shipment.spec.model_version_id, shipment.spec.test_suite_version_id) == (VERSION, SUITE)
    (spec,) = bench.world.exports.bodies.values()
    assert spec["profile_id"] == "roo_xml" and spec["model_version_id"] == VERSION and spec["number_type"] == "Q8_0"
    summary = shipment.results[3].summary
    assert "1 gained: " + CASES[5].case_id in summary and "50.0% of the answers are the same" in summary
    assert "guilty" not in summary
    runs = [order.model_version_id for order in bench.world.test_runner.bodies.values()]
    assert runs == [VERSION, shipment.form_model_version_id]
    # The card that is published says how the form itself did, and what the gate found of it.
    (_, judged) = bench.world.evaluator.bodies
    for model_version_id, _, card in bench.world.publications.bodies.values():
        assert model_version_id == shipment.form_model_version_id
        assert card.startswith(f"Tested in {judged}.") and f"- {summary}" in card and "prompts are the same" in card


@pytest.mark.parametrize(
    ("fault", "step", "kind"),
    [
        ("bos", GateStep.PROMPTS, "special tokens"),
        ("system", GateStep.PROMPTS, "system injected"),
        ("refusal", GateStep.PROMPTS, "template"),
        ("stop", GateStep.PROMPTS, "stop"),
        ("base", GateStep.LOG_PROBS, "weights"),
        ("quantised", GateStep.LOG_PROBS, "weights"),
        ("head", GateStep.LOG_PROBS, "weights"),
        ("model", GateStep.SUITE, "model"),
        ("parser", GateStep.SUITE, "parser"),
    ],
)
async def test_a_fault_is_refused_by_its_step_and_class_and_nothing_is_published(
    fault: str, step: GateStep, kind: str
) -> None:
    bench = Bench(fault)
    shipment = await bench.shipped()
    last = shipment.results[-1]
    assert shipment_pb2.GateStep.Name(last.step) == f"GATE_STEP_{step}" and not last.passed
    assert {difference.partition(":")[0] for difference in last.differences} == {kind}
    assert shipment.job.error.code == "FAILED_PRECONDITION"
    assert step.lower().replace("_", " ") in shipment.job.error.problem and kind in shipment.job.error.problem
    assert "nothing was published" in shipment.job.error.next_step
    assert not bench.world.publications.bodies and not shipment.locations
    # The version's run began while the form was scored; nobody waits for it any more.
    assert step is GateStep.SUITE or set(bench.world.test_runner.bodies) <= set(bench.world.test_runner.cancelled)


@pytest.mark.parametrize("endpoint", [{"base_url": "http://vllm.test/v1"}, {"model": "roo-lora"}])
async def test_an_endpoint_needs_an_address_and_the_name_of_the_model_there(endpoint: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument, match="The endpoint at which the form is served has no"):
        await Bench().create(endpoint=endpoint)


async def test_a_form_that_is_served_elsewhere_is_asked_there_for_its_prompts_and_the_suite() -> None:
    bench, endpoint = Bench(), {"base_url": "http://vllm.test/v1", "model": "roo-lora"}
    bench.world.forms.known_run = "run-known"
    shipment = await bench.shipped(endpoint=endpoint)
    assert shipment.job.state == job_pb2.JOB_STATE_SUCCEEDED, shipment.job.error
    assert shipment.spec.endpoint.model == "roo-lora"
    form = shipment.form_model_version_id
    asked = {(one.model_version_id, (one.endpoint or {}).get("model")) for one in bench.world.forms.rendered}
    assert asked == {(VERSION, None), (form, "roo-lora")}
    (order,) = bench.world.test_runner.bodies.values()
    assert (order.model_version_id, order.endpoint) == (form, endpoint)


@pytest.mark.parametrize("step", list(GateStep))
async def test_a_shipment_that_is_killed_in_any_step_goes_on_and_starts_nothing_twice(
    step: GateStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench()
    world, block = bench.world, asyncio.Event()
    owner, name = {
        GateStep.EXPORT: (world.exports, "form"),
        GateStep.PROMPTS: (world.forms, "render"),
        GateStep.LOG_PROBS: (world.forms, "score"),
        GateStep.SUITE: (world.test_runner, "is_incomplete"),
        GateStep.PUBLICATION: (world.publications, "location"),
    }[step]
    reached, whole = asyncio.Event(), getattr(owner, name)

    async def blocked(*arguments: Any, **more: Any) -> Any:
        reached.set()
        await block.wait()
        return await whole(*arguments, **more)

    monkeypatch.setattr(owner, name, blocked)
    async with bench.at_work():
        await bench.create()
        await asyncio.wait_for(reached.wait(), PATIENCE_SECONDS)
    block.set()
    shipment = await bench.shipped()
    assert [result.passed for result in shipment.results] == [True] * 5
    starts = world.exports.starts + world.test_runner.starts + world.evaluator.starts + world.publications.starts
    names = ("export", "test_run", "form_test_run", "evaluation", "form_evaluation", "publication-0", "publication-1")
    assert dict(starts) == dict.fromkeys(names, 1)


async def test_the_version_is_asked_while_its_form_is_written_and_tested_while_the_form_is_scored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench, asked = Bench(), asyncio.Event()
    world = bench.world
    score, form = world.forms.score, world.exports.form

    async def scored(model_version_id: str, rows: Any, *, max_tokens: int = 0) -> Any:
        if model_version_id == VERSION:
            asked.set()
        elif model_version_id != BASE and not max_tokens:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not world.test_runner.starts:
                    await asyncio.sleep(0)
        return await score(model_version_id, rows, max_tokens=max_tokens)

    async def written(export_id: str) -> str:
        await asyncio.wait_for(asked.wait(), PATIENCE_SECONDS)
        return await form(export_id)

    monkeypatch.setattr(world.forms, "score", scored)
    monkeypatch.setattr(world.exports, "form", written)
    shipment = await bench.shipped()
    assert [result.passed for result in shipment.results] == [True] * 5


async def test_runs_that_go_on_side_by_side_are_told_by_what_they_test(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, seen, told = Bench(), set[str](), set[str]()
    ended, report = bench.world.test_runner.state, ShipmentRecord.report

    async def state(work_id: str) -> WorkState:
        first = work_id not in seen
        seen.add(work_id)
        return WorkState(JobState.RUNNING) if first else await ended(work_id)

    async def heard(record: ShipmentRecord, step: GateStep, message: str, *, waits: bool = False) -> None:
        told.add(message)
        await report(record, step, message, waits=waits)

    monkeypatch.setattr(bench.world.test_runner, "state", state)
    monkeypatch.setattr(ShipmentRecord, "report", heard)
    shipment = await bench.shipped()
    assert {f"{name} · 1 of 1 bytes" for name in (VERSION, shipment.form_model_version_id)} < told


async def test_a_run_of_the_version_that_there_is_already_is_used_again() -> None:
    bench = Bench()
    bench.world.forms.known_run = "known-run"
    shipment = await bench.shipped()
    assert shipment.test_run_id == "known-run"
    (spec,) = bench.world.exports.bodies.values()
    assert spec["card"] == "Trained by train-1.\n\nTested in known-evaluation."
    assert list(bench.world.test_runner.starts) == ["form_test_run"]
    assert list(bench.world.evaluator.starts) == ["form_evaluation"]


async def test_a_gguf_adapter_gets_the_gguf_of_its_base_first() -> None:
    bench = Bench()
    shipment = await bench.shipped(export={"form": "EXPORT_FORM_GGUF_ADAPTER"}, destinations=[])
    base, adapter = bench.world.exports.bodies.values()
    assert (base["model_version_id"], base["form"]) == ("small@1", "EXPORT_FORM_GGUF")
    assert adapter["form"] == "EXPORT_FORM_GGUF_ADAPTER"
    assert shipment.base_form_model_version_id == await bench.world.exports.form("export-0")


async def test_work_that_fails_elsewhere_fails_the_shipment_in_its_own_words() -> None:
    bench = Bench()
    bench.world.exports.outcome = WorkState(
        JobState.FAILED, "FAILED_PRECONDITION", "The disk is too small.", "Free some."
    )
    shipment = await bench.shipped()
    assert "The disk is too small." in shipment.job.error.problem and not shipment.results


async def test_a_shipment_without_a_form_or_a_place_is_refused() -> None:
    bench = Bench()
    with pytest.raises(InvalidArgument, match="names no form"):
        await bench.create(export={})
    with pytest.raises(InvalidArgument, match="destination 0 names no place"):
        await bench.create(destinations=[{"secret": "token"}])
    with pytest.raises(InvalidArgument, match="prompt_size"):
        await bench.create(prompt_size="huge")
    with pytest.raises(InvalidArgument, match="num_rows is 19, which is not between 20 and 1000"):
        check(ParseDict({**BODY, "num_rows": 19}, shipment_pb2.ShipmentSpec()))
    first = await bench.create()
    assert (await bench.create()).shipment_id == first.shipment_id
    with pytest.raises(AlreadyExists):
        await bench.create(num_rows=25)


async def test_the_rpcs_start_show_list_watch_and_cancel() -> None:
    bench = Bench()
    others: Any = dict.fromkeys(part.name for part in fields(FeedbackServicer))
    servicer: Any = FeedbackServicer(**others | {"usecases": bench.usecases, "shipments": bench.store})
    request = shipment_pb2.CreateShipmentRequest(request_id="r", spec=ParseDict(BODY, shipment_pb2.ShipmentSpec()))
    made = (await servicer.CreateShipment(request, None)).shipment
    assert (made.spec.num_rows, made.spec.max_rate_loss, made.spec.prompt_size) == (20, 0.02, "compact")
    shown = await servicer.GetShipment(shipment_pb2.GetShipmentRequest(shipment_id=made.shipment_id), None)
    listed = await servicer.ListShipments(shipment_pb2.ListShipmentsRequest(), None)
    assert shown.shipment == made and list(listed.shipments) == [made]
    cancelled = await servicer.CancelShipment(shipment_pb2.CancelShipmentRequest(shipment_id=made.shipment_id), None)
    assert cancelled.shipment.job.state == job_pb2.JOB_STATE_CANCELLED
    watched = servicer.WatchShipment(shipment_pb2.WatchShipmentRequest(shipment_id=made.shipment_id), None)
    assert [response async for response in watched]
