"""`search_replace`: the one occurrence of a string replaced."""

import re

from services.protocols.roo_native.tools.edit.replacement import (
    REPLACED_STRING,
    check_count,
    replace_in_file,
    with_ending_of,
    with_lf,
)
from services.protocols.roo_native.tools.tool import Tool

_SUBSTITUTION = re.compile(r"\$[$&`']")


def search_replaced(text: str, old: str, new: str) -> str:
    """Return `text` with the one occurrence of `old` replaced by `new`, in which `$$`, `$&`, `` $` `` and `$'` count.

    Raises:
        EditError: `old` is not there, or more than once.
    """
    before, searched = with_lf(text), with_lf(old)
    check_count(before.count(searched))
    head, _, tail = before.partition(searched)
    values = {"$$": "$", "$&": searched, "$`": head, "$'": tail}
    return with_ending_of(text, head + _SUBSTITUTION.sub(lambda match: values[match[0]], with_lf(new)) + tail)


SEARCH_REPLACE = Tool(
    name="search_replace",
    run=lambda call: replace_in_file(call, search_replaced),
    arguments=REPLACED_STRING,
    group="edit",
    use="opt_in",
    filled=("file_path", "old_string"),
)
