"""The template doctor in a process of its own, since it needs the tokenizer library and runs a foreign program."""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from services.chassis.errors import FailedPrecondition, Unavailable
from services.chassis.machine.memory import offer_to_kernel
from services.chassis.machine.parent import child_environment
from services.chassis.waiting import Places
from services.lm.doctor.diagnosis import Diagnosis, InvalidRequest, Request, diagnosis_from_json, to_json

DOCTOR_COMMAND = (sys.executable, "-m", "services.lm.doctor")
_MAX_RUNNING = 2
_MAX_WAITING = 16
_REFUSED = 2
_log = structlog.get_logger()


class DoctorProcess:
    """Answers the port `Doctor`; at most two processes run at once.

    Args:
        place: Gives the local path of an artifact.
        seconds: After this time a process is ended.
    """

    def __init__(
        self,
        *,
        place: Callable[[str], Awaitable[Path]],
        seconds: float = 180.0,
        command: tuple[str, ...] = DOCTOR_COMMAND,
    ) -> None:
        self._place = place
        self._seconds = seconds
        self._command = command
        self._places = Places("diagnoses", num_running=_MAX_RUNNING, num_waiting=_MAX_WAITING)

    async def examine(self, model_uri: str, request: Request) -> Diagnosis:
        """Return what is wrong with the template and the settings of the model at `model_uri`."""
        async with self._places.place():
            folder = await self._place(model_uri)
            status, output, errors = await self._run(str(folder), to_json(request))
        if status == _REFUSED:
            raise FailedPrecondition(
                f"The model's files cannot be read: {errors.strip()[-500:]}", "Import the model again."
            )
        try:
            if status:
                raise InvalidRequest(f"It ended with status {status}.", "")
            return diagnosis_from_json(output)
        except InvalidRequest as error:
            _log.warning("doctor_failed", status=status, last_words=errors[-2000:])
            raise Unavailable(
                "The template doctor broke down on this model.", "Look into the service's log."
            ) from error

    async def _run(self, folder: str, request: bytes) -> tuple[int, bytes, str]:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            folder,
            env=child_environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        offer_to_kernel(process.pid)
        try:
            async with asyncio.timeout(self._seconds):
                output, errors = await process.communicate(request)
        except TimeoutError as error:
            raise Unavailable(
                f"The template doctor took longer than {self._seconds:.0f} s.",
                "Try again when the machine is less busy.",
            ) from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())
        return process.returncode or 0, output, errors.decode("utf-8", "replace")
