"""Templates for Ollama, made from what a model's own chat template renders, and shown to render the same bytes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.lm.conversion.go_template.ollama import Message, render_go_template

# Renders messages up to where the answer begins; None where the chat template refuses them.
Render = Callable[[Sequence[Message]], str | None]

_SYSTEM, _USER, _ASSISTANT, _OTHER = "Sierra7401", "Uniform7402", "Alpha7403", "Uniform7404"
_TEXTS: Final = (
    "Hello!",
    'Two\n\nlines with "quotes", <b> & {{ .Braces }} and `ticks`.',
    "Größe: 2 × 3 – 🙂",
    "{% if %}",
)
_UNKNOWN: Final = "Ollama's template language cannot say what the model's chat template does"
_LEFT_TO_GGUF: Final = "No TEMPLATE is written, so that Ollama uses the chat template in the GGUF."


@dataclass(frozen=True)
class LearnedTemplate:
    """A template, empty where none renders the same bytes, and a sentence for each thing that a person should know."""

    text: str
    notes: tuple[str, ...]


def learn_template(render: Render, *, begins_with: str = "", rows: Sequence[Sequence[Message]] = ()) -> LearnedTemplate:
    """Return the template that renders the same bytes as the model's own does.

    Args:
        render: The model's own chat template.
        begins_with: The token that the server puts before each prompt by itself; it may not stand there twice.
        rows: Conversations that must render the same too, besides those that are tried anyway.
    """

    def rendered(messages: Sequence[Message]) -> str | None:
        text = render(messages)
        return text if text is None else text.removeprefix(begins_with)

    pieces = _pieces(rendered)
    if pieces is None:
        return LearnedTemplate("", (f"{_UNKNOWN} with messages. {_LEFT_TO_GGUF}",))
    template = _written(pieces)
    for messages in (*_conversations(), *rows):
        expected = rendered(messages)
        if expected is not None and render_go_template(template, messages) != expected:
            roles = ", ".join(str(message["role"]) for message in messages)
            return LearnedTemplate("", (f"{_UNKNOWN} with the messages {roles}. {_LEFT_TO_GGUF}",))
    return LearnedTemplate(template, tuple(_notes(template, rendered, pieces)))


def _message(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


@dataclass(frozen=True)
class _Pieces:
    """What stands before a message, by the role before it and its own; an empty role is the start, or the answer."""

    before: Mapping[tuple[str, str], str]


def _pieces(render: Render) -> _Pieces | None:
    """Learn what stands between contents from contents that stand nowhere else."""
    contents = {"system": _SYSTEM, "user": _USER, "assistant": _ASSISTANT}
    before: dict[tuple[str, str], str] = {}
    for roles in (("user",), ("user", "assistant", "user"), ("system", "user")):
        texts = [contents[role] for role in roles]
        texts[-1] = _OTHER if len(texts) > 2 else texts[-1]
        text = render([_message(role, content) for role, content in zip(roles, texts, strict=True)])
        if text is None and roles[0] == "system":
            continue
        between = _between(text or "", texts)
        if between is None:
            return None
        for pair, piece in zip(zip(("", *roles), (*roles, ""), strict=True), between, strict=True):
            before.setdefault(pair, piece)
    return _Pieces(before)


def _between(text: str, contents: Sequence[str]) -> list[str] | None:
    """What stands before, between and behind the contents; None unless each stands there once, in order."""
    pieces = []
    for content in contents:
        piece, found, text = text.partition(content)
        if not found or content in text:
            return None
        pieces.append(piece)
    return [*pieces, text]


def _written(pieces: _Pieces) -> str:
    roles = [role for role in ("system", "user", "assistant") if any(pair[1] == role for pair in pieces.before)]
    branches = _branches(
        {f'eq .Role "{role}"': _choice(pieces, role) + "{{ .Content }}" for role in roles}, otherwise=""
    )
    answer = _choice(pieces, "")
    return (
        '{{ $previous := "" }}{{ range .Messages }}'
        + branches
        + "{{ $previous = .Role }}{{ end }}"
        + f'{{{{ if ne $previous "assistant" }}}}{answer}{{{{ end }}}}'
    )


def _choice(pieces: _Pieces, role: str) -> str:
    """What stands before a message of a role, by the role before it."""
    found = {before: piece for (before, own), piece in pieces.before.items() if own == role}
    texts = list(dict.fromkeys(found.values()))
    if len(texts) == 1:
        return _literal(texts[0])
    conditions = {
        " ".join(["or", *tests]) if len(tests) > 1 else tests[0]: _literal(text)
        for text in texts[:-1]
        if (tests := [f'(eq $previous "{before}")' for before, piece in found.items() if piece == text])
    }
    return _branches(conditions, otherwise=_literal(texts[-1]))


def _branches(texts: Mapping[str, str], *, otherwise: str) -> str:
    opened = "".join(
        f"{{{{ {'else ' if number else ''}if {condition} }}}}{text}"
        for number, (condition, text) in enumerate(texts.items())
    )
    return opened + (f"{{{{ else }}}}{otherwise}" if otherwise else "") + "{{ end }}"


def _literal(text: str) -> str:
    return text.replace("{{", '{{ "{{" }}')


def _conversations() -> list[list[dict[str, Any]]]:
    """Conversations of all lengths and beginnings, of texts that a template may change."""
    found = []
    for text in _TEXTS:
        for roles in (
            ("user",),
            ("system", "user"),
            ("user", "assistant", "user"),
            ("system", "user", "assistant", "user", "assistant", "user"),
        ):
            found.append([_message(role, f"{text} {number}") for number, role in enumerate(roles)])
    return found


def _notes(template: str, render: Render, pieces: _Pieces) -> list[str]:
    notes = []
    blank = [_message("user", "  x \n")]
    if render(blank) != render_go_template(template, blank):
        notes.append("Ollama keeps blanks at the ends of messages, which the model's chat template removes.")
    if ("", "system") not in pieces.before:
        notes.append("The model's chat template takes no system message, and Ollama's leaves it out.")
    return notes
