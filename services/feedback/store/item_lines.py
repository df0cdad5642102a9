"""Feedback items as JSON lines: items as they are exported, or what a person says of an answer that is here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import BinaryIO

from drillyard.feedback.v1 import feedback_item_pb2 as pb
from google.protobuf.json_format import ParseDict, ParseError

from services.chassis.artifacts import Artifact, ArtifactStore
from services.chassis.errors import InvalidArgument
from services.chassis.wire import check
from services.feedback.convert.items import item_from_proto, item_spec_from_proto
from services.feedback.domain.item_spec import ImportLine, line_error

_MAX_LINE_BYTES = 8 * 1024 * 1024
_BLOCK_BYTES = 1024 * 1024


async def item_lines(artifacts: ArtifactStore, artifact: Artifact) -> AsyncIterator[ImportLine]:
    """Yield what each line of a file holds that is not blank, reading a mebibyte, or one line, at a time.

    Raises:
        InvalidArgument: A line is no item or too long; it is named.
        NotFound: There is no such file.
    """
    await artifacts.verify(artifact.uri, artifact.digest)
    number = 0
    with await artifacts.open_reader(artifact.uri) as file:
        while lines := await asyncio.to_thread(_next_lines, file):
            for line in lines:
                number += 1
                if line.strip():
                    yield import_line(number, line)


def _next_lines(file: BinaryIO) -> list[bytes]:
    lines, num_bytes = [], 0
    # A line that is too long is refused by its first bytes; the rest of it is not read.
    while num_bytes < _BLOCK_BYTES and (line := file.readline(_MAX_LINE_BYTES + 1)):
        lines.append(line)
        num_bytes += len(line)
    return lines


def import_line(number: int, line: bytes) -> ImportLine:
    """Return what a line holds.

    Raises:
        InvalidArgument: It is no item or too long; its number is named.
    """
    try:
        if len(line) > _MAX_LINE_BYTES:
            raise InvalidArgument(f"It has more than {_MAX_LINE_BYTES} bytes.", "Leave it out.")
        document = json.loads(line)
        if not isinstance(document, dict):
            raise InvalidArgument("This is no JSON object.", "Write one object a line.")
        if "feedback_item_id" in document:
            item = ParseDict(document, pb.FeedbackItem())
            check(item)
            return ImportLine(number, item_from_proto(item))
        spec = ParseDict(document, pb.FeedbackItemSpec())
        check(spec)
        return ImportLine(number, item_spec_from_proto(spec))
    except InvalidArgument as error:
        raise line_error(number, error) from error
    # An infinite number for an enum is no ParseError.
    except (ParseError, OverflowError, ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0][:200].rstrip(".")
        raise line_error(number, InvalidArgument(f"This is no item: {reason}.", "Correct the line.")) from error
