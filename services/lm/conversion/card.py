"""The model card: what lies in an exported folder, where it comes from, how well it did, and how it is used."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from services.lm.folders.licence import Licence, licence_of

Form = Literal["adapter", "merged", "gguf", "gguf_adapter", "ollama"]

_TITLES: Final[Mapping[Form, str]] = {
    "adapter": "LoRA adapter (PEFT)",
    "merged": "full weights with the adapter merged in (Hugging Face form)",
    "gguf": "one GGUF file of the merged weights",
    "gguf_adapter": "one GGUF file of the LoRA adapter alone",
    "ollama": "an Ollama store: GGUF, template and parameters",
}
# As the Hub's metadata name the library, and what the folder is to its base.
_LIBRARIES: Final[Mapping[Form, tuple[str, str]]] = {
    "adapter": ("peft", "adapter"),
    "merged": ("transformers", "finetune"),
    "gguf": ("gguf", "quantized"),
    "gguf_adapter": ("gguf", "adapter"),
    "ollama": ("gguf", "quantized"),
}
_NO_DERIVATIVES: Final = re.compile(r"(^|[-_ ])nd([-_ ]|$)|no[-_ ]?derivat", re.IGNORECASE)


@dataclass(frozen=True)
class CardFacts:
    """What a card says; empty is left out.

    Attributes:
        name: The model's name.
        base: The model that was trained, as people know it, such as `HuggingFaceTB/SmolLM2-135M-Instruct`.
        base_digest: SHA-256 of its folder.
        licence: The base's licence, as its files name it.
        number_type: Such as BF16 or Q4_K_M.
        adapter: Settings of the LoRA by PEFT's names.
        profile: The protocol that it was trained for, and `profile_digest` its digest.
        num_ctx: Tokens of context that the form announces; 0 for the model's own.
        text: Paragraphs of the one who exports, in Markdown: suite, rates with their intervals, data.
        notes: What a user should know of this form, a sentence each.
    """

    name: str
    form: Form
    base: str
    base_digest: str = ""
    licence: str = ""
    number_type: str = ""
    adapter: Mapping[str, object] = field(default_factory=dict)
    profile: str = ""
    profile_digest: str = ""
    num_ctx: int = 0
    text: str = ""
    notes: tuple[str, ...] = ()


def card(facts: CardFacts) -> str:
    """The text of `README.md`: metadata as the Hub reads them, then Markdown."""
    sections = (
        ("", _summary(facts)),
        ("", facts.text.strip()),
        ("Training", _training(facts)),
        ("Use", _use(facts)),
        ("Licence", _licence(facts)),
        ("Notes", "\n".join(f"- {note}" for note in facts.notes)),
    )
    parts = [f"## {title}\n\n{text}" if title else text for title, text in sections if text]
    return "\n\n".join([_metadata(facts) + f"\n# {facts.name}", *parts]) + "\n"


def tested_card(text: str, paragraphs: str) -> str:
    """Return a card that `card` wrote, with what was measured of its form."""
    head, use, rest = text.partition("\n## Use\n")
    return f"{head}\n## Tested as it is served\n\n{paragraphs.strip()}\n{use}{rest}" if use else text


def forbids_derivatives(licence: str) -> bool:
    """Whether a licence, by its name or its text, forbids to pass on what is made of a model."""
    return bool(_NO_DERIVATIVES.search(licence))


def _metadata(facts: CardFacts) -> str:
    library, relation = _LIBRARIES[facts.form]
    licence = licence_of(facts.licence) or Licence("")
    values = {
        "base_model": facts.base,
        "base_model_relation": relation,
        "library_name": library,
        "license": licence.identifier,
        "license_name": licence.name,
        "license_link": licence.link,
        "pipeline_tag": "text-generation",
    }
    # A JSON string is a YAML string too.
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items() if value]
    return "\n".join(["---", *lines, "---", ""])


def _summary(facts: CardFacts) -> str:
    numbers = f" Numbers are stored as {facts.number_type}." if facts.number_type else ""
    base = f"Made from `{facts.base}`" + (f" (sha256 `{facts.base_digest}`)" if facts.base_digest else "")
    context = f" It announces a context of {facts.num_ctx} tokens." if facts.num_ctx else ""
    return f"This is {_TITLES[facts.form]}. {base}.{numbers}{context}"


def _training(facts: CardFacts) -> str:
    lines = [f"- {key}: `{value}`" for key, value in facts.adapter.items()]
    if facts.profile:
        digest = f" (digest `{facts.profile_digest}`)" if facts.profile_digest else ""
        lines.append(f"- protocol: `{facts.profile}`{digest}; prompts must be rendered as it says")
    return "\n".join(lines)


def _licence(facts: CardFacts) -> str:
    if not facts.licence:
        return "The base names no licence: ask its makers before you pass this on."
    # Within marks of code, which it must not end, a text is neither HTML nor Markdown.
    licence = facts.licence.replace("`", "'")
    text = f"The base is under `{licence}`, which holds for this too."
    if forbids_derivatives(facts.licence):
        text += " It forbids derivatives: passing this on may be unlawful."
    return text


def _use(facts: CardFacts) -> str:
    name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in facts.name.lower())
    context = f" -c {facts.num_ctx}" if facts.num_ctx else ""
    examples: dict[Form, tuple[tuple[str, str, str], ...]] = {
        "adapter": (
            ("PEFT", "python", _PEFT.format(base=facts.base)),
            ("vLLM", "sh", f"vllm serve {facts.base} --enable-lora --lora-modules {name}=THIS_FOLDER"),
        ),
        "merged": (
            ("transformers", "python", _TRANSFORMERS),
            ("vLLM", "sh", f"vllm serve THIS_FOLDER --served-model-name {name}"),
        ),
        "gguf": (
            ("llama.cpp", "sh", f"llama-server -m model.gguf --jinja{context}"),
            ("Ollama", "sh", _OLLAMA.format(lines="FROM ./model.gguf", name=name)),
        ),
        "gguf_adapter": (
            ("llama.cpp", "sh", f"llama-server -m BASE.gguf --lora adapter.gguf --jinja{context}"),
            ("Ollama", "sh", _OLLAMA.format(lines="FROM ./BASE.gguf\\nADAPTER ./adapter.gguf", name=name)),
        ),
        "ollama": (("Ollama", "sh", f"OLLAMA_MODELS=THIS_FOLDER ollama serve &\nollama run {name}"),),
    }
    return "\n\n".join(f"{program}:\n\n```{language}\n{text}\n```" for program, language, text in examples[facts.form])


_OLLAMA: Final = """\
printf '{lines}\\n' > Modelfile
ollama create {name} -f Modelfile
ollama run {name}"""
_PEFT: Final = """\
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("{base}")
model = PeftModel.from_pretrained(base, "THIS_FOLDER")
tokenizer = AutoTokenizer.from_pretrained("{base}")"""
_TRANSFORMERS: Final = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("THIS_FOLDER")
tokenizer = AutoTokenizer.from_pretrained("THIS_FOLDER")"""
