"""A folder that appears whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.lm.errors import LmError


@contextmanager
def published(out: Path, *, num_bytes: int = 0) -> Iterator[Path]:
    """An empty folder beside `out` that becomes `out` when the block ends well, and vanishes otherwise.

    `num_bytes` is about what will be written.

    Raises:
        LmError: `out` exists already, or the disk has no room for so many bytes.
    """
    if out.exists():
        raise LmError("The target folder exists already.", "Choose another target or remove it.", str(out))
    out.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out.parent).free
    if free < num_bytes:
        raise LmError(
            f"{num_bytes / 1e9:.2f} GB are needed, and the disk has {free / 1e9:.2f} GB free.",
            "Make room, or choose another disk.",
            str(out.parent),
        )
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    try:
        yield partial
        partial.chmod(0o755)
        for path in (*partial.rglob("*"), partial):
            _sync(path)
        partial.rename(out)
        _sync(out.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
