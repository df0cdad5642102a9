"""Artifacts of a data folder that was moved, which databases still name by its former place."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from services.chassis.artifacts.artifact import Key
from services.chassis.artifacts.local_folder import LocalFolder


def moved_to(root: str, key: Key, own: LocalFolder, sources: Iterable[str]) -> LocalFolder | None:
    """Return the store that was at the URL `root`: `own`, or one below a source that has the artifact; else None.

    What is found is named by its digest, and lies where its reader trusts what is there.

    Args:
        root: What the artifact's URI begins with.
        key: The artifact's place below it.
        own: The reader's own store, whose folder has kept its own name and that of its parent.
        sources: URLs of folders that are trusted.
    """
    place = urlsplit(root)
    names = Path(unquote(place.path)).parts[1:]
    if place.scheme != "file":
        return None
    if len(names) > 1 and own.root.parts[-2:] == names[-2:]:
        return own
    for source in map(urlsplit, sources):
        if source.scheme == "file":
            folder = Path(unquote(source.path))
            for start in range(len(names)):
                store = LocalFolder(folder.joinpath(*names[start:]))
                if (store.root / key.path).exists():
                    return store
    return None
