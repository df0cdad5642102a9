"""Right steps, one function per tool."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.protocols.cases import Choice, FreeText
from services.protocols.material.scenario import Step
from services.protocols.roo.checklist import Item, write_checklist
from services.protocols.roo.normal_forms import decoded

NATIVE, XML = frozenset(("roo_native",)), frozenset(("roo_xml",))
BOTH = NATIVE | XML
"""Protocols that have a situation."""

_NUM_CONTEXT_LINES = 3
_MARKERS = ("<<<<<<<", "=======", ">>>>>>>", "-------", ":start_line:", ":end_line:")


@dataclass(frozen=True, slots=True)
class Change:
    """Lines `old`, the first of which is line `first` counted from 1, become `new`."""

    first: int
    old: Sequence[str]
    new: Sequence[str]


def sent(text: str) -> str:
    """Return `text` as an edit must send it: what the client would decode is encoded."""
    return text.replace("&", "&amp;") if decoded(text) != text else text


def read(*paths: str, lines: tuple[int, int] | None = None) -> Step:
    """Read files, or a range of lines of one."""
    ranges = [list(lines)] if lines else []
    return Step("read_file", {"files": [{"path": path, "line_ranges": ranges} for path in paths]})


def search(folder: str, regex: str) -> Step:
    """Search a folder for a name; whole words are as good."""
    return Step("search_files", {"path": folder, "regex": regex}, choices=(whole_word(regex),))


def whole_word(name: str) -> Choice:
    """Return that a search for `name` may ask for whole words."""
    return Choice("regex", (rf"\b{name}\b",))


def list_files(folder: str) -> Step:
    """List the top level of a folder."""
    return Step("list_files", {"path": folder, "recursive": False})


def write(path: str, text: str) -> Step:
    """Write a whole file."""
    return Step("write_to_file", {"path": path, "content": sent(text)}, files={path: text})


def diff(path: str, before: str, *changes: Change) -> Step:
    """Change lines of a file, whose line breaks are kept."""
    blocks = "\n".join(map(_block, changes))
    ending = "\r\n" if "\r\n" in before else "\n"
    lines = before.split(ending)
    for change in sorted(changes, key=lambda change: -change.first):
        lines[change.first - 1 : change.first - 1 + len(change.old)] = change.new
    return Step("apply_diff", {"path": path, "diff": sent(blocks)}, files={path: ending.join(lines)})


def replaced(tool: str, path: str, before: str, change: Change) -> Step:
    """Change lines of a file by a tool that replaces a string; lines above come along until it stands there once."""
    lines = before.split("\n")
    start, end = change.first - 1, change.first - 1 + len(change.old)
    above = start
    while before.count("\n".join(lines[above:end])) > 1:
        above -= 1
    new = [*lines[above:start], *change.new]
    arguments = {"file_path": path, "old_string": "\n".join(lines[above:end]), "new_string": "\n".join(new)}
    return Step(tool, arguments, files={path: "\n".join([*lines[:above], *new, *lines[end:]])})


def patched(path: str, before: str, *changes: Change) -> Step:
    """Change lines of a file by a patch of one hunk, which reaches from the first of `changes` to the last."""
    lines = before.split("\n")
    marked, after, at = [f" {line}" for line in lines], list(lines), len(lines)
    for change in sorted(changes, key=lambda change: -change.first):
        at, end = change.first - 1, change.first - 1 + len(change.old)
        marked[at:end] = [*(f"-{line}" for line in change.old), *(f"+{line}" for line in change.new)]
        after[at:end] = change.new
    behind = len(lines) - max(change.first - 1 + len(change.old) for change in changes)
    hunk = marked[max(0, at - _NUM_CONTEXT_LINES) : len(marked) - max(0, behind - _NUM_CONTEXT_LINES)]
    return _patch(f"*** Update File: {path}", "@@", *hunk, files={path: "\n".join(after)})


def added(path: str, text: str) -> Step:
    """Make a file by a patch."""
    return _patch(f"*** Add File: {path}", *(f"+{line}" for line in text.split("\n")), files={path: text})


def _patch(*lines: str, files: Mapping[str, str]) -> Step:
    return Step("apply_patch", {"patch": "\n".join(("*** Begin Patch", *lines, "*** End Patch"))}, files=files)


def _block(change: Change) -> str:
    old, new = (list(map(_escaped, lines)) for lines in (change.old, change.new))
    head = ("<<<<<<< SEARCH", f":start_line:{change.first}", "-------")
    return "\n".join((*head, *old, "=======", *new, ">>>>>>> REPLACE"))


def _escaped(line: str) -> str:
    return f"\\{line}" if line.startswith(_MARKERS) else line


def command(line: str) -> Step:
    """Run a command in the workspace folder."""
    return Step("execute_command", {"command": line})


def mcp(server: str, tool: str, arguments: Mapping[str, object]) -> Step:
    """Call a server's tool."""
    return Step("use_mcp_tool", {"server_name": server, "tool_name": tool, "arguments": dict(arguments)})


def ask(question: str, suggestions: Iterable[str], *mentions: str) -> Step:
    """Ask the user; the question must hold `mentions`."""
    follow_up = [{"text": text} for text in suggestions]
    rule = FreeText("question", mentions, question=True)
    return Step("ask_followup_question", {"question": question, "follow_up": follow_up}, (rule,))


def complete(result: str, *mentions: str) -> Step:
    """Complete the task; the result must hold `mentions`."""
    return Step("attempt_completion", {"result": result}, (FreeText("result", mentions),))


def switch(mode: str, reason: str) -> Step:
    """Change the mode, for any reason."""
    return Step("switch_mode", {"mode_slug": mode, "reason": reason}, (FreeText("reason"),))


def checklist(items: Sequence[Item]) -> Step:
    """Replace the checklist."""
    return Step("update_todo_list", {"todos": write_checklist(items)})
