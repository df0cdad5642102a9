"""Prompts as Ollama writes them: requests turned into Go's values, then given to a model's template."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.lm.conversion.go_template.execution import execute
from services.lm.conversion.go_template.parsing import parse
from services.lm.conversion.go_template.syntax import Action, Branch, Call, GoTemplateError, Node, Path, Pipe, Template
from services.lm.conversion.go_template.values import (
    JsonList,
    JsonMap,
    NilMap,
    NilSlice,
    NilTools,
    Pointer,
    Pointers,
    Struct,
    TypeNames,
    json_value,
)

Message = Mapping[str, Any]
Tool = Mapping[str, Any]

_RESPONSE: Final = Action(Pipe(((Path(None, ("Response",)),),)))


def render_go_template(
    template: str, messages: Sequence[Message], tools: Sequence[Tool] = (), *, system: str = ""
) -> str:
    """Return the prompt that Ollama writes for a request to `/v1/chat/completions`, up to where the answer begins.

    Args:
        template: The model's TEMPLATE.
        messages: In OpenAI's form.
        tools: In OpenAI's form.
        system: The model's SYSTEM, which Ollama puts before messages that begin with no system message.

    Raises:
        GoTemplateError: Ollama would refuse the template or the messages, or they use what is not known here.
    """
    tree = parse(template)
    names = {name.lower() for nodes in (tree.nodes, *tree.defined.values()) for name in _names(nodes)}
    if not names & {"messages", "response"}:
        tree.nodes = (*tree.nodes, _RESPONSE)
    taken = _collated([part for message in messages for part in _messages(message, messages)], system)
    if "messages" not in names:
        return _old_form(tree, taken)
    return execute(
        tree,
        {
            "System": "\n\n".join(message["Content"] for message in taken if message["Role"] == "system"),
            "Messages": Pointers(Struct(message, {}) for message in taken),
            "Tools": JsonList(map(_tool, tools)) if tools else NilTools(),
            **_SETTINGS,
        },
    )


# A request that says nothing of thinking.
_SETTINGS: Final[Mapping[str, Any]] = {"Response": "", "Think": False, "ThinkLevel": "", "IsThinkSet": False}


def _messages(message: Message, messages: Sequence[Message]) -> list[dict[str, Any]]:
    """A message, or one for each text that it holds."""
    content = message.get("content")
    texts = [content or ""] if not isinstance(content, list) else [_part(part) for part in content]
    calls: list[Any] = [_call(number, call) for number, call in enumerate(message.get("tool_calls") or ())]
    name = message.get("name") or _called_name(message, messages)
    role = str(message.get("role")).lower()
    return [
        {
            "Role": role,
            "Content": text,
            "Thinking": message.get("reasoning") or "",
            "Images": NilSlice(),
            "ToolCalls": calls or NilSlice(),
            "ToolName": name if role == "tool" else "",
            "ToolCallID": message.get("tool_call_id") or "",
        }
        for text in texts
    ]


def _part(part: Any) -> str:
    if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
        raise GoTemplateError("The messages hold a part that is no text.")
    return str(part["text"])


def _called_name(message: Message, messages: Sequence[Message]) -> str:
    """The function that a result is of, by the id of its call."""
    calls = [call for earlier in messages for call in earlier.get("tool_calls") or ()]
    wanted = message.get("tool_call_id")
    return next((call["function"]["name"] for call in calls if wanted and call.get("id") == wanted), "")


def _call(number: int, call: Mapping[str, Any]) -> Struct:
    function = call["function"]
    arguments = function.get("arguments") or {}
    try:
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError as error:
        raise GoTemplateError("The arguments of a call are no JSON, which Ollama refuses.") from error
    if not isinstance(arguments, Mapping):
        raise GoTemplateError("The arguments of a call are no object, which Ollama refuses.")
    inner = {"Index": number, "Name": function["name"], "Arguments": JsonMap(json_value(dict(arguments)))}
    return Struct({"ID": call.get("id") or "", "Function": Struct(inner, {})}, {})


def _collated(messages: list[dict[str, Any]], system: str) -> list[dict[str, Any]]:
    """Messages with the model's own system message, neighbours of one role joined; results of tools stay apart."""
    if system and (not messages or messages[0]["Role"] != "system"):
        messages = [*_messages({"role": "system", "content": system}, ()), *messages]
    joined: list[dict[str, Any]] = []
    for message in messages:
        if joined and joined[-1]["Role"] == message["Role"] != "tool":
            joined[-1]["Content"] += "\n\n" + message["Content"]
        else:
            joined.append(message)
    return joined


