"""JSON bodies: a long one is read beside the event loop, in steps so short that the loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from json.decoder import JSONArray, JSONObject, scanstring  # type: ignore[attr-defined]
from json.scanner import py_make_scanner  # type: ignore[attr-defined]
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

# What is shorter is read in less than 5 ms, whatever it holds.
_SHORT_BYTES = 256 * 1024
# A thousand answers to judge have a tenth of it; each value of a body takes up to a hundred times its own bytes.
MAX_VALUES = 100_000
# A part of a text, at most 16 MiB, that tears no character: runs of plain ones, pairs of surrogates, escapes.
_PART = re.compile(
    r"""(?:[^"\\\x00-\x1f]{1,65536}+
    |\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}
    |\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})){1,256}""",
    re.VERBOSE,
)

Scan = Callable[[str, int], tuple[Any, int]]


class JsonRequest(Request):
    """A request whose long JSON body does not hold the event loop."""

    async def json(self) -> Any:
        """Return what the body says.

        Raises:
            json.JSONDecodeError: It is no JSON.
            HTTPException: A long one has more values than any request needs.
        """
        if not hasattr(self, "_json"):
            body = await self.body()
            self._json = json.loads(body) if len(body) <= _SHORT_BYTES else await asyncio.to_thread(read_long, body)
        return self._json


class JsonRoute(APIRoute):
    """A route that reads its body so."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        answer = super().get_route_handler()

        async def answered(request: Request) -> Response:
            return await answer(JsonRequest(request.scope, request.receive))

        return answered


def read_long(body: bytes) -> Any:
    """Return what a JSON body says; the thread that reads it lets others run between any two values.

    Raises:
        json.JSONDecodeError: It is no JSON.
        HTTPException: It has more than `MAX_VALUES` values.
    """
    return _Decoder().decode(body.decode(json.detect_encoding(body), "surrogatepass"))


class _Decoder(json.JSONDecoder):
    """The standard library's decoder in Python: the one in C reads a whole document without a pause."""

    def __init__(self) -> None:
        super().__init__()
        self._num_values = 0
        vars(self).update(
            parse_array=lambda place, scan: JSONArray(place, self._counted(scan)),
            parse_object=lambda place, strict, scan, *more: JSONObject(place, strict, self._counted(scan), *more),
            parse_string=_text,
        )
        vars(self).update(scan_once=py_make_scanner(self))

    def _counted(self, scan: Scan) -> Scan:
        def scan_value(text: str, place: int) -> tuple[Any, int]:
            self._num_values += 1
            if self._num_values > MAX_VALUES:
                raise HTTPException(413, f"the body has more than {MAX_VALUES} values")
            return scan(text, place)

        return scan_value


def _text(document: str, place: int, strict: bool) -> tuple[str, int]:
    """Return the text that begins at a place after its quotation mark, and the place after its end."""
    parts = []
    while part := _PART.match(document, place):
        parts.append(scanstring(f'{part[0]}"', 0)[0])
        place = part.end()
    # Nothing is left but the end, or what is wrong.
    end = scanstring(document, place, strict)[1]
    return "".join(parts), end
