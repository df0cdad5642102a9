"""Messages rendered to token ids by the model's own chat template, for asking and for training, token-exactly."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, Final

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from services.lm.errors import InvalidChat, InvalidModelFile, LmError, PromptRefused
from services.lm.folders.templates import DEFAULT, TOOL_USE
from services.lm.training.sequence import TrainedSequence

Message = Mapping[str, Any]
Tool = Mapping[str, Any]

_MAX_RENDERED_CHARACTERS: Final = 8 << 20
_HALF: Final = re.compile("[\ud800-\udfff]")
# The templates of Mistral's models refuse other ids.
_STRICT_ID: Final = re.compile(r"[A-Za-z0-9]{9}")
# What an answer may stand behind, and what it may begin with.
_ANCHORS: Final = ("\n", ">", "x", ":")
_LETTERS: Final = ("a", "<", "1")
# A template is a program: besides refusing, it may divide by zero, or reach for what is not there.
_TEMPLATE_FAULTS: Final = (
    *(TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError),
)


def render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    *,
    tools: Sequence[Tool] = (),
    asks: bool = True,
    **variables: object,
) -> str:
    """The prompt's text; with `asks` it ends where the model begins its answer.

    Messages and `tools` are in OpenAI's form. There a call's arguments are JSON text; templates are written for the
    object that it holds, so that is what they get. Arguments that hold no object stay the text that the model wrote.
    A template that refuses the ids of calls gets others, each the same everywhere.
    `variables` are plain values that the template sees under these names, in place of its own.

    Raises:
        PromptRefused: The chat template refuses these messages, or what it renders is too long.
        InvalidChat: The model has no chat template.
    """
    _check_template(tokenizer.chat_template, offers_tools=bool(tools))
    try:
        text = tokenizer.apply_chat_template(
            [_with_objects(message) for message in messages],
            tools=[dict(tool) for tool in tools] or None,
            tokenize=False,
            add_generation_prompt=asks,
            **variables,
        )
    except _TEMPLATE_FAULTS as error:
        if isinstance(error, LmError):
            raise
        strict = _with_strict_ids(messages)
        if strict is not None:
            return render(tokenizer, strict, tools=tools, asks=asks, **variables)
        problem = f"The chat template refuses these messages ({error})."
        raise PromptRefused(problem, "Check roles and contents.") from error
    if not isinstance(text, str) or len(text) > _MAX_RENDERED_CHARACTERS:
        raise PromptRefused("The rendered prompt is too long.", "Shorten the messages.")
    _refuse_halves(text)
    return text


def _refuse_halves(text: str) -> None:
    """Return when there is no half of a pair of UTF-16, which JSON can write and no tokenizer takes."""
    if half := _HALF.search(text):
        raise PromptRefused(f"The messages hold {half[0]!a}, half a character.", "Write the text again, in UTF-8.")


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, tools: Sequence[Tool] = ()
) -> list[int]:
    """The ids of the prompt up to where the model begins its answer.

    Raises:
        InvalidChat: As in `render`.
    """
    return encode_text(tokenizer, render(tokenizer, messages, tools=tools))


def encode_example(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    *,
    tools: Sequence[Tool] = (),
    eos_ids: frozenset[int] | None = None,
) -> TrainedSequence:
    """The last message, the assistant's with its calls, as an answer to the others; the answer is trained.

    The prompt's part is exactly what `encode_prompt` gives for the others, and the answer's part what follows it, as
    a model generates it. What the template writes after the end-of-turn token is left out.

    Raises:
        InvalidChat: The last message isn't the assistant's, the template changes the prompt once it is answered, the
            answer holds an end-of-turn token, or has no tokens of its own behind the prompt.
    """
    if len(messages) < 2 or messages[-1].get("role") != "assistant":
        raise InvalidChat("The last message is not the assistant's.", "End each example with its answer.")
    prompt = render(tokenizer, messages[:-1], tools=tools)
    whole = render(tokenizer, messages, tools=tools, asks=False)
    if not whole.startswith(prompt):
        raise InvalidChat(
            "The chat template renders the prompt differently once it is answered.",
            "Use a template in which the answered prompt begins with the prompt.",
        )
    ends = eos_ids or frozenset({_eos(tokenizer)})
    prompt_ids, answer_ids = encode_behind(tokenizer, prompt, whole[len(prompt) :])
    positions = [index for index, token in enumerate(answer_ids) if token in ends]
    if len(positions) > 1:
        raise InvalidChat("The answer holds an end-of-turn token.", "Remove the marker from the answer's text.")
    answer = answer_ids[: positions[0] + 1] if positions else [*answer_ids, _eos(tokenizer)]
    ids = (*prompt_ids, *answer)
    return TrainedSequence(ids, ((len(prompt_ids), len(ids)),))


def encode_behind(tokenizer: PreTrainedTokenizerBase, prompt: str, text: str) -> tuple[list[int], list[int]]:
    """The ids of the prompt by itself, as a model is asked with, and those of the rendered text that follows it.

    A tokenizer that treats the beginning of a text in its own way, such as by a blank before it, would do so to the
    answer too; there the answer's ids are those that it has in the whole.

    Raises:
        InvalidChat: With such a tokenizer, the prompt's end and the text's beginning make tokens that cannot be parted.
    """
    prompt_ids = encode_text(tokenizer, prompt)
    if not marks_beginnings(tokenizer):
        return prompt_ids, encode_text(tokenizer, text)
    whole = encode_text(tokenizer, prompt + text)
    if whole[: len(prompt_ids)] == prompt_ids:
        return prompt_ids, whole[len(prompt_ids) :]
    # They make tokens together, which a model that is asked with the prompt alone never writes.
    for anchor in _ANCHORS:
        before, joined = encode_text(tokenizer, anchor), encode_text(tokenizer, anchor + text)
        ids = joined[len(before) :]
        if joined[: len(before)] == before and _decode(tokenizer, [*prompt_ids, *ids]) == _decode(tokenizer, whole):
            return prompt_ids, ids
    raise InvalidChat(
        "The tokenizer makes tokens of the prompt's last characters and the answer's first together.",
        "Let the generation prompt of the chat template end with a special token or a line end.",
    )


@lru_cache(maxsize=4)
def marks_beginnings(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a letter has other ids at the beginning of a text than behind another."""
    for anchor, letter in product(_ANCHORS, _LETTERS):
        before, joined = encode_text(tokenizer, anchor), encode_text(tokenizer, anchor + letter)
        if joined[: len(before)] == before and joined[len(before) :] != encode_text(tokenizer, letter):
            return True
    return False


