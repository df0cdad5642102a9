"""What every gRPC server needs and no service owns: server, channel, errors, telemetry, jobs, database, artifacts."""

import importlib
import os
import sys
from types import ModuleType
from typing import cast

# gRPC's C core writes lines of its own to stderr, which are neither JSON nor redacted; it reads this when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

# structlog would load rich, a twelfth of a service's start, to draw tracebacks that no log of ours has.
if "rich" not in sys.modules:
    sys.modules["rich"] = cast("ModuleType", None)
    importlib.import_module("structlog")
    del sys.modules["rich"]
