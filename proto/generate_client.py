"""Generates `drillyard.Client` and `drillyard.AsyncClient` from the contracts and the gateway's table of routes.

Runs as a script with the folder of the generated stubs as its argument, which must stand on the import path.
"""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from client_routes import Method, nouns_of
from google.protobuf.descriptor import Descriptor, FieldDescriptor

# What stands in a body itself, beside `request_id`.
FLAT = ("spec", "source")
TYPES = {
    FieldDescriptor.CPPTYPE_STRING: "str",
    FieldDescriptor.CPPTYPE_BOOL: "bool",
    FieldDescriptor.CPPTYPE_DOUBLE: "float",
    FieldDescriptor.CPPTYPE_FLOAT: "float",
}
HEAD = '''"""Clients of a Drillyard gateway, generated from its contracts and routes.

Every method raises GatewayError when the gateway refuses, or does not answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ui.cli.connection.async_gateway import AsyncGateway
from ui.cli.connection.errors import GatewayError as GatewayError
from ui.cli.connection.gateway import Gateway
from ui.cli.connection.resources import AsyncResource, Resource, path_of
'''
PACKAGE = '''"""Drillyard's contracts, and the clients of its gateway: `from drillyard import Client`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drillyard.client import AsyncClient as AsyncClient, Client as Client, GatewayError as GatewayError

__all__ = ["AsyncClient", "Client", "GatewayError"]


def __getattr__(name: str) -> Any:
    # Services need the contracts alone.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from drillyard import client

    return getattr(client, name)
'''


def generate_client(target: Path) -> None:
    """Write the clients and the table of what they have into the package of the stubs."""
    rpcs = {
        f"{path.parts[-3]}.{rpc.name}": rpc
        for path in sorted(target.glob("drillyard/*/v1/*_service_pb2.py"))
        for contract in [importlib.import_module(f"drillyard.{path.parts[-3]}.v1.{path.stem}").DESCRIPTOR]
        for its_service in contract.services_by_name.values()
        for rpc in its_service.methods
    }
    nouns = nouns_of(rpcs)
    writer = Writer(rpcs)
    classes = [writer.resource(noun, nouns[noun], is_async) for noun in sorted(nouns) for is_async in (False, True)]
    clients = [client(sorted(nouns), is_async) for is_async in (False, True)]
    imports = [f"from {package} import {name} as {alias}" for alias, (package, name) in sorted(writer.modules.items())]
    text = "\n".join([HEAD + "\n".join(imports), "", *classes, *clients])
    (target / "drillyard" / "client.py").write_text(text, encoding="utf-8")
    (target / "drillyard" / "__init__.py").write_text(PACKAGE, encoding="utf-8")
    table = [
        {key: getattr(method, key) for key in ("noun", "name", "route", "rpc", "kind", "sentence")}
        for noun in sorted(nouns)
        for method in nouns[noun]
    ]
    (target / "drillyard" / "routes.json").write_text(json.dumps(table, indent=1), encoding="utf-8")


