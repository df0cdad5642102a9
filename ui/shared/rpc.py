"""REST routes made from RPCs: parameters, body, answer and their entry in the reference come from the contract."""

from __future__ import annotations

import asyncio
import inspect
import re
import types
from collections.abc import Awaitable, Callable, Coroutine
from functools import cache
from typing import Annotated, Any

from drillyard.evaluator.v1 import evaluator_service_pb2
from drillyard.feedback.v1 import feedback_service_pb2
from drillyard.notice.v1 import notice_service_pb2
from drillyard.registry.v1 import registry_service_pb2
from drillyard.storage.v1 import storage_service_pb2
from drillyard.test_runner.v1 import test_runner_service_pb2
from drillyard.trainer.v1 import trainer_service_pb2
from fastapi import APIRouter, Depends, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import JSONResponse, Response
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from pydantic import BaseModel, ConfigDict, FailFast, Field, create_model
from sse_starlette import EventSourceResponse

from services.chassis.errors import InvalidArgument
from services.chassis.wire.fields import field_of, rules_of
from ui.gateway.middleware.bodies import JsonRoute
from ui.shared.documents import ClientsOf, Document, Page, document, message_of
from ui.shared.events import EVENT_STREAM, AfterSequence, EventStreams, LastEventId, start_after, streams_of
from ui.shared.schemas import shows

_FILES = (
    registry_service_pb2,
    test_runner_service_pb2,
    evaluator_service_pb2,
    trainer_service_pb2,
    feedback_service_pb2,
    storage_service_pb2,
    notice_service_pb2,
)
METHODS: dict[str, Any] = {
    f"{service.full_name.split('.')[1]}.{method.name}": method
    for file in _FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
_TYPES = {
    FieldDescriptor.CPPTYPE_STRING: str,
    FieldDescriptor.CPPTYPE_BOOL: bool,
    FieldDescriptor.CPPTYPE_DOUBLE: float,
    FieldDescriptor.CPPTYPE_FLOAT: float,
    FieldDescriptor.CPPTYPE_ENUM: str,
}
Action = Callable[..., Awaitable[Message | Document]]
# Their fields stand in the body itself, beside `request_id`.
_FLAT = ("spec", "source")


class Body(BaseModel):
    """A request body: a field that it does not know is an error that names the field."""

    model_config = ConfigDict(extra="forbid")


class ContractRoute(JsonRoute):
    """A route that refuses query parameters that it does not know: a mistyped filter would let everything through."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        answer, names = super().get_route_handler(), sorted(query_names(self.dependant))

        async def answered(request: Request) -> Response:
            unknown = next((name for name in request.query_params if name not in names), None)
            if unknown is not None:
                known = f"Use {', '.join(names)}." if names else "This route has none."
                raise InvalidArgument(f"There is no query parameter {unknown[:80]!a}.", known, field=unknown[:80])
            return await answer(request)

        return answered


def query_names(dependant: Dependant) -> set[str]:
    """Return the query parameters that a route takes."""
    own = {field.alias for field in dependant.query_params}
    return own.union(*map(query_names, dependant.dependencies))


class RpcRouter(APIRouter):
    """A router whose routes are RPCs; an RPC is named by its service and itself, such as `registry.ListModels`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"route_class": ContractRoute, **options})

    def rpc(
        self, route: str, method: str, sentence: str, *, timeout: float | None = None, action: Action | None = None
    ) -> None:
        """Add a route that asks an RPC and answers with its response.

        Args:
            route: Verb and path, such as `GET /models/{model_id}`; what the path does not name of the request is a
                query parameter of a GET, and a field of the body otherwise.
            method: The RPC.
            sentence: What the reference says of it.
            timeout: Most seconds; without it the channel's own.
            action: Called with the clients and the request instead of the RPC; what else it takes, a query may set.
        """
        verb, _, path = route.partition(" ")
        rpc = METHODS[method]
        names = re.findall(r"{(\w+)", path)
        options = list(inspect.signature(action, eval_str=True).parameters.values())[2:] if action else []
        parameters = [_parameter("clients", ClientsOf), *(_parameter(name, str) for name in names)]
        if verb == "GET":
            parameters += _query([field for field in rpc.input_type.fields if field.name not in names])
        else:
            parameters += _body(rpc.input_type, tuple(names))
        parameters += [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options]
        call = action or _calling(method, timeout)
        endpoint = _named(_answering(rpc, call, [option.name for option in options]), rpc.name, parameters)
        self._add(verb, path, endpoint, sentence, responses=shows(GetMessageClass(rpc.output_type)))

    def events(self, path: str, watch: str, get: str, sentence: str) -> None:
        """Add a route that streams the events of a job; `get` tells first that there is such a job."""
        (name,) = re.findall(r"{(\w+)", path)
        watched, read = (GetMessageClass(METHODS[method].input_type) for method in (watch, get))

        async def stream(
            clients: Any, streams: EventStreams, after_sequence: int, last_event_id: str, **key: str
        ) -> EventSourceResponse:
            await _call(clients, get)(read(**key))
            return streams.respond(
                lambda after: _call(clients, watch)(watched(**key, after_sequence=after)),
                start_after(after_sequence, last_event_id),
            )

        parameters = [
            _parameter("clients", ClientsOf),
            _parameter("streams", Annotated[EventStreams, Depends(streams_of)]),
            _parameter(name, str),
            _parameter("after_sequence", AfterSequence, 0),
            _parameter("last_event_id", LastEventId, ""),
        ]
        endpoint = _named(stream, METHODS[watch].name, parameters)
        self._add("GET", path, endpoint, sentence, responses=EVENT_STREAM, response_class=EventSourceResponse)

    def _add(self, verb: str, path: str, endpoint: Callable[..., Any], sentence: str, **more: Any) -> None:
        self.add_api_route(path, endpoint, methods=[verb], description=sentence, **more)


