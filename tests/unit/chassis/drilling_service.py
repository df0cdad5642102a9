"""A whole service on the chassis, for tests that kill it: its one job drills `units` units, a checkpoint after each."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path
from typing import Any

import grpc

from services.chassis.application import Application, run
from services.chassis.jobs import JobContext, JobStore, Json
from services.chassis.settings import ServiceSettings, load_settings

SERVICE = "test.Drilling"


class DrillingSettings(ServiceSettings, env_prefix="DRILLING_"):
    trace_file: Path = Path("trace")
    units: int = 20
    unit_seconds: float = 0.05


class Drill:
    """The job, and the two RPCs that create it and look at it."""

    def __init__(self, settings: DrillingSettings, store: JobStore) -> None:
        self._settings = settings
        self._store = store

    async def work(self, ctx: JobContext) -> Json:
        done = (ctx.saved or {"done": 0})["done"]
        self.trace(f"begin {os.getpid()} {ctx.epoch} {done}")
        try:
            for unit in range(done, self._settings.units):
                await asyncio.sleep(self._settings.unit_seconds)
                self.trace(f"unit {unit}")
                await ctx.checkpoint({"done": unit + 1})
                await ctx.progress(done=unit + 1, total=self._settings.units, unit="units")
        finally:
            self.trace(f"end {os.getpid()}")
        return {"units": self._settings.units}

    async def create(self, request: bytes, context: Any) -> bytes:
        return (await self._store.create("drill", request.decode(), {})).job_id.encode()

    async def get(self, request: bytes, context: Any) -> bytes:
        job = await self._store.get(request.decode())
        return f"{job.state} {job.attempt} {job.epoch}".encode()

    async def stopped(self) -> None:
        self.trace(f"stopped {gc.get_freeze_count()}")

    def trace(self, word: str) -> None:
        with self._settings.trace_file.open("a") as out:
            out.write(f"{word}\n")


def add_drill(drill: Drill, server: Any) -> None:
    methods: dict[str, Any] = {
        "CreateDrill": grpc.unary_unary_rpc_method_handler(drill.create),
        "GetDrill": grpc.unary_unary_rpc_method_handler(drill.get),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))


async def wire(application: Application) -> None:
    drill = Drill(load_settings(DrillingSettings), application.jobs.store)
    application.jobs.runner.register("drill", drill.work)
    application.add_servicer(add_drill, drill, SERVICE)
    application.on_stop(drill.stopped)


if __name__ == "__main__":
    run("drilling", load_settings(DrillingSettings), wire)