def _decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    text: str = tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The ids of rendered text; special tokens that it names become themselves, and none is added."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def _with_strict_ids(messages: Sequence[Message]) -> list[dict[str, Any]] | None:
    """The messages with ids that the strictest template takes, or None where all ids are such already.

    The same id becomes the same one everywhere, so that a longer conversation begins as a shorter one did.
    """
    changed = [_renamed(message) for message in messages]
    return None if all(new == dict(old) for new, old in zip(changed, messages, strict=True)) else changed


def _renamed(message: Message) -> dict[str, Any]:
    new = dict(message)
    if message.get("role") == "tool":
        new["tool_call_id"] = _strict_id(message.get("tool_call_id"))
    if message.get("tool_calls"):
        new["tool_calls"] = [{**call, "id": _strict_id(call.get("id"))} for call in message["tool_calls"]]
    return new


def _strict_id(call_id: object) -> str:
    text = str(call_id or "")
    if _STRICT_ID.fullmatch(text):
        return text
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:9]


def _check_template(templates: object, *, offers_tools: bool) -> None:
    """Of templates by name, transformers takes `tool_use` where functions are offered, and else `default`."""
    if isinstance(templates, str):
        return
    if not isinstance(templates, dict) or not templates:
        raise InvalidChat("The model has no chat template.", "Choose an instruction-tuned model.")
    if DEFAULT not in templates and not (offers_tools and TOOL_USE in templates):
        names = ", ".join(sorted(map(str, templates)))
        raise InvalidChat(
            f"The model has chat templates only by these names: {names[:200]}.",
            f"Name the one for ordinary questions {DEFAULT!r}.",
        )


def _with_objects(message: Message) -> dict[str, Any]:
    calls = message.get("tool_calls")
    if not calls:
        return dict(message)
    return {**message, "tool_calls": [{**call, "function": _with_object(call["function"])} for call in calls]}


def _with_object(function: Mapping[str, Any]) -> dict[str, Any]:
    try:
        arguments = json.loads(function["arguments"])
    except (TypeError, ValueError, RecursionError):
        return dict(function)
    return {**function, "arguments": arguments} if isinstance(arguments, dict) else dict(function)


def _eos(tokenizer: PreTrainedTokenizerBase) -> int:
    if not isinstance(tokenizer.eos_token_id, int):
        raise InvalidChat("The tokenizer has no end-of-turn token.", "Choose an instruction-tuned model.")
    return tokenizer.eos_token_id


def eos_ids_of(*sources: object) -> frozenset[int]:
    """The token ids that end an answer, as a model's configurations and its tokenizer name them.

    Raises:
        InvalidModelFile: None of them does.
    """
    ids: set[int] = set()
    for source in sources:
        value = getattr(source, "eos_token_id", None)
        ids |= {value} if isinstance(value, int) else set(value or ())
    if not ids:
        raise InvalidModelFile("No end-of-turn token is named.", "Set eos_token_id in generation_config.json.")
    return frozenset(ids)
