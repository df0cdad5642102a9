"""What a process has from the one that started it: its end, its environment, and the token of the installation."""

from __future__ import annotations

import contextlib
import ctypes
import hmac
import math
import os
import re
import secrets
import select
import signal
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from services.chassis.errors import FailedPrecondition
from services.chassis.machine.files import written_whole

_PR_SET_PDEATHSIG = 1
_PASSED_ON = frozenset(
    ("PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD", "VIRTUAL_ENV")
)
_PASSED_ON_PREFIXES = (
    *("LC_", "PYTHON", "COVERAGE_", "MALLOC_", "DRILLYARD_"),
    # Where spans go; what a process says to be let in there is a secret.
    "OTEL_",
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "TORCH_", "PYTORCH_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_"),
)
_SECRET = re.compile(r"^DRILLYARD_API_KEY$|^OTEL_.*(HEADERS|KEY|CREDENTIAL)")
_TOKEN_KEY = "x-drillyard-token"
_TOKEN_SECONDS = 1.0


def child_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what a process gets that reads foreign files or computes: no secret, no setting, no proxy.

    What a process needs beyond what is named here is given to it by name.
    """
    return {
        name: value
        for name, value in environment.items()
        if (name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)) and not _SECRET.search(name)
    }


class ServiceToken:
    """The secret by which the services of one installation know each other, in a file.

    Its first line goes with every call, and calls with any of its lines are let in. So a token is replaced without a
    pause: add the new one below, then move it to the top, then take the old one away. The file is read again.
    """

    def __init__(self, file: Path) -> None:
        """Read the file.

        Raises:
            FailedPrecondition: It cannot be read, or holds no token.
        """
        self._file = file
        self._read_time = -math.inf
        try:
            self._tokens = self._read()
        except OSError as error:
            raise FailedPrecondition(
                f"The token file {file} cannot be read: {error.strerror}.", "Give every service the same readable file."
            ) from None
        if not self._tokens:
            raise FailedPrecondition(f"The token file {file} is empty.", "Write a random text into it.")

    @classmethod
    def make(cls, file: Path) -> ServiceToken:
        """Return the token in `file`, which is made whole, and for this user alone, when it is not there."""
        if not file.exists():
            # Another process may have made one meanwhile; its services read the file again.
            with written_whole(file, mode=0o600) as out:
                out.write(f"{secrets.token_urlsafe(32)}\n".encode())
        file.chmod(0o600)
        return cls(file)

    @property
    def metadata(self) -> tuple[str, str]:
        """What goes with every call."""
        return _TOKEN_KEY, self._newest()[0]

    def key_of(self, name: str) -> str:
        """Return a key that every service can derive for a name, and nobody who does not know the token."""
        return hmac.new(self._newest()[0].encode(), name.encode(), "sha256").hexdigest()

    def is_key_of(self, name: str, key: str) -> bool:
        """Whether a key for a name was derived of a token that is let in."""
        keys = [hmac.new(token.encode(), name.encode(), "sha256").hexdigest() for token in self._newest()]
        return any(hmac.compare_digest(key.encode(), expected.encode()) for expected in keys)

    def is_in(self, metadata: Iterable[tuple[str, str | bytes]]) -> bool:
        """Whether a call's metadata has a token that is let in."""
        shown = next((str(value) for key, value in metadata if key == _TOKEN_KEY), "").encode()
        return any(hmac.compare_digest(shown, token.encode()) for token in self._newest())

    def _newest(self) -> tuple[str, ...]:
        if time.monotonic() - self._read_time > _TOKEN_SECONDS:
            # What was read before stays while the file is being replaced.
            with contextlib.suppress(OSError):
                self._tokens = self._read() or self._tokens
        return self._tokens

    def _read(self) -> tuple[str, ...]:
        self._read_time = time.monotonic()
        return tuple(self._file.read_text(encoding="ascii", errors="replace").split())


def end_with_parent() -> None:
    """Send this process SIGTERM as soon as the process that started it is gone, however that ended."""
    parent = os.getppid()
    try:
        watched = os.pidfd_open(parent)
    except ProcessLookupError:
        _end()
        return
    # The parent may have died, and its number been given to another, before the watch began.
    if os.getppid() != parent or parent == 1:
        _end()
        return
    threading.Thread(target=_wait, args=(watched,), name="parent-watch", daemon=True).start()


def die_with_parent(parent_pid: int) -> None:
    """Let the kernel kill this process when `parent_pid`, which started it, ends; exit now if that has happened."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the signal was asked for.
    if os.getppid() != parent_pid or parent_pid == 1:
        sys.exit("The process that started this one has ended.")


def _wait(watched: int) -> None:
    select.select([watched], [], [])
    _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    # `python -m services.chassis.machine.parent PARENT_PID COMMAND…`: a foreign program that dies with its parent.
    die_with_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
