"""Calls in forms that the client does not read: broken ones, and those of other vendors' templates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

_VENDORS = re.compile(
    r"<[|｜]\s*/?\s*(?:tool[_▁ ]?calls?|python_tag|action_start|START_ACTION|DSML)"
    r"|\[/?TOOL_CALLS?\]|\bfunctools\[|✿FUNCTION✿|\bto=functions\.\w"
    r"|</?(?:\w{1,20}:)?(?:tool_?calls?|function_calls?|tool_use|tool_code)\b"
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

_VALUES = r"""(?:\)|["'\[{(]|-?\d|(?:True|False|None|true|false|null)\b|[*\w]+\s*=)"""
_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)(?:^```[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_CALLING_FENCES = ("tool_code", "tool_call", "tool_calls", "tool_use")
_STATEMENT_ENDS = (")", "]", "}", ",", "(", "[", "{", ";", "`")


def foreign_form(text: str, names: Iterable[str]) -> re.Match[str] | None:
    """Return the place of a call that the client does not read, if `text` writes one; `names` are the functions'.

    Words and code that only mention a function are no call: a call to it, as code writes one, must be a statement, and
    code between words is an example.
    """
    known = tuple(names)
    if found := _VENDORS.search(text) or _OBJECT.search(text) or _CUT_OBJECT.search(text):
        return found
    if not known:
        return None
    objects, statements = _patterns(known)
    cut = _CUT_NAME.search(text)
    if cut and any(name.startswith(cut[1]) for name in known):
        return cut
    if found := objects.search(text):
        return found
    examples = [one.span() for one in _FENCE.finditer(text) if _is_example(one)]
    return next((one for one in statements.finditer(text) if _is_statement(one, examples)), None)


@lru_cache(maxsize=256)
def _patterns(names: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return a pattern of objects and tags that call one of the functions, and one of statements that may."""
    known = f"(?:{'|'.join(map(re.escape, sorted(names, key=len, reverse=True)))})"
    objects = (
        rf"""{_NAME_KEY}{known}["']\s*(?:\}}|\Z|,\s*(?:{_ARGUMENTS_KEY}|{_CUT_KEY}))""",
        rf"""^[ \t]*(?:\[[ \t]*)?\{{\s*["']{known}["']\s*:\s*[{{\[]""",
        rf"<(?:(?:function|tool|tool_name|name)>\s*)?{known}(?![\w.-])[^<>\n]*(?:>|\Z)",
        rf"<(?:function|tool|tool_name|name)>\s*{known}(?![\w.-])",
        rf"^[ \t]*Action:[ \t]*{known}[ \t]*$",
        rf"""^[ \t]*(?:>>>[ \t]*)?{known}[ \t]*:?\s*\{{\s*["'}}]""",
        rf"""\bto=(?:functions\.)?{known}(?![\w.-])""",
    )
    before = r"(?:\[|print\(|await[ \t]+|\w+[ \t]*=[ \t]*){0,3}(?:\w+\.){0,3}"
    statement = rf"(?:^[ \t`]*|(?<=[ \t:])){before}{known}\(\s*{_VALUES}"
    return re.compile("|".join(objects), re.MULTILINE), re.compile(statement, re.MULTILINE)


def _is_example(fence: re.Match[str]) -> bool:
    """Whether a fence shows code between words, instead of being all that the answer says."""
    is_all = fence.string.strip() == fence[0].strip()
    return not is_all and fence[1].strip() not in _CALLING_FENCES


def _is_statement(found: re.Match[str], examples: Sequence[tuple[int, int]]) -> bool:
    """Whether a call stands as code does: on lines of its own, or behind words as the last thing of all."""
    if any(start <= found.start() < end for start, end in examples):
        return False
    text, line_end = found.string, found.string.find("\n", found.end())
    rest = text[found.end() - 1 : line_end if line_end >= 0 else len(text)].rstrip()
    if found.start() == 0 or text[found.start() - 1] == "\n":
        return rest.endswith(_STATEMENT_ENDS) or (line_end < 0 and ")" not in rest)
    return rest.endswith((")", "]")) and not text[found.end() - 1 + len(rest) :].strip()
