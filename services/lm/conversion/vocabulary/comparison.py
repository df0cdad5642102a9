"""Texts by which a folder's tokenizer is compared with what llama.cpp makes of it."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from tokenizers import Tokenizer, pre_tokenizers

from services.lm.conversion.families.family import FOLDER_FORMS
from services.lm.conversion.vocabulary.pre_tokenizers import RULE_NAMES, splitting_rule
from services.lm.conversion.vocabulary.tokenizer import BLANK, splitter
from services.lm.errors import InvalidModelFile
from services.lm.folders.tokenizer import FILE

PROBES: Final = (
    "It's 1234x  = f(b)\n\n\t 1.漢字 'LL\r\ne AB;/\n     z'te",
    "it's x = foo(bar)",
    "    42 | def f():\n        return 1234567",
    "Steps:\n\n1. Open\r\n\r\n2.  Close\t\tend  ",
    "don't DON'T We'Ve I'LL '\u017f he'd'll 'tis",
    "日本語のテキスト、漢字123かな",
    "emoji 👩\u200d👩\u200d👧 🎉🎉 ok",
    "가나다 한글",
    "naïve ÀÉ İstanbul",
    "１２３ ٣٤٥ ½ Ⅷ x²",
    "a\u00a0b\u2003c\u3000d\u0085e\u2028f",
    "  \n  \n\n   x",
    "\t\tif (a<=b && c!=d) {return `x`|~^$;}",
    "price: $5.00 + 10% = €7",
    "العربية، نص۔",
    "x\n\ny\n\n\nz\r\n",
    "1 22 333 4444 55555 666666 7777777",
    "\x01\x1c\x1f \u200b\ufeffzero \u00adsoft",
    "𝔘𝔫𝔦 𐐀𐐨 🇩🇪",
    "foo/bar//baz/\n/\n",
    "camelCase HTMLParser _under_",
    "...!!! ??? --",
    "   leading",
    "trailing   ",
    "ǅ ʰ ª",
    "ไทย ລາວ",
)
# Marks that stand on the letter before them, which some of llama.cpp's rules take for no part of a word.
MARKED: Final = ("\r\ne\u0301 AB", "naïve e\u0301\u0302", "हिन्दी। क्षि")


def splitting_name(tokenizer: Tokenizer, *, whole_words_first: bool) -> str:
    """The first name of a rule that splits all probes as this tokenizer does, or all without marks, or ""."""
    if tokenizer.pre_tokenizer is None:
        return ""
    names = [name for name in RULE_NAMES if splitting_rule(name).whole_words_first == whole_words_first]
    for texts in ((*PROBES, *MARKED), PROBES):
        expected = _pieces(tokenizer.pre_tokenizer, texts)
        for name in names:
            if _pieces_of_rule(splitting_rule(name).patterns, texts) == expected:
                return name
    return ""


@cache
def _pieces_of_rule(patterns: tuple[str, ...], texts: tuple[str, ...]) -> list[list[tuple[int, int]]]:
    return _pieces(splitter(patterns), texts)


def _pieces(rule: pre_tokenizers.PreTokenizer, texts: tuple[str, ...]) -> list[list[tuple[int, int]]]:
    return [[span for _, span in rule.pre_tokenize_str(text)] for text in texts]


def blanks(tokenizer: Tokenizer, content: dict[str, Any]) -> tuple[bool, bool]:
    """Whether a blank is put before a text of SentencePiece's kind, and before what is behind a special token."""
    first = tokenizer.encode("x y", add_special_tokens=False).tokens[0].startswith(BLANK)
    special = _plain_special(content)
    behind = tokenizer.encode(f"{special}x", add_special_tokens=False).tokens
    return first, behind[1].startswith(BLANK) if special else first


def _plain_special(content: dict[str, Any]) -> str:
    """A special token that takes no blanks, "" where there is none."""
    plain = (token for token in content["added_tokens"] if token["special"] and not token["rstrip"])
    return next((str(token["content"]) for token in plain), "")


def differences(tokenizer: Tokenizer, content: dict[str, Any], rebuilt: Tokenizer) -> list[str]:
    """What llama.cpp tokenizes otherwise than the folder's tokenizer and may be told, a sentence each.

    Args:
        tokenizer: The folder's.
        content: Its `tokenizer.json`.
        rebuilt: What is read from the metadata that are written.

    Raises:
        InvalidModelFile: Texts have other ids.
    """
    notes, start = [], ""
    is_normalised = tokenizer.normalizer is not None and not content["model"].get("byte_fallback")
    normalised: Callable[[str], str] = tokenizer.normalizer.normalize_str if is_normalised else str
    if any(normalised(text) != text for text in (*PROBES, *MARKED)):
        notes.append("The tokenizer normalises texts before it splits them, llama.cpp does not: ids may differ.")
    if content["model"].get("byte_fallback") and blanks(tokenizer, content) == (True, False):
        start = _plain_special(content)
        notes.append("A text that begins with no special token gets no blank before it in llama.cpp.")
    texts = [start + normalised(text) for text in (*PROBES, *MARKED)]
    other_texts = [text for text in texts if _ids(tokenizer, text) != _ids(rebuilt, text)]
    if other_texts and other_texts[0] in texts[: len(PROBES)]:
        raise cannot_write(f"llama.cpp would split {other_texts[0][:30]!r} into other tokens")
    if other_texts:
        notes.append("Words with marks that stand on letters, as in Hindi, get other ids in llama.cpp.")
    special = [written_text(token) for token in content["added_tokens"]]
    around = {text: [f"{start}x{text}y", f"{start}x {text} y", text] for text in special}
    others = [text for text, uses in around.items() if any(_ids(tokenizer, use) != _ids(rebuilt, use) for use in uses)]
    if others:
        notes.append(f"Blanks beside {', '.join(map(repr, others[:5]))} give other ids in llama.cpp.")
    return notes


def written_text(token: Mapping[str, Any]) -> str:
    """An added token's text in GGUF: one that is looked for in normalised texts has blanks where these have ▁."""
    text: str = token["content"]
    return text.replace(BLANK, " ") if token["normalized"] and not token["special"] else text


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def cannot_write(problem: str) -> InvalidModelFile:
    """The refusal of a tokenizer that GGUF has no form for."""
    return InvalidModelFile(f"{problem}.", FOLDER_FORMS, FILE)
