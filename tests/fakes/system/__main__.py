"""Serves the services with a made-up model behind a gateway: `python -m tests.fakes.system [PORT]`."""

import asyncio
import sys
import tempfile
from pathlib import Path

import uvicorn

from services.chassis.logs import configure_logs
from services.chassis.telemetry import Telemetry
from tests.fakes.system.services import serve
from ui.gateway.app import create_app
from ui.gateway.settings import GatewaySettings


async def main(port: int) -> None:
    configure_logs(service="fake", level="warning")
    with tempfile.TemporaryDirectory() as folder:
        async with serve(Path(folder)) as system:
            settings = GatewaySettings.model_validate({"port": port, "data_dir": folder, **system.addresses})
            app = create_app(settings, Telemetry())
            await uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning")).serve()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 7861))
