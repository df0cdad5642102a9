"""Texts that tell one rule of splitting from another, and the name that llama.cpp has for the rule of a tokenizer."""

from __future__ import annotations

from functools import cache
from typing import Final

from tokenizers import Tokenizer, pre_tokenizers

from services.lm.conversion.vocabulary.pre_tokenizers import RULE_NAMES, splitting_rule
from services.lm.conversion.vocabulary.tokenizer import splitter

PROBES: Final = (
    "It's 1234x  = f(b)\n\n\t 1.漢字 'LL\r\ne\u0301 AB;/\n     z'te",
    "it's x = foo(bar)",
    "    42 | def f():\n        return 1234567",
    "Steps:\n\n1. Open\r\n\r\n2.  Close\t\tend  ",
    "don't DON'T We'Ve I'LL '\u017f he'd'll 'tis",
    "日本語のテキスト、漢字123かな",
    "emoji 👩\u200d👩\u200d👧 🎉🎉 ok",
    "가나다 한글",
    "naïve e\u0301\u0302 ÀÉ İstanbul",
    "１２３ ٣٤٥ ½ Ⅷ x²",
    "a\u00a0b\u2003c\u3000d\u0085e\u2028f",
    "  \n  \n\n   x",
    "\t\tif (a<=b && c!=d) {return `x`|~^$;}",
    "price: $5.00 + 10% = €7",
    "العربية، نص۔ हिन्दी। क्षि",
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


def pieces(tokenizer: Tokenizer, text: str) -> list[tuple[int, int]] | None:
    """Where the tokenizer splits the text before it merges; None where it does not split at all."""
    if tokenizer.pre_tokenizer is None:
        return None
    return [span for _, span in tokenizer.pre_tokenizer.pre_tokenize_str(text)]


def splitting_name(tokenizer: Tokenizer, *, whole_words_first: bool) -> str:
    """The first name of a rule that splits all probes as this tokenizer does, or ""."""
    expected = tuple(pieces(tokenizer, text) for text in PROBES)
    names = (name for name in RULE_NAMES if splitting_rule(name).whole_words_first == whole_words_first)
    return next((name for name in names if _pieces_of_rule(splitting_rule(name).patterns) == expected), "")


@cache
def _pieces_of_rule(patterns: tuple[str, ...]) -> tuple[list[tuple[int, int]], ...]:
    rule: pre_tokenizers.PreTokenizer = splitter(patterns)
    return tuple([span for _, span in rule.pre_tokenize_str(text)] for text in PROBES)
