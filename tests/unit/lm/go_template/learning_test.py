"""Templates for Ollama that are made from chat templates, and render the same bytes."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from services.lm.conversion.go_template import render_go_template
from services.lm.conversion.go_template.__main__ import template_of
from services.lm.conversion.go_template.learning import LearnedTemplate
from services.lm.conversion.go_template.ollama import Message
from services.lm.conversion.header import Header, Scalar, Value

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are helpful.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA_3 = (
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
    "{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for message in messages %}{% set role = 'model' if message['role'] == 'assistant' else 'user' %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ message['content'] + eos_token}}{% else %}{{ raise_exception('No') }}{% endif %}{% endfor %}"
)
# Puts the system message before the last question, wherever that is.
MISTRAL_3 = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' }}"
    "{% if loop.last and messages[0]['role'] == 'system' %}{{ messages[0]['content'] + '\n\n' }}{% endif %}"
    "{{ message['content'] + '[/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'] + eos_token}}{% endif %}{% endfor %}"
)
PHI_3 = (
    "{% for message in messages %}{{'<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
BLANKS = "Ollama keeps blanks"
NO_SYSTEM = "takes no system message"


def learned(chat_template: str, *, adds_bos: bool = True) -> LearnedTemplate:
    tokens: list[Scalar] = ["<s>", "</s>", *map(str, range(10))]
    metadata: dict[str, Value] = {
        "tokenizer.chat_template": chat_template,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [*(3, 3), *(1 for _ in range(10))],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.add_bos_token": adds_bos,
    }
    return template_of(Header((Path("model.gguf"),), 0, metadata, ()))


@pytest.mark.parametrize(
    ("chat_template", "prompt", "notes"),
    [
        (
            CHATML,
            "<|im_start|>system\nYou are helpful.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
            [],
        ),
        (
            LLAMA_3,
            "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
            [BLANKS],
        ),
        (GEMMA, "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n", [BLANKS, NO_SYSTEM]),
        (MISTRAL, "[INST] Hi [/INST]", [NO_SYSTEM]),
        (PHI_3, "<|user|>\nHi<|end|>\n<|assistant|>\n", []),
    ],
)
def test_chat_templates_of_known_families_get_a_template_of_the_same_bytes(
    chat_template: str, prompt: str, notes: Sequence[str]
) -> None:
    template = learned(chat_template)
    assert render_go_template(template.text, [{"role": "user", "content": "Hi"}]) == prompt
    assert len(template.notes) == len(notes)
    assert all(words in note for words, note in zip(notes, template.notes, strict=True))


def test_the_token_that_the_server_adds_stands_in_the_prompt_once() -> None:
    question: list[Message] = [{"role": "user", "content": "Hi"}]
    assert render_go_template(learned(MISTRAL).text, question) == "[INST] Hi [/INST]"
    assert render_go_template(learned(MISTRAL, adds_bos=False).text, question) == "<s>[INST] Hi [/INST]"


@pytest.mark.parametrize(
    ("chat_template", "words"),
    [
        ("", "has no chat template"),
        (MISTRAL_3, "cannot say what the model's chat template does with the messages system, user, assistant"),
        ("{% for message in messages %}{{ message['content'] | upper }}{% endfor %}", "cannot say"),
        ("{{ messages[0]['content'] }}{{ messages[-1]['content'] }}", "cannot say"),
        ("Today is {{ strftime_now('%d') }}." + PHI_3, "today's date"),
        ("{% broken", "cannot say"),
    ],
)
def test_what_no_template_can_say_is_left_to_the_gguf_with_the_reason(chat_template: str, words: str) -> None:
    template = learned(chat_template)
    assert not template.text
    assert [note for note in template.notes if words in note]
