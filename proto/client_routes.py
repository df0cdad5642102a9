"""The gateway's routes as methods of clients.

The modules of routes are read, not imported: a build has nothing of what serves them.
"""

import ast
import keyword
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROUTES = Path(__file__).resolve().parents[1] / "ui"
# Their routes are not below /api/v1.
NO_API = ("login", "openai")
# What the last words of an RPC's name add nothing to, behind its noun.
PLAIN = ({"versions"}, {"version"}, {"item"}, {"items"}, set())


@dataclass
class Method:
    """A method of a noun.

    Attributes:
        route: Verb and path, such as `GET /models/{model_id}`.
        kind: "call", "list", "watch", "upload", "download", "body" or "query".
        rpc: Such as `registry.GetModel`; empty for what is none.
        options: Parameters that the route takes besides, as in Python.
    """

    noun: str
    name: str
    route: str
    sentence: str
    kind: str
    rpc: str = ""
    options: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names in the path."""
        return re.findall(r"{(\w+)", self.route)


def nouns_of(rpcs: dict[str, Any]) -> dict[str, list[Method]]:
    """Return the methods of each noun."""
    nouns: dict[str, list[Method]] = defaultdict(list)
    for path in sorted(ROUTES.rglob("routes.py")):
        if path.parent.name not in NO_API:
            for method in methods_of(ast.parse(path.read_text(encoding="utf-8")), rpcs):
                add(nouns[method.noun], method)
    return nouns


def methods_of(module: ast.Module, rpcs: dict[str, Any]) -> Iterator[Method]:
    """Yield what a module of routes serves: RPCs, events of jobs, and functions of its own."""
    functions = {node.name: node for node in module.body if isinstance(node, ast.AsyncFunctionDef)}
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("rpc", "events"):
            texts = [item.value for item in node.args if isinstance(item, ast.Constant)]
            if node.func.attr == "events" and len(texts) == 4:
                path, watch, _, sentence = texts
                yield method_of(f"GET {path}", words_of(watch), sentence, "watch", watch)
            elif node.func.attr == "rpc":
                route, rpc, sentence = texts
                is_list = any(item.name == "next_page_token" for item in rpcs[rpc].output_type.fields)
                method = method_of(route, words_of(rpc), sentence, "list" if is_list else "call", rpc)
                actions = [item.value for item in node.keywords if item.arg == "action"]
                if actions and isinstance(actions[0], ast.Name) and actions[0].id in functions:
                    method.options = options_of(functions[actions[0].id])
                yield method
    for function in functions.values():
        yield from own_method(function)


def own_method(function: ast.AsyncFunctionDef) -> Iterator[Method]:
    """Yield the method of a route that is a function and no RPC, unless it takes a stream of bytes."""
    for decorator in function.decorator_list:
        if not (isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute) and decorator.args):
            continue
        verb, path = decorator.func.attr.upper(), ast.literal_eval(decorator.args[0])
        names = {item.arg for item in function.args.args}
        is_file = any(item.arg == "response_class" for item in decorator.keywords)
        kind = "download" if is_file else "upload" if "content" in names else "body" if "body" in names else "query"
        if verb != "PUT" or kind == "body":
            sentence = " ".join((ast.get_docstring(function) or "").partition("\n\n")[0].split())
            yield method_of(f"{verb} {path}", function.name.split("_"), sentence, kind)


def options_of(action: ast.AsyncFunctionDef) -> tuple[str, ...]:
    """Return the parameters of an action behind clients and request, with their types and defaults."""
    arguments, defaults = action.args.args[2:], action.args.defaults
    return tuple(
        f"{item.arg}: {ast.unparse(item.annotation.slice.elts[0])} = {ast.unparse(default)}"
        for item, default in zip(arguments, defaults, strict=True)
        if isinstance(item.annotation, ast.Subscript) and isinstance(item.annotation.slice, ast.Tuple)
    )


def method_of(route: str, words: list[str], sentence: str, kind: str, rpc: str = "") -> Method:
    """Return the method of a route: its noun is the first name of the path, and what the RPC's name says of it goes."""
    noun = re.split(r"[/:]", route.partition("/")[2])[0].replace("-", "_")
    parts = noun.removesuffix("es" if noun.endswith("ses") else "s").split("_")
    verb, rest = words[0], words[1:]
    for place in range(len(rest)):
        if [*rest[place : place + len(parts) - 1], rest[min(place + len(parts), len(rest)) - 1].rstrip("s")] == [
            *parts[:-1],
            parts[-1].rstrip("s"),
        ] or rest[place : place + len(parts)] == noun.split("_"):
            rest = rest[place + len(parts) :]
            break
    name = "_".join([verb] if set(rest) in PLAIN else [verb, *rest])
    return Method(noun, f"{name}_" if keyword.iskeyword(name) else name, route, sentence, kind, rpc)


def add(methods: list[Method], method: Method) -> None:
    """Add a method to its noun; of two with one name, the one whose path ends otherwise is named by its end."""
    for other in methods:
        if other.name == method.name:
            end = method.route.rpartition("/")[2]
            renamed = other if end == method.name else method
            renamed.name = renamed.route.rpartition("/")[2].replace("-", "_")
    methods.append(method)


def words_of(rpc: str) -> list[str]:
    """Return the words of an RPC's name, such as ["get", "test", "run"]."""
    return [word.lower() for word in re.findall(r"[A-Z][a-z]*", rpc.partition(".")[2])]
