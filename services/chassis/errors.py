"""The errors that reach users: what is wrong, and what to do next."""

from __future__ import annotations

from typing import ClassVar


class ServiceError(Exception):
    """An error with one sentence on what is wrong and one on what to do next.

    Attributes:
        code: Name of the gRPC status that carries this class over the wire.
        problem: What is wrong, one sentence.
        next_step: What to do next, one sentence; may be empty.
        fields: Short facts for machines, such as `field="spec.seed"`. Never a secret or prompt text.
    """

    code: ClassVar[str] = "INTERNAL"

    def __init__(self, problem: str, next_step: str = "", **fields: str) -> None:
        super().__init__(problem, next_step)
        self.problem = problem
        self.next_step = next_step
        self.fields = fields

    def __str__(self) -> str:
        return f"{self.problem} {self.next_step}".rstrip()


class NotFound(ServiceError):
    """The named thing does not exist, or the caller may not know that it does."""

    code = "NOT_FOUND"


class AlreadyExists(ServiceError):
    """The id is taken by something else."""

    code = "ALREADY_EXISTS"


class InvalidArgument(ServiceError):
    """The request is wrong whatever the state of the system."""

    code = "INVALID_ARGUMENT"


class FailedPrecondition(ServiceError):
    """The request is sound, but the state of the system does not allow it."""

    code = "FAILED_PRECONDITION"


class Aborted(ServiceError):
    """Another change came first; look at what it is now, then ask again."""

    code = "ABORTED"


class ResourceExhausted(ServiceError):
    """Space, memory, quota or a size limit is used up."""

    code = "RESOURCE_EXHAUSTED"


class TooLarge(ResourceExhausted):
    """What was sent, or asked for at once, needs more than is allowed; less of it works, waiting does not help."""


class QuotaExceeded(ResourceExhausted):
    """A workspace has used up a quota; what it began before goes on."""


class Busy(ResourceExhausted):
    """As much as is allowed is in work or waiting; the same request works after `retry_after_seconds`."""

    def __init__(self, problem: str, next_step: str = "", *, retry_after_seconds: int = 5, **fields: str) -> None:
        next_step = next_step or f"Try again in {retry_after_seconds} s."
        super().__init__(problem, next_step, retry_after_seconds=str(retry_after_seconds), **fields)


class Unavailable(ServiceError):
    """Something that is needed does not answer now; the same request may work later."""

    code = "UNAVAILABLE"


class DatabaseAway(Unavailable):
    """The service's own database does not answer, or stayed locked."""


class DatabaseDamaged(DatabaseAway):
    """The service's own database holds bytes that it did not write, and a person must mend it."""


class DatabaseFull(ResourceExhausted):
    """The disk of the service's own database has no room or cannot be written."""


class LeaseOver(FailedPrecondition):
    """This process may not go on with a job: it could not renew its lease in time."""


class PermissionDenied(ServiceError):
    """The caller is known and may not do this."""

    code = "PERMISSION_DENIED"


class Unimplemented(ServiceError):
    """This release cannot do it."""

    code = "UNIMPLEMENTED"


class DeadlineExceeded(ServiceError):
    """The answer did not come in time; the work may have been done all the same."""

    code = "DEADLINE_EXCEEDED"


class Internal(ServiceError):
    """A fault of the server, which its log describes under the request id."""

    code = "INTERNAL"


ERROR_CLASSES: tuple[type[ServiceError], ...] = (
    NotFound,
    AlreadyExists,
    InvalidArgument,
    FailedPrecondition,
    Aborted,
    ResourceExhausted,
    Unavailable,
    PermissionDenied,
    Unimplemented,
    DeadlineExceeded,
    Internal,
)
