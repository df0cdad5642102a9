"""Templates rendered as Go renders them; `go_vectors.json` holds what real Go made of each."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.lm.conversion.go_template import GoTemplateError, render_go_template

GO: dict[str, Any] = json.loads((Path(__file__).parent / "go_vectors.json").read_text("utf-8"))
CHATML = """{{ if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}{{ if .Prompt }}<|im_start|>user
{{ .Prompt }}<|im_end|>
{{ end }}<|im_start|>assistant
{{ .Response }}<|im_end|>
"""
CONVERSATION: list[dict[str, Any]] = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "b"},
    {"role": "user", "content": [{"type": "text", "text": "c"}, {"type": "text", "text": "d"}]},
]


def test_every_template_renders_as_real_go_renders_it_or_fails_where_go_fails() -> None:
    for vector in GO["vectors"]:
        # Without messages Ollama takes the old way, which Go's own vectors do not.
        template = vector["template"] + "{{ if false }}{{ .Messages }}{{ end }}"
        messages, tools = GO["conversations"][vector["conversation"]], GO["tools"] if vector["with_tools"] else []
        try:
            prompt = render_go_template(template, messages, tools)
        except GoTemplateError:
            prompt = None
        assert prompt == vector["prompt"], vector


def test_a_function_that_is_printed_as_it_is_becomes_a_go_struct() -> None:
    template = '{{ range .Tools }}{"function": {{ .Function }}}{{ end }}{{ range .Messages }}{{ end }}'
    tools = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}]
    assert render_go_template(template, CONVERSATION, tools) == '{"function": {f d {object <nil> <nil> [] {}}}}'
    as_json = render_go_template(template.replace("{{ .Function }}", "{{ json .Function }}"), CONVERSATION, tools)
    assert as_json == '{"function": {"name":"f","description":"d","parameters":{"type":"object","properties":null}}}'


@pytest.mark.parametrize(
    ("messages", "system", "prompt"),
    [
        (
            CONVERSATION,
            "",
            "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
            "<|im_start|>user\nc\n\nd<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            CONVERSATION[:1],
            "S",
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            [{"role": "system", "content": "T"}, CONVERSATION[0]],
            "S",
            "<|im_start|>system\nT<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n",
        ),
    ],
)
def test_an_old_template_is_rendered_turn_by_turn_up_to_the_answer(
    messages: list[dict[str, Any]], system: str, prompt: str
) -> None:
    assert render_go_template(CHATML, messages, system=system) == prompt


def test_the_models_system_message_stands_before_a_request_that_has_none() -> None:
    template = "{{ range .Messages }}[{{ .Role }}:{{ .Content }}]{{ end }}"
    assert render_go_template(template, CONVERSATION[:1], system="S") == "[system:S][user:a]"
    own = [{"role": "system", "content": "T"}, *CONVERSATION[:1]]
    assert render_go_template(template, own, system="S") == "[system:T][user:a]"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ('{{ block "x" . }}{{ end }}', "block"),
        ("{{ .Messages.Foo }}", "no list|has none"),
        ("{{ html .Messages }}", "not known"),
        ("{{ 'a' }}", "not known"),
        ("{{ .Messages }}", "address of memory"),
        ('{{ define "x" }}{{ template "x" . }}{{ end }}{{ template "x" .Messages }}', "without end"),
        ("{{ if .Messages }}" * 200, "nested too deeply"),
        ("{{ .Messages", "does not end"),
    ],
)
def test_what_is_not_known_or_has_no_end_is_refused_in_a_sentence(template: str, words: str) -> None:
    with pytest.raises(GoTemplateError, match=words):
        render_go_template(template, CONVERSATION)
