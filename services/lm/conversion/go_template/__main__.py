"""Makes Ollama's template for a GGUF: `python -m services.lm.conversion.go_template GGUF`, in a limited process.

Prints one line of JSON: `template`, which is empty where none renders the same bytes as the chat template in the GGUF,
`writes_functions`, whether that chat template does, and `notes`, a sentence each; or `problem` and `next_step`.
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from services.lm.conversion.go_template.learning import LearnedTemplate, learn_template
from services.lm.conversion.go_template.ollama import Message
from services.lm.conversion.header import Header
from services.lm.conversion.parts import read_model
from services.lm.conversion.vocabulary.tokens import begin_and_end, chat_templates, named_tokens, token_texts
from services.lm.errors import InvalidModelFile

_NOTHING = "The GGUF has no chat template, so that Ollama sends the last message as it is."
_DATED = (
    "The chat template in the GGUF writes today's date, which no TEMPLATE of Ollama can say in its words. No TEMPLATE "
    "is written, so that Ollama uses the chat template in the GGUF."
)
# A template is a program: besides refusing, it may divide by zero, or reach for what is not there.
_FAULTS = (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)


def template_of(header: Header) -> LearnedTemplate:
    """Return the template for Ollama of the model with this header."""
    chat_template = chat_templates(header).get("default", "")
    if not chat_template:
        return LearnedTemplate("", (_NOTHING,))
    begin, _ = begin_and_end(header)
    begins_with = token_texts(header)[begin] if begin is not None else ""
    tokens = {f"{name}_token": text for name, text in named_tokens(header).items()}
    learned, later = (
        learn_template(_renderer(chat_template, tokens, date), begins_with=begins_with)
        for date in ("1 January 2001", "31 December 2031")
    )
    if learned != later:
        return LearnedTemplate("", (_DATED,))
    return learned


def _renderer(chat_template: str, tokens: dict[str, str], date: str) -> Callable[[Sequence[Message]], str | None]:
    dated = f"{{% macro strftime_now(form) %}}{date}{{% endmacro %}}{chat_template}"

    def render(messages: Sequence[Message]) -> str | None:
        try:
            texts, _ = render_jinja_template(
                [list(messages)], chat_template=dated, add_generation_prompt=True, **tokens
            )
        except _FAULTS:
            return None
        return str(texts[0])

    return render


def main(arguments: list[str]) -> int:
    """Print the template, or why there is none."""
    try:
        header = read_model(Path(arguments[0]))
        learned = template_of(header)
        document = {
            "template": learned.text,
            "writes_functions": "tools" in chat_templates(header).get("default", ""),
            "notes": list(learned.notes),
        }
    except InvalidModelFile as error:
        document = {"problem": error.located_problem, "next_step": error.next_step}
    print(json.dumps(document))
    return int("problem" in document)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
