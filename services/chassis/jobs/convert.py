"""Jobs on the wire, and the RPCs that every kind of job, or of other resource, has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Generic, TypeAlias, TypeVar

from drillyard.job.v1 import job_pb2
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from services.chassis.jobs.job import PROGRESS_EVENT, STATE_EVENT, Job, JobEvent, JobState, Json
from services.chassis.wire import convert_by, timestamp
from services.chassis.wire.fields import enum_prefix

T = TypeVar("T")
_Response = TypeVar("_Response", bound=Message)
Rpc: TypeAlias = Callable[[Any, Any, Any], Awaitable[_Response]]
WatchRpc: TypeAlias = Callable[[Any, Any, Any], AsyncIterator[_Response]]


def job_to_proto(job: Job) -> job_pb2.Job:
    """Return the job as callers see it; spec, result and lease stay inside the service."""
    message = job_pb2.Job(
        job_id=job.job_id,
        kind=job.kind,
        state=job_pb2.JobState.Value(f"JOB_STATE_{job.state}"),
        request_id="" if job.request_id.startswith("once:") else job.request_id,
        progress=progress_to_proto(job.progress),
        attempt=job.attempt,
        last_sequence=job.last_sequence,
        create_time=timestamp(job.create_time),
        update_time=timestamp(job.update_time),
        worked_seconds=job.worked_seconds,
        workspace_id=job.workspace_id,
        caller=job.caller,
    )
    if job.error is not None:
        message.error.CopyFrom(
            job_pb2.JobError(code=job.error.code, problem=job.error.problem, next_step=job.error.next_step)
        )
    if job.start_time is not None:
        message.start_time.CopyFrom(timestamp(job.start_time))
    if job.end_time is not None:
        message.end_time.CopyFrom(timestamp(job.end_time))
    return message


def state_of(job: job_pb2.Job) -> JobState:
    """Return where a job of another service stands."""
    return JobState(job_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_"))


def progress_to_proto(progress: Json) -> job_pb2.JobProgress:
    """Return progress; what was never reported is empty or 0."""
    return job_pb2.JobProgress(
        phase=progress.get("phase", ""),
        num_done=progress.get("done", 0),
        num_total=progress.get("total", 0),
        unit=progress.get("unit", ""),
        message=progress.get("message", ""),
    )


def watch_response(response_type: type[_Response], event: JobEvent) -> _Response:
    """Return what a Watch tells of an event; the response has a field of the type's name for what is not of all jobs.

    A type that neither has a field for, and parts that the field lacks, are those of another release, and left out.
    """
    message = job_pb2.JobEvent(
        job_id=event.job_id, sequence=event.sequence, event_time=timestamp(event.time), type=event.type
    )
    response = response_type(event=message)
    if event.type == PROGRESS_EVENT:
        _event_of(response).progress.CopyFrom(progress_to_proto(event.payload))
    elif event.type == STATE_EVENT:
        _fill(_event_of(response).state, _state_change(event.payload))
    elif event.type in job_pb2.JobEvent.DESCRIPTOR.fields_by_name:
        _fill(getattr(_event_of(response), event.type), event.payload)
    elif event.type in response_type.DESCRIPTOR.fields_by_name:
        _fill(getattr(response, event.type), event.payload)
    return response


class ResourceRpcs(Generic[T]):
    """Makes the RPCs of one kind of resource, as methods of a servicer, each from the type of its response.

    A request's first field is the resource's id; a response's first field holds the resource, or the page of them.

    Args:
        resources: Returns what a servicer asks, such as a `JobResource`, with a method by the name of each verb.
        to_proto: Returns a resource as callers see it.
    """

    def __init__(self, resources: Callable[[Any], Any], to_proto: Callable[[T], Message]) -> None:
        self._resources = resources
        self._to_proto = to_proto

    def create(
        self,
        response_type: type[_Response],
        spec_from_proto: Callable[[Any], Any],
        create: Callable[[Any], Callable[[str, Any], Awaitable[T]]],
    ) -> Rpc[_Response]:
        """Return the RPC that makes a resource as a request's `spec` says, once per `request_id`."""

        async def answer(servicer: Any, request: Any, context: Any) -> _Response:
            made = await create(servicer)(request.request_id, spec_from_proto(request.spec))
            return response_type(**{_first_field(response_type): self._to_proto(made)})

        return answer

    def get(self, response_type: type[_Response], verb: str = "get") -> Rpc[_Response]:
        """Return the RPC that answers with one resource, as `verb` leaves it."""

        async def answer(servicer: Any, request: Any, context: Any) -> _Response:
            resource = await getattr(self._resources(servicer), verb)(_id_of(request))
            return response_type(**{_first_field(response_type): self._to_proto(resource)})

        return answer

    def cancel(self, response_type: type[_Response]) -> Rpc[_Response]:
        """Return the RPC that cancels a job."""
        return self.get(response_type, "cancel")

    def pause(self, response_type: type[_Response]) -> Rpc[_Response]:
        """Return the RPC that pauses a resource."""
        return self.get(response_type, "pause")

    def resume(self, response_type: type[_Response]) -> Rpc[_Response]:
        """Return the RPC that lets a paused resource go on."""
        return self.get(response_type, "resume")

    def list(self, response_type: type[_Response]) -> Rpc[_Response]:
        """Return the RPC that answers with a page of resources."""

        async def answer(servicer: Any, request: Any, context: Any) -> _Response:
            page, token = await self._resources(servicer).list(request.page_size, request.page_token)
            return response_type(**{_first_field(response_type): map(self._to_proto, page)}, next_page_token=token)

        return answer

    def delete(self, response_type: type[_Response], verb: str = "delete") -> Rpc[_Response]:
        """Return the RPC that deletes a resource; a job must have ended, and goes with its history."""

        async def answer(servicer: Any, request: Any, context: Any) -> _Response:
            await getattr(self._resources(servicer), verb)(_id_of(request))
            return response_type()

        return answer

    def watch(self, response_type: type[_Response]) -> WatchRpc[_Response]:
        """Return the RPC that streams the events of a job until its final one."""

        async def answer(servicer: Any, request: Any, context: Any) -> AsyncIterator[_Response]:
            async with aclosing(self._resources(servicer).watch(_id_of(request), request.after_sequence)) as events:
                async for event in events:
                    yield watch_response(response_type, event)

        return answer


def _first_field(message: Message | type[Message]) -> str:
    return str(message.DESCRIPTOR.fields[0].name)


def _id_of(request: Message) -> str:
    return str(getattr(request, _first_field(request)))


def _event_of(response: Any) -> job_pb2.JobEvent:
    event: job_pb2.JobEvent = response.event
    return event


def _state_change(payload: Json) -> Json:
    """What is stored in one piece, in the parts that the contract has."""
    hold = {name: payload[name] for name in ("attempt", "epoch") if name in payload}
    error = {name: payload[name] for name in ("code", "problem", "next_step") if name in payload}
    return {**payload, **({"hold": hold} if hold else {}), **({"error": error} if error else {})}


def _fill(message: Message, payload: Json) -> None:
    message.SetInParent()
    document = {name: _wire_value(message, name, payload[name]) for name in payload}
    ParseDict(document, message, ignore_unknown_fields=True)


def _wire_value(message: Message, name: str, value: Any) -> Any:
    field = message.DESCRIPTOR.fields_by_name.get(name)
    is_word = field is not None and field.enum_type is not None and isinstance(value, str)
    return f"{enum_prefix(field.enum_type)}{value.upper()}" if field and is_word else value


convert_by(job_pb2.Job, job_to_proto)
