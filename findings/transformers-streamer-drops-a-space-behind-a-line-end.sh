#!/bin/sh
# Package: transformers 5.23.0 with tokenizers 0.23.3 (PyPI), TextStreamer (and TextIteratorStreamer, which is one).
# Expected: what is streamed, put together, is the text that `decode` gives of all tokens.
# What happens: after a line end the streamer forgets the tokens before and decodes the next ones as a new text. A
#   tokenizer of Llama's kind (SentencePiece: U+2581 for a space, a decoder that takes the first space off) then loses
#   one space at the start of each line that has any. Streamed Python or YAML is indented by three, not by four.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 tokenizers==0.23.3 numpy==2.4.6
"$work/venv/bin/python" -W ignore - 2>/dev/null <<'PYTHON'
import numpy
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast, TextStreamer

pieces = ["<unk>", "\u2581if", "\u2581x", ":", "\n", "\u2581\u2581\u2581", "\u2581return"]
llama_like = Tokenizer(models.BPE(vocab={piece: number for number, piece in enumerate(pieces)}, merges=[]))
llama_like.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
tokenizer = PreTrainedTokenizerFast(tokenizer_object=llama_like)


class Collector(TextStreamer):
    text = ""

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        self.text += text


streamer, ids = Collector(tokenizer), [1, 2, 3, 4, 5, 6, 2, 4, 5, 6, 2]
for token in ids:
    streamer.put(numpy.array([token]))
streamer.end()
whole = tokenizer.decode(ids)
print("decoded: ", repr(whole))
print("streamed:", repr(streamer.text))
expected = ("if x:\n    return x\n    return x", "if x:\n   return x\n   return x")
raise SystemExit((whole, streamer.text) != expected)
PYTHON
