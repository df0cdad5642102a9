"""What a process tells of itself while it works: its Prometheus series, and its spans where they are asked for."""

from services.chassis.telemetry.series import FAULTS, Telemetry, TelemetryServer
from services.chassis.telemetry.tracing import traced

__all__ = ["FAULTS", "Telemetry", "TelemetryServer", "traced"]
