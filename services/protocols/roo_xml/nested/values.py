"""Parameters whose value has elements of its own."""

from collections.abc import Mapping

from services.protocols.roo_xml.nested import lenient_xml
from services.protocols.roo_xml.nested.lenient_xml import Unreadable, Value


class BadNestedValue(ValueError):
    """A nested value cannot be read at all.

    Attributes:
        parameter: the parameter that holds it.
    """

    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(f"{parameter}: {reason}")
        self.parameter = parameter


def read_nested(parameter: str, text: str, raw_elements: tuple[str, ...] = ()) -> Mapping[str, Value]:
    """Return the elements of a nested value by name; what is inside `raw_elements` is taken as it stands.

    Raises:
        BadNestedValue: the text is not readable.
    """
    try:
        return lenient_xml.read(text, raw_elements)
    except Unreadable as error:
        raise BadNestedValue(parameter, str(error)) from error


def listed(value: Value) -> list[Value]:
    """Return the elements of one name, of which there may be one or several."""
    return value if isinstance(value, list) else [value]
