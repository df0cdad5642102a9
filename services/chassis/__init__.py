"""What every gRPC server needs and no service owns: server, channel, errors, telemetry, jobs, database, artifacts."""

import os

# gRPC's C core writes lines of its own to stderr, which are neither JSON nor redacted; it reads this when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
