"""What a shipment asks of other services."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from services.feedback.ports.neighbours import (
    Evaluator,
    Exports,
    Forms,
    Publications,
    Registry,
    TestRunner,
    Trainer,
    Verdicts,
)

One = TypeVar("One")
Other = TypeVar("Other")


@dataclass(frozen=True)
class ShippingServices:
    """The other services, as a shipment sees them."""

    registry: Registry
    test_runner: TestRunner
    evaluator: Evaluator
    trainer: Trainer
    exports: Exports
    publications: Publications
    forms: Forms
    verdicts: Verdicts


async def both(one: Coroutine[Any, Any, One], other: Coroutine[Any, Any, Other]) -> tuple[One, Other]:
    """Return what both return, done side by side; where one raises, the other is cancelled first."""
    first, second = asyncio.ensure_future(one), asyncio.ensure_future(other)
    try:
        return await asyncio.gather(first, second)
    finally:
        first.cancel()
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
