"""Messages to JSON documents and request bodies to messages, both in protobuf's JSON form with snake_case names."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query, Request
from google.protobuf import descriptor_pool
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from services.chassis.errors import InvalidArgument
from ui.gateway.clients import Clients

MessageT = TypeVar("MessageT", bound=Message)
Document = dict[str, Any]


def document(message: Message) -> Document:
    """Return protobuf's JSON form of `message` with all its fields; 64-bit integers are strings there."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def message_of(kind: type[MessageT], body: Document) -> MessageT:
    """Return the message that `body` describes.

    Raises:
        InvalidArgument: A field has the wrong type or does not fit, such as an integer above 32 bits.
    """
    try:
        return ParseDict(body, kind())
    # An infinite number for an enum is no ParseError.
    except (ParseError, OverflowError) as error:
        raise _unreadable(str(error)) from None


def clients_of(request: Request) -> Clients:
    """Return the stubs that the application opened at its start."""
    clients: Clients = request.app.state.clients
    return clients


def _page_size(
    page_size: Annotated[int, Query(ge=1, le=1000, description="Most entries to return.")] = 50,
    page_token: Annotated[str, Query(max_length=500, description="`next_page_token` of the page before.")] = "",
) -> Document:
    return {"page_size": page_size, "page_token": page_token}


ClientsOf = Annotated[Clients, Depends(clients_of)]
Page = Annotated[Document, Depends(_page_size)]


def _unreadable(text: str) -> InvalidArgument:
    """Return the error of a field that protobuf's reader names, one "Failed to parse" for each message around it."""
    field = ".".join(re.findall(r"Failed to parse (\w+) field: ", text))
    reason = text.rpartition(" field: ")[2].partition(", use quoted")[0].rstrip(".")
    if unknown := re.match(r"Invalid enum value (.*) for enum type ([\w.]+) at", reason):
        enum = descriptor_pool.Default().FindEnumTypeByName(unknown[2].rstrip("."))
        reason = f"there is no {unknown[1]:.80}, only {', '.join(value.name for value in enum.values if value.number)}"
    problem = f"{field} cannot be read: {reason}." if field else f"The request cannot be read: {reason}."
    return InvalidArgument(problem, "Correct the field and send it again.", **({"field": field} if field else {}))
