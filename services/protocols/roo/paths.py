"""Paths in the workspace, as the client resolves them."""

from collections.abc import Iterable


def same_path(path: str) -> str:
    """Return `path` in the one spelling that all its spellings share: no `./`, no double or final slash."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return ("/" if path.startswith("/") else "") + "/".join(parts) or "."


def is_outside(path: str) -> bool:
    """Return whether `path`, in the spelling of `same_path`, leaves the workspace."""
    return path.startswith(("/", "../")) or path == ".."


def is_folder(path: str, paths: Iterable[str]) -> bool:
    """Return whether `path`, in the spelling of `same_path`, is the workspace or holds one of the `known` paths."""
    if path == ".":
        return True
    inside = f"{path}/"
    return any(other.startswith(inside) for other in paths)