def _keys(**leaves_out: bool) -> dict[str, tuple[str, bool]]:
    return {name: (name[0].lower() + name[1:], empty) for name, empty in leaves_out.items()}


_TOOL_KEYS: Final = _keys(Type=False, Items=True, Function=False)
_FUNCTION_KEYS: Final = _keys(Name=False, Description=False, Parameters=False)
_PARAMETERS_KEYS: Final = _keys(Type=False, Items=True, Required=True, Properties=False) | {"Defs": ("$defs", True)}
_PROPERTY_KEYS: Final = _keys(AnyOf=True, Type=True, Items=True, Description=True, Enum=True, Properties=True)


def _tool(tool: Tool) -> Struct:
    """A function as Ollama keeps it: of the schema, only what its own types name."""
    function = tool.get("function") or {}
    schema = function.get("parameters") or {}
    properties = schema.get("properties")
    parameters = {
        "Type": schema.get("type") or "",
        "Defs": json_value(schema.get("$defs")),
        "Items": json_value(schema.get("items")),
        "Required": list(schema["required"]) if schema.get("required") is not None else NilSlice(),
        "Properties": JsonMap(_properties(properties)) if properties is not None else NilMap(),
    }
    fields = {
        "Name": function.get("name") or "",
        "Description": function.get("description") or "",
        "Parameters": Struct(parameters, _PARAMETERS_KEYS),
    }
    outer = {"Type": tool.get("type") or "", "Items": json_value(tool.get("items"))}
    return Struct(outer | {"Function": Struct(fields, _FUNCTION_KEYS)}, _TOOL_KEYS)


def _properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _property(schema) for name, schema in properties.items()}


def _property(schema: Mapping[str, Any]) -> Struct:
    kinds, options, enum = schema.get("type"), schema.get("anyOf"), schema.get("enum")
    properties = schema.get("properties")
    fields = {
        "AnyOf": [_property(option) for option in options] if options is not None else NilSlice(),
        "Type": TypeNames([kinds] if isinstance(kinds, str) else kinds or []),
        "Items": json_value(schema.get("items")),
        "Description": schema.get("description") or "",
        "Enum": json_value(enum) if enum is not None else NilSlice(),
        "Properties": Pointer(_properties(properties)) if properties is not None else None,
    }
    return Struct(fields, _PROPERTY_KEYS)


def _names(nodes: Sequence[Node]) -> list[str]:
    """The fields and variables that a template uses."""
    names: list[str] = []
    for node in nodes:
        if isinstance(node, Action | Branch | Call) and node.pipe:
            names += _pipe_names(node.pipe)
        if isinstance(node, Branch):
            names += _names((*node.body, *node.otherwise))
    return names


def _pipe_names(pipe: Pipe) -> list[str]:
    names: list[str] = []
    for operand in (operand for command in pipe.commands for operand in command):
        if isinstance(operand, Pipe):
            names += _pipe_names(operand)
        elif isinstance(operand, Path) and not isinstance(operand.start, Pipe):
            names += operand.fields
    return names


def _old_form(tree: Template, messages: Sequence[Message]) -> str:
    """Templates without messages are rendered once for each exchange, the last one up to the answer."""
    parts, turn = [], dict.fromkeys(_TURN.values(), "")
    for message in messages:
        name = _TURN.get(message["Role"])
        if name is None:
            continue
        if any(turn[later] for later in _AFTER[name]):
            parts.append(execute(tree, {**_SETTINGS, **turn}))
            turn = dict.fromkeys(turn, "")
        turn[name] = message["Content"]
    last = Template(_cut(tree.nodes, [False]), tree.defined)
    return "".join((*parts, execute(last, {**_SETTINGS, **turn})))


_TURN: Final = {"system": "System", "user": "Prompt", "assistant": "Response"}
_AFTER: Final = {"System": ("Prompt", "Response"), "Prompt": ("Response",), "Response": ()}


def _cut(nodes: Sequence[Node], is_over: list[bool]) -> tuple[Node, ...]:
    """The nodes up to the answer: everything behind it is left out, wherever it stands."""
    kept: list[Node] = []
    for node in nodes:
        if is_over[0]:
            break
        if isinstance(node, Branch):
            kept.append(Branch(node.kind, node.pipe, _cut(node.body, is_over), _cut(node.otherwise, is_over)))
            continue
        kept.append(node)
        is_over[0] = isinstance(node, Action) and "Response" in _pipe_names(node.pipe)
    return tuple(kept)