class Writer:
    """Writes the classes of nouns, and remembers which modules of messages they need."""

    def __init__(self, rpcs: dict[str, Any]) -> None:
        self.modules: dict[str, tuple[str, str]] = {}
        self._rpcs = rpcs

    def resource(self, noun: str, methods: list[Method], is_async: bool) -> str:
        """Return the class of a noun."""
        name = f"{'Async' if is_async else ''}{title(noun)}"
        base = "AsyncResource" if is_async else "Resource"
        bodies = [self._method(method, is_async) for method in methods]
        if any(method.kind == "watch" for method in methods) and any(method.name == "get" for method in methods):
            bodies.append(self._wait(next(method for method in methods if method.name == "get"), is_async))
        return f'\nclass {name}({base}):\n    """The routes of {noun.replace("_", " ")}."""\n' + "".join(bodies)

    def _method(self, method: Method, is_async: bool) -> str:
        prefix, wait = ("async ", "await ") if is_async else ("", "")
        iterator = "AsyncIterator" if is_async else "Iterator"
        if not method.rpc:
            return own_text(method, prefix, wait)
        rpc = self._rpcs[method.rpc]
        parameters, values = self._parameters(method, rpc.input_type)
        begin = f"    def {method.name}(self{parameters})"
        says = f'        """{method.sentence}"""\n'
        if method.kind == "watch":
            kind = self._type(rpc.output_type)
            path = method.route.partition(" ")[2]
            return f'\n{begin} -> {iterator}[{kind}]:\n{says}        return self._watch({kind}, "{path}", {values})\n'
        if method.kind == "list":
            entries = next(item for item in rpc.output_type.fields if item.is_repeated)
            kind = self._type(entries.message_type)
            call = f'self._pages({kind}, "{entries.name}", "{method.route}", {values})'
            return f"\n{begin} -> {iterator}[{kind}]:\n{says}        return {call}\n"
        fields = list(rpc.output_type.fields)
        is_one = len(fields) == 1 and fields[0].message_type and not fields[0].is_repeated
        kind = self._type(fields[0].message_type if is_one else rpc.output_type)
        call = f'{wait}self._call({kind}, "{fields[0].name if is_one else ""}", "{method.route}", {values})'
        answer = f"{kind}:\n{says}        return {call}" if fields else f"None:\n{says}        {call}"
        return f"\n    {prefix}def {method.name}(self{parameters}) -> {answer}\n"

    def _wait(self, get: Method, is_async: bool) -> str:
        kind = self._type(next(iter(self._rpcs[get.rpc].output_type.fields)).message_type)
        prefix, wait = ("async ", "await ") if is_async else ("", "")
        name = get.names[0]
        return (
            f"\n    {prefix}def wait(self, {name}: str) -> {kind}:\n"
            '        """Wait for the end, over lost connections too, and return what it came to."""\n'
            f"        {prefix}for _event in self.watch({name}):\n            pass\n"
            f"        return {wait}self.get({name})\n"
        )

    def _parameters(self, method: Method, request: Descriptor) -> tuple[str, str]:
        """Return a method's parameters and the document of their values, both as text."""
        own, required, optional, names = [], [], [], list[str]()
        for item, is_checked in request_fields(request):
            if item.name == "page_token":
                continue
            names.append(item.name)
            kind = self._kind(item)
            if item.name in method.names:
                own.append(f"{item.name}: {kind}")
            elif item.name == "after_sequence" and method.kind == "watch":
                optional.append("after_sequence: int = 0")
            elif is_checked and rules_of(item).required:
                required.append(f"{item.name}: {kind}")
            else:
                optional.append(f"{item.name}: {kind} | None = None")
        keywords = [*required, *optional, *method.options]
        parameters = [*own, *(["*", *keywords] if keywords else [])]
        text = "".join(f", {parameter}" for parameter in parameters)
        options = [option.partition(":")[0] for option in method.options]
        return text, filled(names) + (f", {filled(options)}" if options else "")

    def _kind(self, item: Any) -> str:
        if item.message_type and item.message_type.GetOptions().map_entry:
            return "Mapping[str, str]"
        if item.enum_type:
            names = ", ".join(f'"{value.name}"' for value in item.enum_type.values if value.number)
            kind = f"Literal[{names}]"
        elif item.message_type:
            kind = f"{self._type(item.message_type)} | Mapping[str, Any]"
        else:
            kind = TYPES.get(item.cpp_type, "int")
        return f"Sequence[{kind}]" if item.is_repeated else kind

    def _type(self, message: Descriptor) -> str:
        package = message.file.name.removesuffix(".proto").replace("/", ".") + "_pb2"
        package, _, name = package.rpartition(".")
        alias = f"{package.split('.')[1]}_{name.removesuffix('_pb2')}"
        self.modules[alias] = (package, name)
        return f"{alias}.{message.full_name.removeprefix(message.file.package + '.')}"


def request_fields(request: Descriptor) -> Iterator[tuple[Any, bool]]:
    """Yield the fields of a request, those of its spec beside them, and whether the required ones are."""
    for item in request.fields:
        if item.message_type and item.name in FLAT:
            yield from ((inner, not rules_of(item).partial) for inner in item.message_type.fields)
        else:
            yield item, True


def rules_of(item: Any) -> Any:
    """Return the rules that stand at a field."""
    rules = importlib.import_module("drillyard.field.v1.field_pb2").rules
    return item.GetOptions().Extensions[rules]


def own_text(method: Method, prefix: str, wait: str) -> str:
    """Return the method of a route that is no RPC; its query, or else its body, is what is named in the call."""
    verb, _, path = method.route.partition(" ")
    names = "".join(f", {name}: str" for name in method.names)
    place = f'path_of("{path}", {filled(method.names)})' if method.names else f'"{path}"'
    more, kind = {"upload": (", content: bytes", "dict[str, Any]"), "download": (", out: Path", "Path")}.get(
        method.kind, ("", "dict[str, Any]")
    )
    call = {
        "upload": f"upload({place}, content, **values)",
        "download": f"download({place}, out, **values)",
        "body": f"{verb.lower()}({place}, values)",
        "query": f"{verb.lower()}({place}" + (")" if verb == "DELETE" else ", **values)"),
    }[method.kind]
    values = "" if verb == "DELETE" else ", **values: Any"
    return (
        f'\n    {prefix}def {method.name}(self{names}{more}{values}) -> {kind}:\n        """{method.sentence}"""\n'
        f"        return {wait}self._gateway.{call}\n"
    )


def filled(names: list[str]) -> str:
    """Return the document of the values of variables."""
    return "{" + ", ".join(f'"{name}": {name}' for name in names) + "}"


def client(nouns: list[str], is_async: bool) -> str:
    """Return the class of a client."""
    prefix = "Async" if is_async else ""
    properties = "".join(
        f"\n    @cached_property\n    def {noun}(self) -> {prefix}{title(noun)}:\n"
        f'        """The routes of {noun.replace("_", " ")}."""\n        return {prefix}{title(noun)}(self)\n'
        for noun in nouns
    )
    says = "for programs with an event loop" if is_async else "that blocks until the answer is there"
    head = f'\nclass {prefix}Client({prefix}Gateway):\n    """A client of a gateway {says}."""\n'
    return f"{head}\n    RETRY_SECONDS = 20.0\n{properties}"


def title(noun: str) -> str:
    """Return a noun as the name of a class."""
    return "".join(word.capitalize() for word in noun.split("_"))


if __name__ == "__main__":
    generate_client(Path(sys.argv[1]))
