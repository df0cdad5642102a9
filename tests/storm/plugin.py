"""Changes the processes of a storm from within: fault points, mutants, and the compute of a made-up model.

It imports nothing of the product and changes a module the moment after that was executed, so that start-up is measured
as it is. Without the environment variables of a storm it does nothing.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.storm.points import POINTS

FAULT, FIRED, MUTANT, COMPUTE, GATE = "FAULT", "STORM_FIRED_FILE", "STORM_MUTANT", "STORM_COMPUTE", "STORM_GATE_FILE"
# So long is an hour of a schedule in a storm.
HOUR_SECONDS = 8
# In every process of a storm; by it the oracle knows them.
TOKEN = "STORM_TOKEN"
_LOOK_SECONDS = 0.05
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}

Patch = Callable[[ModuleType], None]


def install() -> None:
    """Read the environment, and arrange the changes that it names."""
    patches: dict[str, list[Patch]] = {}
    if fault := os.environ.get(FAULT):
        module, patch = _fault(*fault.split(":"))
        patches.setdefault(module, []).append(patch)
    if os.environ.get(COMPUTE) == "made-up":
        # Before a fault point wraps it: a process that was started is started.
        patches.setdefault("asyncio.subprocess", []).insert(0, _replace_commands)
        patches.setdefault("services.feedback.domain.schedules.timing", []).append(_shorten_hours)
        patches.setdefault("services.chassis.jobs.attempt", []).append(_hold_work)
    sys.meta_path.insert(0, _Patching(patches))
    if mutant := os.environ.get(MUTANT):
        # It imports asyncio, which has to be changed by then.
        from tests.storm.mutants import MUTANTS

        for module, patch in MUTANTS[mutant].patches.items():
            patches.setdefault(module, []).append(patch)


class _Patching(importlib.abc.MetaPathFinder):
    def __init__(self, patches: dict[str, list[Patch]]) -> None:
        self._patches = patches

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        patches = self._patches.pop(name, None)
        if patches is None:
            return None
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            raise ImportError(f"a storm changes the module {name}, which is gone")
        execute: Callable[[ModuleType], None] = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            for patch in patches:
                patch(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _fault(name: str, action: str, count: str) -> tuple[str, Patch]:
    point, left = POINTS[name], [int(count)]

    def reached() -> None:
        left[0] -= 1
        if left[0] == 0:
            with Path(os.environ[FIRED]).open("ab", buffering=0) as file:
                file.write(f"{name}:{action}:{os.getpid()}\n".encode())
            os.kill(os.getpid(), _SIGNALS[action])

    def patch(module: ModuleType) -> None:
        change(module, point.function, lambda function: _wrapped(function, reached, is_after=point.is_after))

    return point.module, patch


def change(module: ModuleType, path: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put what `make` makes of it in the place of the function at a dotted path."""
    *owners, name = path.split(".")
    owner: Any = functools.reduce(getattr, owners, module)
    setattr(owner, name, make(getattr(owner, name)))


def _wrapped(function: Callable[..., Any], reached: Callable[[], None], *, is_after: bool) -> Callable[..., Any]:
    def before() -> None:
        if not is_after:
            reached()

    def after(result: object) -> None:
        if is_after and result is not None:
            reached()

    @functools.wraps(function)
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        before()
        result = await function(*args, **kwargs)
        after(result)
        return result

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        before()
        result = function(*args, **kwargs)
        after(function if result is None else result)
        return result

    return awaited if inspect.iscoroutinefunction(function) else called


def _shorten_hours(module: ModuleType) -> None:
    length = module.timedelta

    def timedelta(*, hours: int = 0, days: int = 0) -> Any:
        return length(seconds=HOUR_SECONDS * hours, days=days)

    module.timedelta = timedelta


def _hold_work(module: ModuleType) -> None:
    is_shut = functools.partial(os.path.exists, os.environ[GATE])

    def make(do: Callable[..., Any]) -> Callable[..., Any]:
        async def held(attempt: Any) -> Any:
            while is_shut():
                await module.asyncio.sleep(_LOOK_SECONDS)
            return await do(attempt)

        return held

    change(module, "Attempt._do", make)


def _replace_commands(module: ModuleType) -> None:
    made_up = {
        "services.lm.worker": "tests.storm.compute.generation",
        "services.trainer.training": "tests.storm.compute.training",
    }

    def make(start: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(start)
        async def started(*command: str, **options: Any) -> Any:
            storm = {name: os.environ[name] for name in (FAULT, FIRED, MUTANT, TOKEN) if name in os.environ}
            options["env"] = {**(options.get("env") or os.environ), **storm}
            return await start(*[made_up.get(word, word) for word in command], **options)

        return started

    change(module, "create_subprocess_exec", make)
