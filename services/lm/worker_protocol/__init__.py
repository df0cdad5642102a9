"""What a generation worker and its parent say to each other, one JSON object per line; imports no torch."""

from services.lm.worker_protocol.checks import decode_request
from services.lm.worker_protocol.events import (
    Answer,
    Delta,
    Done,
    ErrorCode,
    Event,
    Failed,
    FinishReason,
    Previewed,
    Progress,
    Ready,
    TopLogProbs,
)
from services.lm.worker_protocol.lines import MAX_LINE_BYTES, InvalidLine, decode_event, encode
from services.lm.worker_protocol.requests import Cancel, Generate, Preview, Prompt, Request, Sampling

__all__ = [
    "MAX_LINE_BYTES",
    "Answer",
    "Cancel",
    "Delta",
    "Done",
    "ErrorCode",
    "Event",
    "Failed",
    "FinishReason",
    "Generate",
    "InvalidLine",
    "Preview",
    "Previewed",
    "Progress",
    "Prompt",
    "Ready",
    "Request",
    "Sampling",
    "TopLogProbs",
    "decode_event",
    "decode_request",
    "encode",
]
