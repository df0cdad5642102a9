"""What a process tells of itself while it works: its Prometheus series."""

from services.chassis.telemetry.series import Telemetry, TelemetryServer

__all__ = ["Telemetry", "TelemetryServer"]
