#!/bin/sh
# Package: transformers 5.23.0 with tokenizers 0.23.3 (PyPI), apply_chat_template(return_assistant_tokens_mask=True).
# Expected: the mask has 1 for each token that the assistant wrote (between {% generation %} and {% endgeneration %}),
#   as the method's documentation says.
# What happens: the end is looked up by the last character, and of a character that is several tokens the first one is
#   taken, so an answer that ends in one (an emoji, in a byte-level vocabulary without it) loses its other tokens: three
#   of four bytes of it are not trained. The same character in the middle is masked whole.
# A model that is trained on such masks never learns how such an answer goes on after the first byte.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 tokenizers==0.23.3 jinja2==3.1.6
"$work/venv/bin/python" -W ignore - 2>/dev/null <<'PYTHON'
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
bytewise = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(alphabet)}, merges=[]))
bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
bytewise.decoder = decoders.ByteLevel()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytewise)
template = (
    "{% for message in messages %}[{{ message.role }}]{% if message.role == 'assistant' %}"
    "{% generation %}{{ message.content }}{% endgeneration %}{% else %}{{ message.content }}{% endif %}\n{% endfor %}"
)


def masked(answer: str) -> str:
    """Return how many of the answer's tokens, one for each byte of UTF-8, the mask has."""
    messages = [{"role": "user", "content": "Done?"}, {"role": "assistant", "content": answer}]
    encoded = tokenizer.apply_chat_template(
        messages, chat_template=template, return_dict=True, return_assistant_tokens_mask=True
    )
    return f"{sum(encoded['assistant_masks'])} of {len(answer.encode())}"


counts = [masked(answer) for answer in ("Yes!", "\U0001f389 Yes!", "Yes! \U0001f389", "caf\u00e9")]
print("no such letter, in front, at the end, an e with an accent at the end:", *counts, sep="\n")
raise SystemExit(counts != ["4 of 4", "9 of 9", "6 of 9", "4 of 5"])
PYTHON
