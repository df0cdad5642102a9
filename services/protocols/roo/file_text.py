"""Text that a call brings for a file or a command, after the client's own tidying."""

from services.protocols.roo.diff.blocks import all_numbered, strip_numbers

_ENTITIES = (
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", '"'),
    ("&#39;", "'"),
    ("&apos;", "'"),
    ("&#91;", "["),
    ("&#93;", "]"),
    ("&lsqb;", "["),
    ("&rsqb;", "]"),
    ("&amp;", "&"),
)
_FENCE = "```"
_KEEPS_ENTITIES = "claude"


def decoded(text: str) -> str:
    """Return `text` with the entities decoded that the client decodes in commands and edits."""
    if "&" in text:
        for entity, char in _ENTITIES:
            text = text.replace(entity, char)
    return text


def decoded_for(model_id: str, text: str) -> str:
    """Return `text` decoded, or as it is where the client takes the model's edits literally."""
    return text if _KEEPS_ENTITIES in model_id else decoded(text)


def written_text(content: str, model_id: str = "") -> str:
    """Return the text that `write_to_file` writes for `content`."""
    if content.startswith(_FENCE):
        content = "\n".join(content.split("\n")[1:])
    if content.endswith(_FENCE):
        content = "\n".join(content.split("\n")[:-1])
    content = decoded_for(model_id, content)
    return strip_numbers(content) if content and all_numbered(content) else content
