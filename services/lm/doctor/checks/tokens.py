"""Whether the tokens fit the template: ends of turns, the beginning of the text, and the protocol's own tags."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.lm.doctor.checks.probes import ANSWER, USER
from services.lm.doctor.nouns import Finding, excerpt
from services.lm.doctor.subject import Subject

_TAG = re.compile(r"</?[A-Za-z_][\w.-]{0,80}>")
_MOST_BOUNDARIES = 8


def check_stop_tokens(subject: Subject) -> Iterator[Finding]:
    """What ends an answer in the template is not what ends generation."""
    text = subject.render([USER, ANSWER])
    if text is None or ANSWER["content"] not in text:
        return
    tail = text.rpartition(ANSWER["content"])[2]
    known = subject.tokenizer.added_tokens_decoder
    end = next((one for one in subject.ids(tail) if one in known), None)
    if end is None:
        yield Finding(
            "turn_has_no_end",
            "error",
            "The chat template writes no end-of-turn token after an answer, so that the model is never shown to stop.",
            "Write the end-of-turn token after `message.content` of an answer.",
            excerpt(text[-200:]),
        )
    elif end not in subject.stop_ids:
        named = ", ".join(subject.text([one]) for one in sorted(subject.stop_ids)) or "none"
        yield Finding(
            "stop_token_mismatch",
            "error",
            f"The template ends an answer with {subject.text([end])}, but generation stops at: {named}.",
            f"Set eos_token_id in generation_config.json to {end}, or to a list that holds it.",
            excerpt(tail),
        )


def check_bos(subject: Subject) -> Iterator[Finding]:
    """The token that begins a text comes twice, or not at all."""
    bos = subject.tokenizer.bos_token_id
    text = subject.render([USER], asks=True)
    if text is None or bos is None:
        return
    ids = subject.ids(text)
    encoded = subject.tokenizer.encode(text, add_special_tokens=True)
    evidence = excerpt(text[:100])
    if ids[:2] == [bos, bos]:
        yield Finding(
            "bos_twice",
            "error",
            "The chat template writes the token that begins a text twice.",
            "Write `{{ bos_token }}` once, before the first message.",
            evidence,
        )
    elif encoded[:2] == [bos, bos]:
        yield Finding(
            "bos_added_by_tokenizer",
            "note",
            "The template writes the token that begins a text, and the tokenizer adds another where a server encodes "
            "the text with special tokens.",
            "Encode rendered text with add_special_tokens=False.",
            evidence,
        )
    elif encoded[:1] == [bos] and ids[:1] != [bos]:
        yield Finding(
            "bos_missing",
            "warning",
            "The model was trained on texts that begin with a token of their own, which the template does not write.",
            "Begin the template with `{{ bos_token }}`.",
            evidence,
        )


def check_tags(subject: Subject) -> Iterator[Finding]:
    """A tag of the protocol holds a token of its own, so that it is written otherwise than text is."""
    added = {number: str(token) for number, token in subject.tokenizer.added_tokens_decoder.items()}
    special, unknown = set(subject.tokenizer.all_special_ids), subject.tokenizer.unk_token_id
    for tag in _tags(subject):
        ids = subject.ids(tag)
        inside = [one for one in ids if one in added and one != unknown and added[one].strip()]
        hidden = [one for one in inside if one in special]
        if hidden or (inside and len(ids) > 1):
            yield Finding(
                "tag_split",
                "error" if hidden else "warning",
                f"The tokenizer has {added[(hidden or inside)[0]]!r} as a token of its own, which splits the tag {tag} "
                + (
                    "and vanishes when an answer is decoded."
                    if hidden
                    else "otherwise than the model learnt its parts."
                ),
                "Take the token out of added_tokens in tokenizer.json, or choose another base model.",
                excerpt(" ".join(subject.text([one]) for one in ids)),
            )
            return


def check_answers(subject: Subject) -> Iterator[Finding]:
    """An answer's text does not come back from its tokens."""
    unknown = subject.tokenizer.unk_token_id
    for text in _answers(subject):
        ids = subject.ids(text)
        back = subject.text(ids)
        if unknown is not None and unknown in ids:
            problem = "The tokenizer has no token for some characters of the protocol's answers."
        elif back != text and back != text.lstrip(" "):
            problem = "The tokenizer changes the text of the protocol's answers."
        else:
            continue
        yield Finding(
            "answer_not_encodable",
            "error",
            problem,
            "Choose a base model whose tokenizer falls back to bytes and does not normalize.",
            excerpt(back),
        )
        return


def check_boundaries(subject: Subject) -> Iterator[Finding]:
    """Prompt and answer have other tokens together than one after the other."""
    places = [(each, place) for each in subject.conversations for place in each.answers][:_MOST_BOUNDARIES]
    for conversation, place in places:
        prompt = subject.render(conversation.messages[:place], tools=conversation.tools, asks=True)
        whole = subject.render(conversation.messages[: place + 1], tools=conversation.tools)
        if not prompt or not whole or not whole.startswith(prompt):
            continue
        parts = subject.ids_behind(prompt, whole[len(prompt) :])
        if parts is None:
            yield Finding(
                "answer_inseparable",
                "error",
                "The tokenizer makes tokens of the prompt's last characters and the answer's first together, and marks "
                "the beginning of each text, so that no answer can be trained by itself.",
                "Let the generation prompt end with a special token or a line end.",
                excerpt(whole, len(prompt)),
            )
            return
        if [*parts[0], *parts[1]] != subject.ids(whole):
            yield Finding(
                "boundary_merges",
                "warning",
                "The last characters of the prompt and the first of the answer make tokens together, so that later "
                "turns read an answer with other tokens than it was written with.",
                "Let the generation prompt end with a special token or a line end.",
                excerpt(whole, len(prompt)),
            )
            return


def _answers(subject: Subject) -> list[str]:
    found = [
        str(conversation.messages[place].get("content") or "")
        for conversation in subject.conversations
        for place in conversation.answers
    ]
    return [text for text in dict.fromkeys(found) if text]


def _tags(subject: Subject) -> list[str]:
    return list(dict.fromkeys(tag for text in _answers(subject) for tag in _TAG.findall(text)))
