"""Rules of the client's language where they differ from Python's: texts, and regular expressions in `patterns`."""

from services.protocols.javascript.text import (
    SPACE_CLASS,
    SPACES,
    from_units,
    num_units,
    parse_json,
    refuse_constant,
    to_units,
    trim,
)

__all__ = ["SPACES", "SPACE_CLASS", "from_units", "num_units", "parse_json", "refuse_constant", "to_units", "trim"]
