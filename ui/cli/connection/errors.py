"""What a gateway's refusal or silence looks like to its callers."""

from __future__ import annotations

_PASSING = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
_TOO_MANY_REQUESTS = 429


class GatewayError(Exception):
    """The gateway refused, or did not answer.

    Attributes:
        code: Name of the gRPC status, such as "NOT_FOUND".
        problem: What is wrong, one sentence.
        next_step: What to do next, one sentence.
        status: The HTTP status; 0 without an answer.
        retry_after_seconds: How long the gateway asked to wait.
    """

    def __init__(
        self, code: str, problem: str, next_step: str, status: int = 0, retry_after_seconds: float = 0.0
    ) -> None:
        super().__init__(f"{problem} {next_step}".rstrip())
        self.code = code
        self.problem = problem
        self.next_step = next_step
        self.status = status
        self.retry_after_seconds = retry_after_seconds

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed in a moment."""
        is_refusal = 400 <= self.status < 500
        # A quota that is used up says no time.
        is_busy = self.status == _TOO_MANY_REQUESTS and self.retry_after_seconds > 0
        return is_busy or (self.code in _PASSING and not is_refusal)
