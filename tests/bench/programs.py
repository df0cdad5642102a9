"""Other programs that are measured: their virtual environments, and processes that stay up between measurements."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

_OURS: Final = ("OMP_WAIT_POLICY", "PYTHONPATH")
_OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def environment(
    folder: Path, requirements: Sequence[str], *, inherits: bool = True, unwanted: Sequence[str] = ()
) -> Path:
    """The Python of a virtual environment in `folder` with `requirements`, which is made unless it is there.

    With `inherits` it sees this one's packages, so that both sides compute with the same torch and transformers.
    The packages that are `unwanted` are taken out after they were brought along.

    Raises:
        SystemExit: They cannot be installed; the installer's last lines are in the message.
    """
    python, mark = folder / "bin" / "python", folder / ".installed"
    if mark.is_file() and mark.read_text(encoding="utf-8") == "\n".join(requirements):
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    if inherits:
        ours = sysconfig.get_paths()
        theirs = Path(ours["purelib"].replace(str(Path(sys.prefix)), str(folder)))
        (theirs / "drillyard.pth").write_text(ours["purelib"] + "\n", encoding="utf-8")
    print(f"installing {', '.join(requirements)} in {folder}", flush=True)
    command = [python, "-m", "pip", "install", "--quiet", *requirements]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{', '.join(requirements)} cannot be installed: {done.stderr[-1500:]}")
    if unwanted:
        subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", *unwanted], check=True)
    mark.write_text("\n".join(requirements), encoding="utf-8")
    return python


def versions(python: Path, names: Sequence[str]) -> dict[str, str]:
    """What an environment computes with."""
    code = f"from importlib.metadata import version; print(*map(version, {tuple(names)}))"
    output = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout
    return dict(zip(names, output.split(), strict=True))


class LineProcess:
    """A process that reads a JSON object per line and answers each with one."""

    def __init__(self, command: Sequence[str | Path], *, log: Path | None = None, is_foreign: bool = False) -> None:
        """Start it; `log` takes its standard error, which is this process's otherwise.

        A foreign one is kept from networks, and from this project's choice for OpenMP: on a quiet machine a peer is
        faster with its own.
        """
        self._log = log
        variables = {name: value for name, value in os.environ.items() if not is_foreign or name not in _OURS}
        with ExitStack() as stack:
            errors = stack.enter_context(log.open("w", encoding="utf-8")) if log else None
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=variables | (_OFFLINE if is_foreign else {}),
            )

    def send(self, message: Mapping[str, Any]) -> None:
        """Hand it an object.

        Raises:
            ProgramEndedError: It has ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def receive(self) -> dict[str, Any]:
        """Its next answer.

        Raises:
            ProgramEndedError: It ended instead.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Its answer to an object."""
        self.send(message)
        return self.receive()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _ended(self) -> ProgramEndedError:
        code = self._process.wait()
        said = self._log.read_text(encoding="utf-8", errors="replace") if self._log else ""
        return ProgramEndedError(f"The program ended with {code}: {said[-1500:].strip()}")


class ProgramEndedError(Exception):
    """A program ended while it was asked."""
