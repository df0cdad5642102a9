"""Which rule of splitting a file's `tokenizer.ggml.pre` stands for, in llama.cpp's table of names.

Source: the table of names and the patterns of llama.cpp's `llama-vocab.cpp`, compared live with its build 11669. What
that table has and this one has not (its own algorithms in code, or patterns that no library reads alike) is refused.
"""

from dataclasses import dataclass
from typing import Final

from services.lm.errors import InvalidModelFile

_NOT_OURS: Final = "Import the model as a Hugging Face folder, which brings its own tokenizer files."

_SUFFIXES: Final = r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
_REST: Final = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_WORD: Final = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_MARKS: Final = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_GPT_2: Final = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_QWEN_2: Final = rf"{_SUFFIXES}|{_WORD}|\p{{N}}|{_MARKS}|{_REST}"
_LLAMA_3: Final = rf"{_SUFFIXES}|{_WORD}|\p{{N}}{{1,3}}|{_MARKS}|{_REST}"
_DEEPSEEK_WORDS: Final = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    rf"| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_REST}"
)
# Letters outside ASCII count as both large and small.
_LARGE: Final = r"[\p{L}&&[^a-z]]"
_SMALL: Final = r"[\p{L}&&[^A-Z]]"
_CASED: Final = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_LARGE}*{_SMALL}+@|[^\r\n\p{{L}}\p{{N}}]?{_LARGE}+{_SMALL}*@"
    rf"|# ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_REST}"
)
# Blanks of other scripts lie in these ranges and are not meant.
_DEEPSEEK_ASIA: Final = "[一-龥ࠀ-一가-\ud7ff&&\\S]+"
_DEEPSEEK_MARKS: Final = "\\s?[!-/:-~！-／：-～‘-‟\u3000-。&&\\S]+"
_CASED_LETTERS: Final = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3"
    "ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
)
_JAIS_BLANKS: Final = "|".join(rf"\s{{{2**power}}}(?!\S)" for power in range(9, 1, -1)) + r"|\s{1,2}(?!\S)|\s"

# By rule: the patterns, each of which splits what the one before left.
_PATTERNS: Final[dict[str, tuple[str, ...]]] = {
    "default": (r"[\p{P}$+<=>^~|]+", _GPT_2, r"\p{N}+", "[0-9][0-9][0-9]"),
    "gpt-2": (_GPT_2,),
    "smollm": (r"\p{N}", _GPT_2),
    "falcon": (r"[\p{P}$+<=>^~|`]+", _GPT_2, "[0-9][0-9][0-9]"),
    "llama-bpe": (_LLAMA_3,),
    "qwen2": (_QWEN_2,),
    "qwen35": (
        rf"{_SUFFIXES}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
        rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_REST}",
    ),
    "ufakzeka": (rf"{_WORD}|\p{{N}}|{_MARKS}|{_REST}",),
    "minicpm5": (r"\p{N}{1,3}", rf"{_SUFFIXES}|{_WORD}|\p{{N}}+|{_MARKS}|{_REST}"),
    "jais-2": (rf"{_SUFFIXES}|{_WORD}|\p{{N}}{{1,3}}|{_MARKS}|\s*[\r\n]+|{_JAIS_BLANKS}",),
    "laguna": (r"[^\n]+|[\n]+", _QWEN_2),
    "bailingmoe": (rf"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|{_WORD}|\p{{N}}|{_MARKS}|\s*[\r\n]|\s+(?!\S)|\s+",),
    "seed-coder": (rf"{_SUFFIXES}|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_REST}",),
    "tekken": (_CASED.replace("@", "").replace("#", r"\p{N}|"),),
    "gpt-4o": (_CASED.replace("@", f"(?:{_SUFFIXES})?").replace("#", r"\p{N}{1,3}|"),),
    "deepseek-v3": (r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", _DEEPSEEK_WORDS),
    "deepseek-llm": (r"[\r\n]", rf"\s?[{_CASED_LETTERS}]+", _DEEPSEEK_MARKS, r"\s+$", _DEEPSEEK_ASIA, r"\p{N}+"),
    "deepseek-coder": (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _DEEPSEEK_ASIA, r"\p{N}"),
    "bloom": (" ?[^(\\s|.,!?…。，、।۔،)]+",),
    "viking": (" ?[^(\\s|.,!?…。，、।۔،)]+", r"\p{N}"),
}
# By rule: the names that stand for it; a rule's own name does not always.
_NAMES: Final = {
    "default": ("", "default"),
    "gpt-2": (
        *("gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum"),
        *("modern-bert", "jina-v1-en", "jina-v2-code", "roberta-bpe", "exaone4", "mpt", "olmo", "jais", "trillion"),
        "granite-docling",
    ),
    "smollm": ("starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"),
    "falcon": ("falcon",),
    "llama-bpe": (
        *("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"),
        *("dbrx", "smaug-bpe", "glm4", "chatglm-bpe"),
    ),
    "qwen2": (
        *("qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2"),
    ),
    "qwen35": ("qwen35",),
    "ufakzeka": ("ufakzeka",),
    "minicpm5": ("minicpm5",),
    "jais-2": ("jais-2",),
    "laguna": ("laguna",),
    "bailingmoe": ("bailingmoe", "bailingmoe2", "llada-moe"),
    "seed-coder": ("seed-coder",),
    "tekken": ("tekken",),
    "gpt-4o": ("gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"),
    "deepseek-v3": ("deepseek-v3", "hunyuan-dense", "hy_v4", "joyai-llm"),
    "deepseek-llm": ("deepseek-llm",),
    "deepseek-coder": ("deepseek-coder",),
    "bloom": ("poro-chat", "bloom", "gpt3-finnish"),
    "viking": ("viking",),
}
_RULES: Final = {name: rule for rule, names in _NAMES.items() for name in names}
# Those that files are written with come before those that say the same.
RULE_NAMES: Final = ("default", "gpt-2", "smollm", "qwen2", "llama-bpe", *(name for name in _RULES if name))
_LLAMA_3_NAMES: Final = _NAMES["llama-bpe"][:9]
_WHOLE_WORDS_FIRST: Final = frozenset({*_LLAMA_3_NAMES, "tekken", "minicpm5"})
_BEGINNING: Final = frozenset({*_LLAMA_3_NAMES, "tekken"})


@dataclass(frozen=True)
class SplittingRule:
    """How a text is split before merging.

    Attributes:
        patterns: Each splits what the one before left into what it matches and what lies between.
        whole_words_first: A piece that is a token stays one, whatever the merges say.
        begins: A text begins with the beginning token where the file doesn't say otherwise.
    """

    patterns: tuple[str, ...]
    whole_words_first: bool
    begins: bool


def splitting_rule(name: str) -> SplittingRule:
    """The rule that the name stands for; "" is a file that names none.

    Raises:
        InvalidModelFile: The name stands for no rule, or for one that is not implemented.
    """
    if name not in _RULES:
        raise InvalidModelFile(f"The pre-tokenizer {name[:40]!r} is not supported.", _NOT_OURS, "tokenizer.ggml.pre")
    return SplittingRule(_PATTERNS[_RULES[name]], name in _WHOLE_WORDS_FIRST, name in _BEGINNING)
