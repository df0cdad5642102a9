"""A whole service on the chassis, for tests that kill it: its one job drills `units` units, a checkpoint after each."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import grpc

from services.chassis.application import Application
from services.chassis.errors import NotFound
from services.chassis.jobs import JobContext, Json
from services.chassis.process import run
from services.chassis.settings import ServiceSettings, load_settings

SERVICE = "test.Drilling"


class DrillingSettings(ServiceSettings, env_prefix="DRILLING_"):
    trace_file: Path = Path("trace")
    units: int = 20
    unit_seconds: float = 0.05


async def wire(application: Application) -> None:
    settings = load_settings(DrillingSettings)
    store = application.jobs.store

    def trace(word: str) -> None:
        with settings.trace_file.open("a") as out:
            out.write(f"{word}\n")

    async def drill(ctx: JobContext) -> Json:
        done = (ctx.saved or {"done": 0})["done"]
        trace(f"begin {os.getpid()} {ctx.epoch} {done}")
        try:
            for unit in range(done, settings.units):
                await asyncio.sleep(settings.unit_seconds)
                trace(f"unit {unit}")
                await ctx.checkpoint({"done": unit + 1})
                await ctx.progress(done=unit + 1, total=settings.units, unit="units")
        finally:
            trace(f"end {os.getpid()}")
        return {"units": settings.units}

    async def create(request: bytes, context: Any) -> bytes:
        if request == b"missing":
            raise NotFound("There is no such drill.", "List the drills.")
        return (await store.create("drill", request.decode(), {})).job_id.encode()

    async def get(request: bytes, context: Any) -> bytes:
        job = await store.get(request.decode())
        return f"{job.state} {job.attempt} {job.epoch}".encode()

    def add(_: object, server: Any) -> None:
        methods: dict[str, Any] = {
            "CreateDrill": grpc.unary_unary_rpc_method_handler(create),
            "GetDrill": grpc.unary_unary_rpc_method_handler(get),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))

    async def stopped() -> None:
        trace("stopped")

    application.jobs.runner.register("drill", drill)
    application.add_servicer(add, None, SERVICE)
    application.on_stop(stopped)


if __name__ == "__main__":
    try:
        run("drilling", load_settings(DrillingSettings), wire)
    except Exception:
        traceback.print_exc()
        sys.exit(1)
