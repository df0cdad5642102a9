"""`replace_in_file`: blocks of `------- SEARCH`, `=======`, `+++++++ REPLACE`, without line numbers."""

from __future__ import annotations

import re

_SEARCH = re.compile(r"[-<]{3,} SEARCH>?")
_MIDDLE = re.compile(r"={3,}")
_REPLACE = re.compile(r"[+>]{3,} REPLACE>?")


class BadEdit(ValueError):
    """An edit cannot be made.

    Attributes:
        code: `no_block`, `unfinished_block` or `no_match`.
    """

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code = code


def apply_blocks(original: str, diff: str) -> str:
    """Return `original` after all blocks of `diff`.

    A search is looked for as it is, then line by line without blanks at the ends of lines.

    Raises:
        BadEdit: there is no block, the last one is unfinished, or a search is not in the file.
    """
    text = original
    for search, replacement in read_blocks(diff):
        text = _replaced(text, search, replacement)
    return text


def read_blocks(diff: str) -> list[tuple[list[str], list[str]]]:
    """Return the search lines and replacement lines of each block.

    Raises:
        BadEdit: there is no block, or the last one is unfinished.
    """
    blocks: list[tuple[list[str], list[str]]] = []
    part = -1
    for line in diff.split("\n"):
        if part < 0:
            if _SEARCH.fullmatch(line):
                blocks.append(([], []))
                part = 0
        elif part == 0 and _MIDDLE.fullmatch(line):
            part = 1
        elif part == 1 and _REPLACE.fullmatch(line):
            part = -1
        else:
            blocks[-1][part].append(line)
    if part >= 0:
        raise BadEdit("unfinished_block", "the last block is not finished")
    if not blocks:
        raise BadEdit("no_block", "there is no SEARCH block")
    return blocks


def _replaced(text: str, search: list[str], replacement: list[str]) -> str:
    lines = text.split("\n")
    if not any(search):
        if text:
            raise BadEdit("no_match", "an empty search fits an empty file only")
        return "\n".join(replacement)
    for same in (str, str.strip):
        wanted = [same(line) for line in search]
        for start in range(len(lines) - len(search) + 1):
            if [same(line) for line in lines[start : start + len(search)]] == wanted:
                return "\n".join((*lines[:start], *replacement, *lines[start + len(search) :]))
    raise BadEdit("no_match", f"the file has no lines that match {search[0]!r}")
