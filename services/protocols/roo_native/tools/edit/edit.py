"""`edit`: the one occurrence of a string, or every one, replaced."""

from services.protocols.roo_native.parse.values import optional_boolean
from services.protocols.roo_native.tools.edit.replacement import (
    REPLACED_STRING,
    check_count,
    replace_in_file,
    with_ending_of,
    with_lf,
)
from services.protocols.roo_native.tools.tool import Argument, Call, Result, Tool


def edited(text: str, old: str, new: str, *, replace_all: bool) -> str:
    """Return `text` with `old` replaced by `new`: its one occurrence, or every one; the file's line breaks are kept.

    Raises:
        EditError: `old` is not there, or more than once without `replace_all`.
    """
    before, searched = with_lf(text), with_lf(old)
    check_count(before.count(searched), several=replace_all)
    return with_ending_of(text, before.replace(searched, with_lf(new)))


def _edit(call: Call) -> Result:
    replace_all = call.arguments.get("replace_all") is True
    return replace_in_file(call, lambda text, old, new: edited(text, old, new, replace_all=replace_all))


EDIT = Tool(
    name="edit",
    run=_edit,
    arguments={**REPLACED_STRING, "replace_all": Argument(convert=optional_boolean, by_effect=True)},
    group="edit",
    use="opt_in",
    alias="search_and_replace",
    filled=("file_path", "old_string"),
)
