"""Tools that only an experiment or a model's own settings bring."""

from services.protocols.javascript.text import parse_json
from services.protocols.roo.normal_forms import plain_path
from services.protocols.roo_xml.tools.tool import Argument, Number, Tool, leading_number, opted_out

_STRINGS = ("file_path", "old_string", "new_string")


def _operations(text: str) -> object:
    try:
        return parse_json(text)
    except ValueError:
        return []


def _count(text: str) -> Number | None:
    return leading_number(text) if text else None


EXPERIMENTS = (
    Tool(name="run_slash_command", run=opted_out, required=("command",), optional=("args",), title="command"),
    Tool(
        name="generate_image",
        run=opted_out,
        required=("prompt", "path"),
        optional=("image",),
        group="edit",
        arguments={"path": Argument(normal=plain_path)},
        title="path",
    ),
    Tool(
        name="search_and_replace",
        run=opted_out,
        required=("path", "operations"),
        is_opt_in=True,
        arguments={"path": Argument(normal=plain_path), "operations": Argument(read=_operations)},
        title="path",
    ),
    Tool(name="search_replace", run=opted_out, required=_STRINGS, is_opt_in=True, title="file_path"),
    Tool(
        name="edit_file",
        run=opted_out,
        required=_STRINGS,
        optional=("expected_replacements",),
        is_opt_in=True,
        arguments={"expected_replacements": Argument(read=_count)},
        title="file_path",
    ),
    Tool(name="apply_patch", run=opted_out, required=("patch",), is_opt_in=True),
)
