"""What the contracts say of fields, and the way between messages, domain classes and stored documents."""

from services.chassis.wire.check import check
from services.chassis.wire.documents import from_document, to_document
from services.chassis.wire.fields import Field, fields_of
from services.chassis.wire.mapping import convert_by, from_message, timestamp, to_message

__all__ = [
    "Field",
    "check",
    "convert_by",
    "fields_of",
    "from_document",
    "from_message",
    "timestamp",
    "to_document",
    "to_message",
]
