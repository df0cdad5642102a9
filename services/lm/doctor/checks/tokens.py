"""Whether the tokens fit the template, the protocol's own tags and the model's context."""

import re
from collections.abc import Iterator

from services.lm.doctor.diagnosis import Finding, excerpt
from services.lm.doctor.subject import ANSWER, USER, Subject, finding

_TAG = re.compile(r"</?[A-Za-z_][\w.-]{0,80}>")
_MOST_BOUNDARIES = 8


def check_stop_tokens(subject: Subject) -> Iterator[Finding]:
    """What ends an answer in the template is not what ends generation."""
    text = subject.render([USER, ANSWER])
    if text is None or ANSWER["content"] not in text:
        return
    tail = text.rpartition(ANSWER["content"])[2]
    special_tokens = subject.tokenizer.added_tokens_decoder
    end = next((token_id for token_id in subject.ids(tail) if token_id in special_tokens), None)
    if end is None:
        yield finding("turn_has_no_end", excerpt(text[-200:]))
    elif end not in subject.stop_ids:
        named = ", ".join(subject.text([token_id]) for token_id in sorted(subject.stop_ids)) or "none"
        yield finding("stop_token_mismatch", excerpt(tail), token=subject.text([end]), stops=named, token_id=end)


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
        yield finding("bos_twice", evidence)
    elif encoded[:2] == [bos, bos]:
        yield finding("bos_added_by_tokenizer", evidence)
    elif encoded[:1] == [bos] and ids[:1] != [bos]:
        yield finding("bos_missing", evidence)


def check_tags(subject: Subject) -> Iterator[Finding]:
    """A tag of the protocol holds a token of its own, so that it is written otherwise than text is."""
    added = {number: str(token) for number, token in subject.tokenizer.added_tokens_decoder.items()}
    special, unknown = set(subject.tokenizer.all_special_ids), subject.tokenizer.unk_token_id
    for tag in dict.fromkeys(tag for text in _answers(subject) for tag in _TAG.findall(text)):
        ids = subject.ids(tag)
        inside = [token_id for token_id in ids if token_id in added and token_id != unknown and added[token_id].strip()]
        hidden = [token_id for token_id in inside if token_id in special]
        if hidden or (inside and len(ids) > 1):
            yield finding(
                "tag_split",
                excerpt(" ".join(subject.text([token_id]) for token_id in ids)),
                severity="error" if hidden else "warning",
                token=repr(added[(hidden or inside)[0]]),
                tag=tag,
                effect="and vanishes when an answer is decoded."
                if hidden
                else "otherwise than the model learnt its parts.",
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
        yield finding("answer_not_encodable", excerpt(back), problem=problem)
        return


def check_boundaries(subject: Subject) -> Iterator[Finding]:
    """Prompt and answer have other tokens together than token_id after the other."""
    places = [(each, place) for each in subject.conversations for place in each.answers][:_MOST_BOUNDARIES]
    for conversation, place in places:
        prompt = subject.render(conversation.messages[:place], tools=conversation.tools, asks=True)
        whole = subject.render(conversation.messages[: place + 1], tools=conversation.tools)
        if not prompt or not whole or not whole.startswith(prompt):
            continue
        parts = subject.ids_behind(prompt, whole[len(prompt) :])
        if parts is None:
            yield finding("answer_inseparable", excerpt(whole, len(prompt)))
            return
        if [*parts[0], *parts[1]] != subject.ids(whole):
            yield finding("boundary_merges", excerpt(whole, len(prompt)))
            return


def _answers(subject: Subject) -> list[str]:
    answers = [
        str(conversation.messages[place].get("content") or "")
        for conversation in subject.conversations
        for place in conversation.answers
    ]
    return [text for text in dict.fromkeys(answers) if text]


def longest_prompt(subject: Subject) -> int:
    """Tokens of the longest prompt; 0 when none can be rendered."""
    return max(_lengths(subject).values(), default=0)


def check_context(subject: Subject) -> Iterator[Finding]:
    """The model's context is shorter than a prompt with an answer: of some cases a warning, of all an error."""
    lengths, room, answer = _lengths(subject), subject.num_context_tokens, subject.max_new_tokens
    too_long = [name for name, length in lengths.items() if room and length + answer > room]
    if not room:
        yield finding("context_unknown")
    elif too_long:
        longest = max(too_long, key=lambda name: lengths[name])
        yield finding(
            "context_too_short",
            f"{lengths[longest]} + {answer} > {room}",
            severity="error" if len(too_long) == len(lengths) else "warning",
            num_too_long=len(too_long),
            num_prompts=len(lengths),
            held=room,
            length=lengths[longest],
            answer=answer,
            longest=longest,
        )


def _lengths(subject: Subject) -> dict[str, int]:
    texts = {each.name: subject.render(each.prompt, tools=each.tools, asks=True) for each in subject.conversations}
    return {name: len(subject.ids(text)) for name, text in texts.items() if text}
