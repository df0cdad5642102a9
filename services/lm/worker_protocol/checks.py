"""Reading a request with every value checked: what comes over the line is not trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.lm.worker_protocol.lines import build, invalid, json_object
from services.lm.worker_protocol.requests import Cancel, Generate, Preview, Prompt, Request, Sampling

MAX_BATCH: Final = 4096
MAX_NEW_TOKENS: Final = 1 << 20
MAX_STOPS: Final = 16
MAX_STOP_CHARACTERS: Final = 1024
MAX_TOOLS: Final = 1024
MAX_TEXT_CHARACTERS: Final = 8 << 20
MAX_TOKEN_IDS: Final = 1 << 20
MAX_TOKEN_ID: Final = (1 << 31) - 1
MAX_KEY_CHARACTERS: Final = 1024
MAX_TOP_LOG_PROBS: Final = 20
_INT64: Final = 1 << 63


def decode_request(line: bytes) -> Request:
    """The request in one line that a parent wrote.

    Raises:
        InvalidLine: It is none, or a value is of the wrong type or out of range.
    """
    fields = json_object(line)
    if not _is_int(fields.get("id"), -_INT64, _INT64 - 1):
        raise invalid("has no whole number as id")
    match fields.get("op"):
        case "generate":
            return _generate(fields)
        case "preview":
            return Preview(fields["id"], *_content(fields))
        case "cancel":
            return Cancel(fields["id"])
        case _:
            raise invalid("names no known op")


def _generate(fields: dict[str, Any]) -> Generate:
    prompts = fields.get("prompts")
    max_batch, top = fields.get("max_batch") or 0, fields.get("num_top_log_probs") or 0
    if not isinstance(prompts, list) or not prompts:
        raise invalid("has no prompts")
    if not _is_int(max_batch, 0, MAX_BATCH):
        raise invalid(f"has a max_batch that is not between 0 and {MAX_BATCH}")
    if not _is_int(top, 0, MAX_TOP_LOG_PROBS):
        raise invalid(f"has a num_top_log_probs that is not between 0 and {MAX_TOP_LOG_PROBS}")
    echo = _flag(fields, "echo")
    decoded = tuple(_prompt(prompt, 0 if echo else 1) for prompt in prompts)
    if len({prompt.key for prompt in decoded}) != len(decoded):
        raise invalid("has two prompts of one key")
    sampling = _sampling(fields.get("sampling") or {})
    log_probs, stream = _flag(fields, "log_probs"), _flag(fields, "stream")
    return Generate(fields["id"], decoded, sampling, max_batch, log_probs, top, echo, stream)


def _prompt(fields: object, fewest_tokens: int) -> Prompt:
    if not isinstance(fields, dict) or not _is_text(fields.get("key"), MAX_KEY_CHARACTERS):
        raise invalid("has a prompt without a key")
    count, seed = fields.get("max_new_tokens", 0), fields.get("seed", 0)
    if not _is_int(count, fewest_tokens, MAX_NEW_TOKENS):
        raise invalid(f"asks for a number of new tokens that is not between {fewest_tokens} and {MAX_NEW_TOKENS}")
    if not _is_int(seed, -_INT64, _INT64 - 1):
        raise invalid("has a seed that is not a whole number of 64 bits")
    conversation = fields.get("conversation", "")
    if not _is_text(conversation, MAX_KEY_CHARACTERS):
        raise invalid("has a conversation that is no short text")
    stops, token_ids = _stops(fields.get("stop", [])), _token_ids(fields.get("token_ids", []))
    messages, tools, text = ((), (), "") if token_ids else _content(fields)
    if token_ids and any(fields.get(name) for name in ("messages", "tools", "text")):
        raise invalid("has both token ids and something else to answer")
    return Prompt(fields["key"], messages, count, seed, tools, text, stops, conversation, token_ids)


def _token_ids(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > MAX_TOKEN_IDS:
        raise invalid(f"has token ids that are no list of at most {MAX_TOKEN_IDS}")
    if not all(_is_int(token_id, 0, MAX_TOKEN_ID) for token_id in value):
        raise invalid("has token ids that are no whole numbers from 0 on")
    return tuple(value)


def _content(fields: Mapping[str, Any]) -> tuple[tuple[Mapping[str, Any], ...], tuple[Mapping[str, Any], ...], str]:
    """Messages and tools, or else a text."""
    text = fields.get("text", "")
    if not _is_text(text, MAX_TEXT_CHARACTERS):
        raise invalid("has a text that is no text or too long")
    messages, tools = _objects(fields, "messages"), _objects(fields, "tools")
    if bool(text) == bool(messages):
        raise invalid("has not either messages or a text" if text else "has no list of messages")
    if tools and (text or len(tools) > MAX_TOOLS):
        raise invalid("has tools that nothing renders" if text else f"has more than {MAX_TOOLS} tools")
    return messages, tools, text


def _objects(fields: Mapping[str, Any], name: str) -> tuple[Mapping[str, Any], ...]:
    value = fields.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise invalid(f"has {name} that are no list of objects")
    return tuple(value)


def _stops(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_STOPS:
        raise invalid(f"has stop texts that are no list of at most {MAX_STOPS}")
    if not all(item and _is_text(item, MAX_STOP_CHARACTERS) for item in value):
        raise invalid(f"has a stop text that is not of 1 to {MAX_STOP_CHARACTERS} characters")
    return tuple(value)


def _sampling(fields: object) -> Sampling:
    if not isinstance(fields, dict):
        raise invalid("has sampling settings that are no object")
    sampling = build(Sampling, fields)
    shares = (sampling.temperature, sampling.top_p, sampling.min_p)
    if not all(_is_number(value) for value in shares) or not _is_int(sampling.top_k, -_INT64, _INT64):
        raise invalid("has sampling settings that are not numbers")
    in_range = 0 <= sampling.temperature <= 10 and 0 < sampling.top_p <= 1 and 0 <= sampling.min_p <= 1
    if not in_range or not 0 <= sampling.top_k <= 1 << 20:
        raise invalid("has sampling settings out of range")
    return sampling


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise invalid(f"has a {name} that is neither true nor false")
    return value


def _is_int(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: object, longest: int) -> bool:
    return isinstance(value, str) and len(value) <= longest
