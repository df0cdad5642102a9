"""The type of what gRPC passes to each RPC."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc.aio

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
