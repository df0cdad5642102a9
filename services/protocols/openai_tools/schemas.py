"""Function definitions: reading them, and checking arguments against their JSON schemas."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache

from jsonschema.exceptions import SchemaError, ValidationError

from services.protocols.cases import CaseError
from services.protocols.judging.json_schemas import UnusableSchema, check_json_schema, errors_of, problem_of

_NOT_SENT = re.compile(r"[^A-Za-z0-9_-]")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MAX_SHOWN = 80

Schema = Mapping[str, object]


def functions_of(tools: tuple[Mapping[str, object], ...]) -> dict[str, Schema]:
    """Return the parameters' schema of each function by its name.

    Raises:
        CaseError: an entry is no function definition in OpenAI's form, two have one name, or a schema is none.
    """
    schema_by_name: dict[str, Schema] = {}
    for place, tool in enumerate(tools):
        name, schema = _definition(tool, f"tools[{place}]")
        if name in schema_by_name:
            raise CaseError(f"tools[{place}].function.name", f"{name!r} is the name of an earlier function")
        schema_by_name[name] = schema
    return schema_by_name


def _definition(tool: Mapping[str, object], path: str) -> tuple[str, Schema]:
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, Mapping):
        raise CaseError(path, "must be an object with type function and a function")
    name, schema = function.get("name"), function.get("parameters", {})
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise CaseError(f"{path}.function.name", "must be 1 to 64 letters, digits, dots, dashes or underscores")
    if not isinstance(schema, Mapping):
        raise CaseError(f"{path}.function.parameters", "must be a JSON schema")
    return name, schema


def sent_name(name: str) -> str:
    """Return the name by which a function goes beside the messages: servers take letters, digits, `_` and `-` alone."""
    return _NOT_SENT.sub("_", name)


def called_name(name: str, schemas: Mapping[str, Schema]) -> str:
    """Return the name of the function that a call of `name` calls: that very one, or the one that is sent as it."""
    if name in schemas:
        return name
    return next((known for known in schemas if sent_name(known) == name), name)


def sent_tool(tool: Mapping[str, object]) -> Mapping[str, object]:
    """Return a function definition as it goes beside the messages."""
    function = tool.get("function")
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(name, str) or sent_name(name) == name:
        return tool
    return {**tool, "function": {**function, "name": sent_name(name)}}


def check_sent_names(names: Iterable[str]) -> None:
    """Raise CaseError when two functions would go beside the messages by one name."""
    taken: dict[str, str] = {}
    for place, name in enumerate(names):
        other = taken.setdefault(sent_name(name), name)
        if other != name:
            problem = f"{name!r} and {other!r} would both be sent as {sent_name(name)!r}; rename one of them"
            raise CaseError(f"tools[{place}].function.name", problem)


def check_schema(schema: Schema, path: str) -> None:
    """Raise CaseError unless `schema` is a JSON schema of an object whose references can be resolved in itself."""
    if schema.get("type", "object") != "object":
        raise CaseError(f"{path}.type", "must be object")
    try:
        _check_text(json.dumps(schema, default=dict))
    except SchemaError as error:
        raise CaseError(".".join((path, *map(str, error.absolute_path))), problem_of(error)) from error
    except UnusableSchema as error:
        raise CaseError(path, str(error)) from error
    except RecursionError as error:
        raise CaseError(path, "nested too deep") from error
    for reference in _references(schema):
        if not reference.startswith("#"):
            raise CaseError(path, f"the reference {reference[:_MAX_SHOWN]!r} leads out of the schema")


@lru_cache(maxsize=4096)
def _check_text(schema: str) -> None:
    # Cases of one suite share their functions, and checking one schema takes milliseconds.
    check_json_schema(schema)


def _references(value: object) -> Iterator[str]:
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            waiting += node.values()
        elif isinstance(node, list | tuple):
            waiting += node


def parameters_of(schema: Schema) -> Schema:
    """Return the schema of each parameter that the function names."""
    properties = schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def missing_parameter(schema: Schema, arguments: Mapping[str, object]) -> str | None:
    """Return the first required parameter that the arguments lack, or None."""
    required = schema.get("required")
    names = required if isinstance(required, list | tuple) else ()
    return next((str(name) for name in names if name not in arguments), None)


def has_foreign_parameter(schema: Schema, arguments: Mapping[str, object]) -> bool:
    """Return whether there is an argument that the function does not have and its schema does not allow."""
    is_closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
    return is_closed and not parameters_of(schema).keys() >= arguments.keys()


def value_problem(schema: Schema, arguments: Mapping[str, object], allowed: Collection[str] = ()) -> str | None:
    """Return one sentence on the first value that does not fit the schema, or None; those of `allowed` need not."""
    try:
        errors = errors_of(json.dumps(schema, default=dict), arguments)
        relevant = (error for error in errors if not error.absolute_path or error.absolute_path[0] not in allowed)
        error = min(relevant, key=_place, default=None)
    except UnusableSchema as fault:
        return f"the schema cannot be used ({fault})."
    except RecursionError:
        return "the arguments are nested too deep."
    if error is None:
        return None
    message = error.message if len(error.message) <= 2 * _MAX_SHOWN else f"{error.message[: 2 * _MAX_SHOWN]}..."
    return f"{_place(error) or 'the arguments'}: {message}."


def default_of(schema: Schema, name: str) -> object:
    """Return the value that a parameter has when it is left out; None when the schema names none."""
    entry = parameters_of(schema).get(name)
    return entry.get("default") if isinstance(entry, Mapping) else None


def _place(error: ValidationError) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")
