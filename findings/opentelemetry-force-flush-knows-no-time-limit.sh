#!/bin/sh
# Package: opentelemetry-sdk 1.45.2 with opentelemetry-exporter-otlp-proto-http 1.45.2 (PyPI), TracerProvider.force_flush.
# Expected: as its documentation says, "the maximum amount of time to wait for spans to be processed": with 500 ms and a
#   collector that takes the connection and says nothing, False after half a second.
# What happens: the limit is not looked at. The call returns once the exporter gives up by its own limit (here 4 s, by
#   default 10 s), and says True although nothing was taken.
# A service that flushes before it ends, within a grace of a few seconds, is killed instead.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2
"$work/venv/bin/python" - 2>/dev/null <<'PYTHON'
import socket
import sys
import time

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

silent = socket.create_server(("127.0.0.1", 0))
exporter = OTLPSpanExporter(f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces", timeout=4)
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=60_000))
provider.get_tracer("x").start_span("one").end()
start = time.monotonic()
said = provider.force_flush(timeout_millis=500)
seconds = time.monotonic() - start
print(f"force_flush(timeout_millis=500) said {said} after {seconds:.1f} s")
sys.exit(0 if said and seconds > 2 else 1)
PYTHON
