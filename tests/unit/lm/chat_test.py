import json
from pathlib import Path

import pytest

from services.lm.chat import encode_example, encode_prompt, render
from services.lm.errors import InvalidChat
from services.lm.loading import load_tokenizer
from services.lm.tiny import write_tiny_model

QUESTION = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say <read_file> é"}]
ANSWERED = [*QUESTION, {"role": "assistant", "content": "<read_file>\n</read_file>"}]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("chat") / "model"
    write_tiny_model(folder)
    return load_tokenizer(folder)


def test_a_prompt_ends_where_the_answer_begins(tokenizer) -> None:
    assert render(tokenizer, QUESTION).endswith("<|im_start|>assistant\n")
    assert tokenizer.decode(encode_prompt(tokenizer, QUESTION)) == render(tokenizer, QUESTION)


def test_an_example_is_its_prompt_then_the_answer_with_its_end(tokenizer) -> None:
    example = encode_example(tokenizer, ANSWERED)
    assert list(example.ids[: example.spans[0][0]]) == encode_prompt(tokenizer, QUESTION)
    assert tokenizer.decode(list(example.ids[example.spans[0][0] :])) == "<read_file>\n</read_file><|im_end|>"


def test_an_answer_that_holds_the_end_marker_is_refused(tokenizer) -> None:
    with pytest.raises(InvalidChat, match="end-of-turn"):
        encode_example(tokenizer, [*QUESTION, {"role": "assistant", "content": "a<|im_end|>b"}])


def test_an_example_without_an_answer_is_refused(tokenizer) -> None:
    with pytest.raises(InvalidChat, match="assistant"):
        encode_example(tokenizer, QUESTION)


def test_a_template_that_changes_the_answered_prompt_is_refused(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model")
    template = tmp_path / "model" / "chat_template.jinja"
    template.write_text("{{ messages | length }}" + template.read_text())
    with pytest.raises(InvalidChat, match="differently"):
        encode_example(load_tokenizer(tmp_path / "model"), ANSWERED)


STRICT = """{%- for message in messages %}
{%- for id in [message.tool_call_id or 'abcdefghi'] + (message.tool_calls or []) | map(attribute='id') | list %}
{%- if id | length != 9 or not id.isalnum() %}{{ raise_exception('nine letters') }}{% endif %}{{ id }},{% endfor %}
{%- endfor %}{% if add_generation_prompt %}:{% endif %}"""


def calling(*ids: str) -> list[dict[str, object]]:
    calls = [{"id": one, "type": "function", "function": {"name": "f", "arguments": "{}"}} for one in ids]
    answered = [{"role": "tool", "tool_call_id": one, "content": "1"} for one in ids]
    return [{"role": "user", "content": "x"}, {"role": "assistant", "content": "", "tool_calls": calls}, *answered]


def test_ids_that_a_template_refuses_are_renamed_the_same_everywhere(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").write_text(STRICT)
    tokenizer = load_tokenizer(tmp_path / "model")
    ids = render(tokenizer, calling("call_abc-1", "fits12345", "")).rstrip(":").split(",")
    assert ids[3] == "fits12345" and len({*ids[2:5]}) == 3
    assert ids[2:5] == ids[5:8]
    shorter, longer = calling("call_abc-1"), [*calling("call_abc-1"), *calling("call_xyz-2")]
    assert render(tokenizer, longer, asks=False).startswith(render(tokenizer, shorter, asks=False))


def test_ids_that_a_template_takes_stay_as_they_are(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model")
    template = "{% for message in messages %}{{ message.tool_call_id }}{% endfor %}"
    (tmp_path / "model" / "chat_template.jinja").write_text(template)
    assert render(load_tokenizer(tmp_path / "model"), calling("call_abc-1")) == "call_abc-1"


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages[0]['absent']['deeper'] }}",
        "{% for",
        "{{ 1 // 0 }}",
        "{{ range(1000000) | list }}",
        "{{ messages.absent() }}",
    ],
)
def test_a_template_that_fails_or_attacks_is_refused(tmp_path: Path, template: str) -> None:
    write_tiny_model(tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").write_text(template)
    with pytest.raises(InvalidChat, match="refuses"):
        render(load_tokenizer(tmp_path / "model"), QUESTION)


def test_a_model_without_a_template_is_refused(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").unlink()
    with pytest.raises(InvalidChat, match="no chat template"):
        render(load_tokenizer(tmp_path / "model"), QUESTION)


CALLS_TEMPLATE = (
    "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}"
    "{% for message in messages %}<|im_start|>{{ message.role + '\n' + message.content }}"
    "{% for call in message.tool_calls or [] %}{{ call.function.arguments | tojson }}{% endfor %}<|im_end|>"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOOL = {"type": "function", "function": {"name": "read_file", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(scope="module")
def calling_tokenizer(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("calls") / "model"
    write_tiny_model(folder)
    (folder / "chat_template.jinja").write_text(CALLS_TEMPLATE)
    return load_tokenizer(folder)


def answer_calling(arguments: str) -> dict[str, object]:
    call = {"id": "c1", "type": "function", "function": {"name": "read_file", "arguments": arguments}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def test_a_calls_arguments_reach_the_template_as_the_object_that_they_hold(calling_tokenizer) -> None:
    text = render(calling_tokenizer, [*QUESTION, answer_calling('{"path":"a.py"}')], asks=False)
    assert text.endswith('<|im_start|>assistant\n{"path": "a.py"}<|im_end|>')


@pytest.mark.parametrize("arguments", ["not json", "[1]", '{"path":', "[" * 100_000])
def test_arguments_that_hold_no_object_stay_what_the_model_wrote(calling_tokenizer, arguments: str) -> None:
    text = render(calling_tokenizer, [*QUESTION, answer_calling(arguments)], asks=False)
    assert text.endswith(f"assistant\n{json.dumps(arguments)}<|im_end|>")


def test_a_call_is_trained_behind_the_prompt_that_offers_its_function(calling_tokenizer) -> None:
    messages = [*QUESTION, answer_calling('{"path": "a.py"}')]
    example = encode_example(calling_tokenizer, messages, tools=[TOOL])
    prompt = encode_prompt(calling_tokenizer, QUESTION, tools=[TOOL])
    assert list(example.ids[: example.spans[0][0]]) == prompt
    assert calling_tokenizer.decode(prompt).startswith(json.dumps(TOOL))
    assert calling_tokenizer.decode(list(example.ids[example.spans[0][0] :])) == '{"path": "a.py"}<|im_end|>'


def test_rendering_leaves_the_messages_as_they_are(calling_tokenizer) -> None:
    answer = answer_calling('{"path": "a.py"}')
    render(calling_tokenizer, [*QUESTION, answer])
    assert answer == answer_calling('{"path": "a.py"}')


def test_a_call_without_a_function_is_refused(calling_tokenizer) -> None:
    with pytest.raises(InvalidChat, match="refuses"):
        render(calling_tokenizer, [*QUESTION, {"role": "assistant", "content": "", "tool_calls": [{"id": "c1"}]}])