@cache
def body_of(kind: Descriptor, left_out: tuple[str, ...] = ()) -> type[Body]:
    """Return the body that describes a message: each field under its own name, those of its `spec` beside them."""
    fields: dict[str, Any] = {}
    for field in kind.fields:
        if field.message_type and field.name in _FLAT:
            fields |= {inner.name: _body_field(inner) for inner in field.message_type.fields}
        elif field.name not in left_out:
            fields[field.name] = _body_field(field)
    name = kind.name.replace("Request", "") + "Body"
    return create_model(name, __base__=Body, __doc__="", **fields)


def nested(kind: Descriptor, body: Body | None) -> Document:
    """Return what was sent in a body in the form of its message."""
    sent = body.model_dump(exclude_unset=True, exclude_none=True) if body else {}
    for field in kind.fields:
        if field.message_type and field.name in _FLAT:
            names = [name for name in sent if name in field.message_type.fields_by_name]
            sent[field.name] = {name: sent.pop(name) for name in names}
    return sent


def _body_field(field: Any) -> tuple[Any, Any]:
    if field.message_type and field.message_type.GetOptions().map_entry:
        value = _TYPES.get(field.message_type.fields_by_name["value"].cpp_type, int)
        return types.GenericAlias(dict, (str, value)), Field(default={}, description=field_of(field).help)
    kind: Any = body_of(field.message_type) if field.message_type else _TYPES.get(field.cpp_type, int)
    default: Any = None if field.message_type or field.enum_type else field.default_value
    if field.is_repeated:
        # Of a hundred thousand wrong entries the first is told.
        kind, default = Annotated[types.GenericAlias(list, kind), FailFast()], []
    elif default is None:
        kind = kind | None
    return kind, Field(default=default, description=field_of(field).help, json_schema_extra=_bounds(field))


def _bounds(field: Any) -> dict[str, Any]:
    """Return what the reference tells of a field besides its type; an unset field means the default."""
    contract = field_of(field)
    facts = {
        "minimum": contract.minimum,
        "maximum": contract.maximum,
        "unit": contract.unit,
        "default": contract.default if contract.default != () else None,
        "enum": [name for name, _ in contract.choices],
    }
    return {name: fact for name, fact in facts.items() if fact not in (None, "", [])}


def _query(fields: list[Any]) -> list[inspect.Parameter]:
    page = [_parameter("page", Page)] if any(field.name == "page_size" for field in fields) else []
    return page + [_query_parameter(field) for field in fields if field.name not in ("page_size", "page_token")]


def _query_parameter(field: Any) -> inspect.Parameter:
    kind: Any = _TYPES.get(field.cpp_type, int)
    is_required = rules_of(field).required
    unset = field.enum_type.values_by_number[0].name if field.enum_type else field.default_value
    return _parameter(
        field.name,
        Annotated[kind, Query(description=field_of(field).help)],
        inspect.Parameter.empty if is_required else unset,
    )


def _body(kind: Descriptor, names: tuple[str, ...]) -> list[inspect.Parameter]:
    has_more = any(field.name not in names for field in kind.fields)
    return [_parameter("body", body_of(kind, names))] if has_more else []


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _named(
    endpoint: Callable[..., Awaitable[Any]], rpc: str, parameters: list[inspect.Parameter]
) -> Callable[..., Awaitable[Any]]:
    endpoint.__name__ = re.sub(r"(?<!^)(?=[A-Z])", "_", rpc).lower()
    endpoint.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return endpoint


def _answering(rpc: Any, call: Action, options: list[str]) -> Callable[..., Awaitable[JSONResponse]]:
    kind = GetMessageClass(rpc.input_type)

    def read(body: Body | None, values: Document) -> Message:
        return message_of(kind, {**nested(rpc.input_type, body), **values})

    def write(response: Message | Document) -> JSONResponse:
        return JSONResponse(document(response) if isinstance(response, Message) else response)

    async def answer(
        clients: Any, body: Body | None = None, page: Document | None = None, **values: Any
    ) -> JSONResponse:
        more = {name: values.pop(name) for name in options}
        request = await asyncio.to_thread(read, body, {**(page or {}), **values})
        response = await call(clients, request, **more)
        # FastAPI would copy a long answer value by value in the event loop.
        return await asyncio.to_thread(write, response)

    return answer


def _calling(method: str, timeout: float | None) -> Action:
    def call(clients: Any, request: Message) -> Awaitable[Message]:
        response: Awaitable[Message] = _call(clients, method)(request, timeout=timeout)
        return response

    return call


def _call(clients: Any, method: str) -> Any:
    service, _, name = method.partition(".")
    return getattr(getattr(clients, service), name)
