"""`python -m services.lm.folders.tokenizer_check FOLDER`: compares the tokenizer as it is loaded with its file.

Prints one line of JSON: `notes`, a sentence each on what the settings say otherwise than the file; or `problem`,
`next_step` and `place`.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

import transformers
from tokenizers import Tokenizer
from transformers.utils import logging as transformers_logging

from services.lm.errors import InvalidModelFile, LmError
from services.lm.folders.tokenizer import FILE, left_out, load_tokenizer, read_settings

_TEXTS: Final = (
    "Steps:\n\n1. Open\r\n2. Close\n\n\n",
    "    42 | def f():\n  1234 | \treturn {'a': 0x1F, \"b\": 3.14}\n",
    "it's I'M we'll   three  blanks \t tab, punctuation?! (a+b)*c==d;//e",
    "Größe café e\u0301 漢字かな 한국어 Привет مرحبا \U0001f600\U0001f469\u200d\U0001f4bb №½ﬁ\u00a0\u2028end",
    "<read_file>\n<path>src/a_b.py</path>\n</read_file>",
    "",
)
_MAX_SPECIAL: Final = 64
# What a tokenizer of transformers raises on settings that it does not understand.
_FAULTS: Final = (*(ValueError, KeyError, IndexError, OSError, TypeError, AttributeError, ImportError, RuntimeError),)


def check_tokenizer(folder: Path) -> list[str]:
    """What the settings say otherwise than the file, once the loaded tokenizer gives the file's ids.

    Raises:
        InvalidModelFile: A file is missing or damaged, or the ids differ; with the text and both.
    """
    tokenizer = load_tokenizer(folder)
    file = Tokenizer.from_file(str(folder / FILE))
    file.no_truncation()
    file.no_padding()
    special = [str(token) for _, token in sorted(tokenizer.added_tokens_decoder.items())][:_MAX_SPECIAL]
    texts = (*_TEXTS, *(f"a {token}b {token}\n" for token in special))
    if difference := _difference(tokenizer, file, texts):
        raise InvalidModelFile(
            f"The tokenizer is loaded otherwise than its file says: {difference}.",
            "Report it; meanwhile choose a folder with another tokenizer.json.",
            FILE,
        )
    return [*left_out(folder, tokenizer), *_of_its_class(folder, file, texts)]


def _of_its_class(folder: Path, file: Tokenizer, texts: tuple[str, ...]) -> list[str]:
    """Programs that load a tokenizer by its class may give other ids: vLLM and lm-eval, for example."""
    name = read_settings(folder).get("tokenizer_class")
    # Not by AutoTokenizer, whose import takes five seconds.
    named: Any = getattr(transformers, name, None) if isinstance(name, str) and name.isidentifier() else None
    is_one = isinstance(named, type) and issubclass(named, transformers.PreTrainedTokenizerFast)
    if not is_one:
        return []
    try:
        other = named.from_pretrained(folder, local_files_only=True)
        difference = _difference(other, file, texts)
    except _FAULTS:
        return []
    if not difference:
        return []
    return [
        f"tokenizer.json is used as it is; programs that load it by its class {name!r} give other ids, "
        f"for {difference}."
    ]


def _difference(tokenizer: Any, file: Tokenizer, texts: tuple[str, ...]) -> str:
    for text in texts:
        ids, expected = (
            tokenizer.encode(text, add_special_tokens=False),
            file.encode(text, add_special_tokens=False).ids,
        )
        if ids != expected:
            return f"{text[:40]!r} {_beginning(ids)}, where the file gives {_beginning(expected)}"
    return ""


def _beginning(ids: list[int]) -> str:
    return str(ids[:12]) if len(ids) <= 12 else f"{str(ids[:12])[:-1]}, …]"


def main(arguments: list[str]) -> int:
    """Print the notes, or why there are none."""
    transformers_logging.set_verbosity_error()
    try:
        print(json.dumps({"notes": check_tokenizer(Path(arguments[0]))}))
    except LmError as error:
        print(json.dumps({"problem": error.problem, "next_step": error.next_step, "place": error.place}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
