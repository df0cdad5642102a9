"""Serves the made-up system with a gateway in front of it: `python -m tests.fakes.system [PORT]`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvicorn

from services.chassis.logs import configure_logs
from services.chassis.telemetry import Telemetry
from tests.fakes.system.rows import make_world
from tests.fakes.system.servicers import serve
from ui.gateway.app import create_app
from ui.gateway.settings import GatewaySettings


async def main(port: int) -> None:
    configure_logs(service="fake", level="warning")
    async with serve(make_world()) as addresses:
        settings = GatewaySettings.model_validate({"port": port, "data_dir": Path("/tmp/drillyard-fake"), **addresses})
        config = uvicorn.Config(
            create_app(settings, Telemetry()), port=port, log_level="warning", timeout_graceful_shutdown=1
        )
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 7861))
