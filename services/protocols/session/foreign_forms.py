"""Calls in forms that the client does not read: broken ones, and those of other vendors' templates."""

import re
from collections.abc import Collection, Iterable, Sequence

_VENDORS = re.compile(
    r"<[|｜]\s*/?\s*(?:tool[_▁ ]?calls?|python_tag|action_start|START_ACTION|DSML)"
    r"|\[/?TOOL_CALLS?\]|\bfunctools\[|✿FUNCTION✿|\bto=functions\.\w"
    r"|</?(?:\w{1,20}[:_])?(?:tool_?calls?|function_calls?|tool_use|tool_code)\b"
    r"|<\|im_start\|>\s*tool_call"
    r"|<(?:invoke|function|parameter)(?:=|\s+name\s*=)"
    r"|</?tool(?:_(?:c(?:a(?:ll?)?)?)?)?\Z"
)
"""Marks of templates, and the client's own tag without its end."""

_NAME_KEY = r"""["'](?:name|tool|tool_name|function|function_name|action|recipient_name)["']\s*:\s*["']"""
_ARGUMENTS_KEY = r"""["'](?:arguments|parameters|input|args|params|kwargs|tool_input|action_input)["']"""
_CUT_KEY = r"""["']?(?:a(?:r(?:g\w*)?)?|p(?:a(?:r\w*)?)?|i(?:n\w*)?)?\Z"""
_OBJECT = re.compile(rf"""{_NAME_KEY}[^"'\n]{{1,64}}["']\s*,\s*(?:{_ARGUMENTS_KEY}|{_CUT_KEY})""")
_CUT_NAME = re.compile(rf"{_NAME_KEY}([\w.-]{{0,64}})\Z")
_CUT_OBJECT = re.compile(r"""\{\s*["'](?:n(?:a(?:m(?:e["']?\s*:?)?)?)?)?\s*\Z""")

_WORD = r"([\w.-]{1,64})"
_NAMED = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        rf"""{_NAME_KEY}([^"'\n]{{1,64}})["']\s*(?:\}}|\Z)""",
        r"""^[ \t]*(?:\[[ \t]*)?\{\s*["']([^"'\n]{1,64})["']\s*:\s*[{\[]""",
        rf"""\{{\s*(?:name|tool|function|action)\s*:\s*["']{_WORD}["']""",
        rf"<{_WORD}[^<>\n]*(?:>|\Z)",
        rf"<(?:function|tool|tool_name|name)>\s*{_WORD}",
        rf"^[ \t]*Action:[ \t]*{_WORD}[ \t]*$",
        rf"""^[ \t]*(?:>>>[ \t]*|<\|\w{{1,20}}\|>[ \t]*)?{_WORD}[ \t]*:?\s*\{{\s*["'}}]""",
        rf"\bto={_WORD}",
    )
)
"""Forms that call the function of the name that they hold."""

_VALUES = r"""(?:\)|["'\[{(]|-?\d|(?:True|False|None|true|false|null)\b|[*\w]+\s*=)"""
_STATEMENT = re.compile(
    rf"(?:^[ \t`]*|(?<=[ \t:]))(?:\[|print\(|await[ \t]+|\w+[ \t]*=[ \t]*){{0,3}}{_WORD}\(\s*{_VALUES}", re.MULTILINE
)
_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)(?:^```[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_CALLING_FENCES = ("tool_code", "tool_call", "tool_calls", "tool_use")
_STATEMENT_ENDS = (")", "]", "}", ",", "(", "[", "{", ";", "`")


def foreign_form(text: str, names: Iterable[str]) -> re.Match[str] | None:
    """Return the place of a call that the client does not read, if `text` writes one; `names` are the functions'.

    Words and code that only mention a function are no call: a call to it, as code writes one, must be a statement, and
    code between words is an example.
    """
    functions = frozenset(names)
    if match := _VENDORS.search(text) or _OBJECT.search(text) or _CUT_OBJECT.search(text):
        return match
    cut = _CUT_NAME.search(text)
    if cut and any(name.startswith(cut[1]) for name in functions):
        return cut
    for pattern in _NAMED:
        if match := next((call for call in pattern.finditer(text) if call[1] in functions), None):
            return match
    examples = [fence.span() for fence in _FENCE.finditer(text) if _is_example(fence)]
    calls = (call for call in _STATEMENT.finditer(text) if _is_of(call[1], functions))
    return next((call for call in calls if _is_statement(call, examples)), None)


def _is_of(called: str, functions: Collection[str]) -> bool:
    parts = called.split(".")
    return any(".".join(parts[place:]) in functions for place in range(len(parts)))


def _is_example(fence: re.Match[str]) -> bool:
    """Whether a fence shows code between words, instead of being all that the answer says."""
    is_all = fence.string.strip() == fence[0].strip()
    return not is_all and fence[1].strip() not in _CALLING_FENCES


def _is_statement(match: re.Match[str], examples: Sequence[tuple[int, int]]) -> bool:
    """Whether a call stands as code does: on lines of its own, or behind words as the last thing of all."""
    if any(start <= match.start() < end for start, end in examples):
        return False
    text, line_end = match.string, match.string.find("\n", match.end())
    rest = text[match.end() - 1 : line_end if line_end >= 0 else len(text)].rstrip()
    if match.start() == 0 or text[match.start() - 1] == "\n":
        return rest.endswith(_STATEMENT_ENDS) or (line_end < 0 and ")" not in rest)
    return rest.endswith((")", "]")) and not text[match.end() - 1 + len(rest) :].strip()
