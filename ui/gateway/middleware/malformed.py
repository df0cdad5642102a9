"""What is no HTTP request, or one whose head is too long, is told in a problem document too."""

from __future__ import annotations

import sys
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ui.gateway.errors import problem_response

MAX_HEAD_BYTES = 64 * 1024


class GatewayProtocol(H11Protocol):
    """The server's own protocol, with answers that say what to do next."""

    def send_400_response(self, msg: str) -> None:
        """Refuse what came, and close the connection."""
        error = sys.exception()
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else HTTPStatus.BAD_REQUEST
        problem, next_step = msg, "Send a request of HTTP/1.1."
        if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            problem = f"The request's path and headers are longer than {MAX_HEAD_BYTES} bytes."
            next_step = "Send fewer or shorter ones; in a browser, delete the cookies of this address."
        response = problem_response("INVALID_ARGUMENT", problem, next_step, status)
        head = h11.Response(status_code=status, headers=[*response.raw_headers, (b"connection", b"close")])
        for event in (head, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
