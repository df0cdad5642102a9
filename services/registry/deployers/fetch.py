"""Brings artifacts into a folder, each under its number: `python -m services.registry.deployers.fetch FOLDER URI…`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from services.chassis.artifacts import ArtifactStore
from services.chassis.artifacts.artifact import parse_uri


async def fetch(folder: Path, uris: Sequence[str]) -> None:
    """Bring artifacts to `folder`/0, `folder`/1 and so on; what is there already is verified."""
    own = folder / "own"
    own.mkdir(parents=True, exist_ok=True)
    prefixes = tuple({parse_uri(uri)[0] for uri in uris})
    store = ArtifactStore(own.as_uri(), sources=prefixes, cache_dir=folder / "cache")
    for place, uri in enumerate(uris):
        link = folder / str(place)
        link.unlink(missing_ok=True)
        link.symlink_to((await store.local_path(uri)).relative_to(folder))


if __name__ == "__main__":
    asyncio.run(fetch(Path(sys.argv[1]), sys.argv[2:]))
